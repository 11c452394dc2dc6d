"""Puts a run's reports into an S3-compatible store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from dr.core.errors import ToolError

_SECONDS = 5.0
_AWS = "https://s3.amazonaws.com"


class Store(Struct, frozen=True):
    """A bucket and who may write to it. `endpoint` is a URL; empty: AWS. Never printed: it holds a key."""

    bucket: str
    endpoint: str = ""
    prefix: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""

    def __repr__(self) -> str:
        """Name the place only."""
        return f"Store({self.endpoint!r}, {self.bucket!r})"


def put(store: Store, base: Path, folders: Iterable[str]) -> int:
    """Put the files of folders under `base`; return how many. Raises ToolError, also where minio is not installed.

    Keys are PREFIX/FOLDER/FILE. Links are left out: they may lead anywhere.
    """
    try:
        from minio import Minio  # noqa: PLC0415 - only who uploads needs it
        from minio.credentials.providers import (  # noqa: PLC0415 - as above
            AWSConfigProvider,
            ChainedProvider,
            EnvAWSProvider,
            IamAwsProvider,
        )
        from minio.error import MinioException  # noqa: PLC0415 - as above
        from urllib3 import PoolManager  # noqa: PLC0415 - as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above
    except ImportError:
        raise ToolError("minio is not installed", "pip install 'dr-gameday[s3]'") from None
    url, count = urlsplit(store.endpoint or _AWS), 0
    # Where no role is, whoever hands them out does not answer: that is soon known.
    role = IamAwsProvider(http_client=PoolManager(timeout=_SECONDS, retries=False))
    own = None if store.access_key else ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), role])
    try:
        client = Minio(
            url.netloc,
            access_key=store.access_key or None,
            secret_key=store.secret_key or None,
            secure=url.scheme != "http",
            region=store.region,
            credentials=own,
        )
        for folder in folders:
            for path in sorted(p for p in (base / folder).rglob("*") if p.is_file() and not p.is_symlink()):
                key = "/".join(filter(None, (store.prefix.strip("/"), path.relative_to(base).as_posix())))
                client.fput_object(store.bucket, key, str(path))
                count += 1
    except (MinioException, HTTPError, OSError, ValueError) as error:
        raise ToolError(
            f"{count} files were put into {store.bucket}, then: {getattr(error, 'message', None) or error}",
            "the reports are where they were made; check bucket, endpoint and keys",
        ) from None
    return count
