"""`REPO[@REV]`: how it is split, what is refused, and what is never shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.git.spec import RepoSpec, as_of, check, parse_spec, redact, repo_name
from dr.core.errors import UsageError

WORD = st.text("abcxyz019._", min_size=1)


@pytest.mark.parametrize(
    ("text", "location", "rev"),
    [
        ("config", "config", ""),
        (".", ".", ""),
        ("config@v1", "config", "v1"),
        ("../config/apps@HEAD~2", "../config/apps", "HEAD~2"),
        ("config@feature/x@y", "config", "feature/x@y"),
        ("config@{2026-01-31}", "config", "{2026-01-31}"),
        ("config@{2026-01-31T12:00Z}", "config", "{2026-01-31T12:00Z}"),
        ("config@main@{2026-01-31T12:00Z}", "config", "main@{2026-01-31T12:00Z}"),
        ("config@@", "config", "@"),
        ("git@github.com:org/repo.git", "git@github.com:org/repo.git", ""),
        ("git@github.com:org/repo.git@v1", "git@github.com:org/repo.git", "v1"),
        ("host:repo@v1", "host:repo", "v1"),
        ("git@[::1]:repo@v1", "git@[::1]:repo", "v1"),
        ("https://user:p@ss@host:8443/repo.git@v1", "https://user:p@ss@host:8443/repo.git", "v1"),
        ("ssh://git@host/repo@{2026-01-31T12:00Z}", "ssh://git@host/repo", "{2026-01-31T12:00Z}"),
        ("file:///srv/repo.git@main", "file:///srv/repo.git", "main"),
    ],
)
def test_location_and_revision_are_told_apart(text: str, location: str, rev: str) -> None:
    assert parse_spec(text) == RepoSpec(location, rev)


@given(folder=WORD, name=WORD, rev=WORD)
def test_a_folder_with_an_at_sign_in_its_name_is_found_with_and_without_a_revision(
    folder: str, name: str, rev: str
) -> None:
    location = f"{folder}@{name}"
    assert parse_spec(location, {location}.__contains__) == RepoSpec(location)
    assert parse_spec(f"{location}@{rev}", {location}.__contains__) == RepoSpec(location, rev)


def test_a_revision_that_a_script_left_empty_is_not_taken_for_the_work_tree() -> None:
    with pytest.raises(UsageError, match="no revision follows"):
        parse_spec("config@")


@pytest.mark.parametrize(
    "text",
    [
        "-config",
        "--upload-pack=touch x",
        "config@--output=x",
        "config@-n",
        "ext::sh -c touch% x",
        "fd::17",
        "::x",
        "EXT::sh",
        "anything::else",
        "ext://x/y",
        "ftp://host/repo",
        "ssh://-oProxyCommand=touch/repo",
        "ssh://git@-oProxyCommand=touch/repo",
        "ssh://%2DoProxyCommand=touch/repo",
        "-oProxyCommand=x@host:repo",
        "git@-oProxyCommand=x:repo",
        "-x@host:repo",
        "host:-repo",
        "host:re\npo",
        "git://host/a%0ab",
        "https:///repo",
        "https://[half/repo",
        "con\0fig",
        "config@v\x001",
    ],
)
def test_what_git_could_take_for_an_option_or_a_command_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        check(parse_spec(text))
    assert error.value.remedy


@pytest.mark.parametrize("text", ["git@host:repo.git", "https://u:p@h/r", "ssh://git@host:22/r", "file:///r", "./-r"])
def test_what_git_can_clone_is_not_refused(text: str) -> None:
    spec = parse_spec(text)
    check(spec)
    assert spec == RepoSpec(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:token@host/org/repo.git", "https://***@host/org/repo.git"),
        ("https://token@host/repo", "https://***@host/repo"),
        ("https://u:p@ss@host/repo", "https://***@host/repo"),
        ("ssh://git@host/repo", "ssh://git@host/repo"),
        ("ssh://git:secret@host/repo", "ssh://***@host/repo"),
        ("https://host/repo?private_token=abc", "https://host/repo?***"),
        ("fatal: unable to access 'https://u:t@host/': 403", "fatal: unable to access 'https://***@host/': 403"),
        ("git@host:repo", "git@host:repo"),
    ],
)
def test_credentials_are_replaced_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(user=WORD, token=st.text("abc@:!~", min_size=1).map(lambda text: f"s3cr3t{text}s3cr3t"), before=WORD)
def test_no_token_survives_redaction(user: str, token: str, before: str) -> None:
    assert "s3cr3t" not in redact(f"{before} 'https://{user}:{token}@host/org/repo.git/': refused")


def test_half_a_password_is_not_shown_as_a_port() -> None:
    with pytest.raises(UsageError) as error:
        check(parse_spec("https://user:hunter/2@host/repo"))
    assert "hunter" not in error.value.cause + error.value.remedy


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/srv/config", "config"),
        ("/srv/config.git", "config"),
        ("/srv/config/.git", "config"),
        ("https://host/org/repo.git/", "repo"),
        ("git@host:repo.git", "repo"),
        ("/", "/"),
    ],
)
def test_a_repo_is_called_by_its_last_segment(location: str, name: str) -> None:
    assert repo_name(location) == name


@pytest.mark.parametrize(
    ("rev", "base", "moment"),
    [
        ("{2026-01-31}", "HEAD", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("@{2026-01-31T12:00Z}", "HEAD", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("{2026-01-31T12:00}", "HEAD", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("{2026-01-31T12:00+02:00}", "HEAD", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("main@{2026-01-31 12:00}", "main", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("{1960-01-01}", "HEAD", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_bare_date_is_the_end_of_that_day_and_times_are_utc(rev: str, base: str, moment: datetime) -> None:
    assert as_of(rev) == (base, int(moment.timestamp()))


def test_a_commit_in_git_s_own_notation_is_not_taken_for_a_date() -> None:
    assert as_of("HEAD^{commit}") == ("HEAD^{commit}", None)
    for rev in ("{1}", "{upstream}", "main@{yesterday}", "{2026-02-30}"):
        with pytest.raises(UsageError, match="is not a date"):
            as_of(rev)
