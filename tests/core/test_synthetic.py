"""What GitOps engines change in a folder: the kustomization they make, and metadata that costs no line."""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.lines import line_of, size
from dr.core.model import Body, Path
from dr.core.synthetic import argo_fields, flux_fields, merged, with_metadata


@pytest.mark.parametrize(
    ("entry", "image"),
    [
        ("web", {"name": "web"}),
        ("web:1.0", {"name": "web", "newTag": "1.0"}),
        ("host:5000/web", {"name": "host:5000/web"}),
        ("host:5000/web:1", {"name": "host:5000/web", "newTag": "1"}),
        ("web=host:5000/other", {"name": "web", "newName": "host:5000/other"}),
        ("web=other:1@sha256:0a", {"name": "web", "newName": "other", "newTag": "1", "digest": "sha256:0a"}),
        ("web@sha256:0a", {"name": "web", "digest": "sha256:0a"}),
        ("web=*:1", {"name": "web", "newName": "*", "newTag": "1"}),
    ],
)
def test_an_image_option_of_argo_cd_means_what_it_means_to_kustomize(entry: str, image: Body) -> None:
    assert argo_fields({"images": [entry]}, "", ()) == {"images": [image]}


def test_an_application_without_options_changes_nothing() -> None:
    assert argo_fields({}, "", ()) == flux_fields({"path": "a", "images": [], "namePrefix": ""}, "", ()) == {}
    assert argo_fields({"version": "v5", "commonLabels": {}, "labelWithoutSelector": True}, "", ()) == {}


def test_a_field_written_in_another_case_is_the_same_field() -> None:
    assert merged({"NameSpace": "a", "Components": ["x"]}, {"namespace": "b", "components": ["x", "y"]}) == {
        "NameSpace": "b",
        "Components": ["x", "y"],
    }


def test_the_kustomization_in_git_is_not_changed() -> None:
    body: Body = {"images": [{"name": "a"}], "commonLabels": {"a": "1"}, "patches": None}
    new = {"images": [{"name": "a", "newTag": "2"}], "commonLabels": {"a": "2"}, "patches": [{"patch": "x"}]}
    assert merged(body, new) == new
    assert body == {"images": [{"name": "a"}], "commonLabels": {"a": "1"}, "patches": None}


def _paths(value: Any, at: Path = ()) -> Iterator[Path]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from _paths(item, (*at, key))


_WORDS = st.text("abcdef", min_size=1, max_size=3)
_VALUES = st.recursive(_WORDS, lambda v: st.lists(v, max_size=3) | st.dictionaries(_WORDS, v, max_size=3))
_PAIRS = st.dictionaries(_WORDS, _WORDS, max_size=3).map(lambda pairs: tuple(sorted(pairs.items())))
_MAPS = st.none() | st.dictionaries(_WORDS, _WORDS, max_size=3)


@given(_VALUES, _MAPS, _MAPS, _VALUES, _PAIRS, _PAIRS, st.permutations(["labels", "name", "annotations", "x"]))
def test_further_labels_and_annotations_leave_every_line_where_it_was(
    first: Any, labels: Any, annotations: Any, last: Any, new: Any, notes: Any, order: list[str]
) -> None:
    parts = {"labels": labels, "name": "n", "annotations": annotations, "x": first}
    metadata = {key: parts[key] for key in order if parts[key] is not None}
    text = dumps({"a": first, "metadata": metadata, "spec": last}, indent=1)
    (document,) = parse(text.encode()).documents
    done = with_metadata(document, new, notes)
    assert len(done.lines) == 4 * size(done.body)
    for path in _paths(document.body):
        assert line_of(done.body, done.lines, path) == line_of(document.body, document.lines, path)
    for field, pairs in (("labels", new), ("annotations", notes)):
        assert (done.body["metadata"].get(field) or {}) == (parts[field] or {}) | dict(pairs)
        known = ("metadata", field) if field in metadata else ("metadata",)
        for key, _ in pairs:
            if key not in (parts[field] or {}):
                assert line_of(done.body, done.lines, ("metadata", field, key)) == line_of(
                    document.body, document.lines, known
                )
