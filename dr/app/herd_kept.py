"""What is kept of a herd, in a folder of reports or in a ConfigMap: from it another coordinator goes on."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from dr.core.errors import ConfigError
from dr.core.gameday import hook
from dr.core.herd import Herded
from dr.core.herding import Plan, short, torn

PLAN, HERDED = "plan.json", "herd.json"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_MOST = 64 << 20  # bytes of what a ConfigMap of 1 MiB may unpack to


def of_folder(folder: Path) -> tuple[Plan, Herded | None]:
    """Return what a run's folder keeps of a herd: its plan, and how it stands; raises ConfigError."""
    plan = decoded((folder / PLAN).read_bytes(), Plan)
    begun = decoded((folder / HERDED).read_bytes(), Herded) if (folder / HERDED).is_file() else None
    if causes := [*torn(plan, begun)]:
        raise ConfigError(f"what {folder} keeps was changed: {'; '.join(causes)}", "run the herd anew")
    return plan, begun


def of_config_map(content: Mapping[str, Any], namespace: str, name: str) -> tuple[Plan, Herded | None]:
    """Return what a ConfigMap keeps of a herd; raises ConfigError for what leads elsewhere than to its own Jobs.

    Who may write it need not be who leads the herd: what it says must not become a path or a process of this machine.
    """
    plan = decoded(_unpacked(content.get(PLAN, "")), Plan)
    begun = decoded(_unpacked(content[HERDED]), Herded) if HERDED in content else None
    kubernetes = plan.herd.kubernetes
    rows = (
        (kubernetes is None, "it has no `kubernetes`: its members would be processes of this machine"),
        (not _RUN.fullmatch(plan.run), f"its run {plan.run!r} is no plain name of a folder"),
        (short(plan.run, plan.herd.name) != name, f"it is that of {short(plan.run, plan.herd.name)}"),
        (bool(kubernetes) and kubernetes.namespace != namespace, "it is that of another namespace"),
    )
    if causes := [*(cause for wrong, cause in rows if wrong), *torn(plan, begun)]:
        said = "; ".join(causes)
        raise ConfigError(f"what the ConfigMap {namespace}/{name} keeps was changed: {said}", "run the herd anew")
    return plan, begun


def decoded(content: bytes, kind: type[Any]) -> Any:
    """Return a value of a kind from JSON; raises ConfigError."""
    try:
        return msgspec.json.decode(content, type=kind, dec_hook=hook)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"what is kept of the herd is no {kind.__name__.lower()}: {error}", "run it anew") from None


def encoded(value: Any) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.encode(value, enc_hook=float)  # a Duration is written as its seconds


def packed(value: Any) -> str:
    """Return a value as compressed JSON in base64, as a ConfigMap's binaryData holds it."""
    return base64.b64encode(gzip.compress(encoded(value), mtime=0)).decode()


def _unpacked(said: str) -> bytes:
    try:
        with gzip.open(BytesIO(base64.b64decode(said, validate=True))) as file:
            found = file.read(_MOST + 1)
    except (OSError, EOFError, ValueError, zlib.error):
        return b""
    return found if len(found) <= _MOST else b""
