"""Answers `dr herd`: clusters × scenarios, from a file to Jobs or processes, and to a report."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dr.adapters.kube import Kube
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.store import new_run
from dr.adapters.workers import Processes, write
from dr.app import gamedays
from dr.app.answer import Answer
from dr.app.herd_kept import HERDED, PLAN, decoded, encoded, of_config_map, of_folder, packed
from dr.app.places import target
from dr.core import herd as herds
from dr.core.body import mapping, text
from dr.core.errors import ApiError, ConfigError, LockError, NotFound, UsageError
from dr.core.herd import Argo, Capi, Herd, Herded, Member, Scenario, Secrets
from dr.core.herding import Board, Cluster, Plan, exit_code, planned, short
from dr.core.jobs import kept_body
from dr.core.model import Body, Ref
from dr.engine.herd import Jobs, lead
from dr.report.console import line, many
from dr.report.data import encode
from dr.report.herd_html import html
from dr.report.herd_markdown import markdown
from dr.report.herd_text import lines_of, progress

_LOCK = "dr.dev/lock"
_CAPI = ("cluster.x-k8s.io/v1beta2", "cluster.x-k8s.io/v1beta1")
_ARGO = "argocd.argoproj.io/secret-type=cluster"
_PAUSE = 0.5  # seconds: a herd of thousands is not written down anew for each of its members
Say = Callable[[str], None]


def read(file: Path) -> Herd:
    """Return a herd file's content; raises ConfigError with everything that is wrong with it."""
    try:
        parsed = parse_yaml(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "give a herd file: docs/concepts/herds.md") from None
    problems = [f"{file}:{problem.line}: {problem.cause}" for problem in parsed.problems]
    if problems or not parsed.documents:
        raise ConfigError("\n    ".join(problems) or f"{file} is empty", "correct the file")
    found, wrong = herds.parse(parsed.documents[0], str(file))
    if found is None:
        said = "\n    ".join(f"{d.where}: {d.subject}: {d.cause}" for d in wrong)
        raise ConfigError(f"{many(len(wrong), 'error')} in the herd file\n    {said}", wrong[0].remedy)
    return found


@asynccontextmanager
async def management(herd: Herd) -> AsyncIterator[Kube | None]:
    """Open the management cluster where the herd needs one."""
    sources = herd.clusters
    needed = herd.kubernetes or sources.secrets or sources.capi or sources.argo
    async with Kube(target(herd.home)) if needed else nullcontext() as home:
        yield home


async def clusters(herd: Herd, home: Kube | None) -> tuple[Cluster, ...]:
    """Return the clusters that a herd names and finds. Of Secrets only names, labels and annotations are read."""
    found = [
        Cluster(c.name, c.context, c.secret, c.key if c.secret else "", lock=c.lock, labels=c.labels)
        for c in herd.clusters.listed
    ]
    for source in (herd.clusters.secrets, herd.clusters.capi, herd.clusters.argo):
        if source and home:
            found += [_cluster(source, body) for body in await _listed(home, source)]
    return tuple(found)


async def _listed(home: Kube, source: Secrets | Capi | Argo) -> Sequence[Body]:
    match source:
        case Secrets(namespace, selector):
            return await home.list("v1", "Secret", namespace=namespace, labels=selector)
        case Argo(namespace, selector):
            return await home.list(
                "v1", "Secret", namespace=namespace, labels=",".join(filter(None, (_ARGO, selector)))
            )
        case Capi(namespace, selector):
            for version in _CAPI:
                try:
                    return await home.list(version, "Cluster", namespace=namespace, labels=selector)
                except ApiError as error:
                    if error.reason != "NoMatch":
                        raise
            raise ConfigError("the management cluster serves no Clusters of Cluster API", "leave `capi` out")


def _cluster(source: Secrets | Capi | Argo, body: Body) -> Cluster:
    name, namespace = text(body, "metadata", "name"), text(body, "metadata", "namespace")
    labels = {key: str(value) for key, value in mapping(body, "metadata", "labels").items()}
    suffix, key = ("-kubeconfig", "value") if isinstance(source, Capi) else ("", getattr(source, "key", ""))
    return Cluster(
        name,
        secret=f"{namespace}/{name}{suffix}",
        key=key,
        form="argo" if isinstance(source, Argo) else "kubeconfig",
        lock=text(body, "metadata", "annotations", _LOCK),
        labels=labels,
    )


def files_of(herd: Herd, beside: Path) -> tuple[Herd, dict[str, str]]:
    """Check the gamedays of a herd; return it with what its workers need: paths here, contents in a pod.

    Raises ConfigError with everything that is wrong.
    """
    scenarios, files, wrong = [], {}, []
    for scenario in herd.scenarios:
        path = beside / scenario.gameday
        if scenario.gameday:
            try:
                gameday, _ = gamedays.read(path)
            except ConfigError as error:
                wrong.append(error.cause)
                continue
            if herd.kubernetes:
                files[scenario.gameday] = path.read_text("utf-8")
                experiment = path.parent / gameday.fault.experiment
                if experiment.is_file():
                    files[str(Path(scenario.gameday).parent / gameday.fault.experiment)] = experiment.read_text("utf-8")
                if gameday.repo and (path.parent / gameday.repo.url).exists():
                    wrong.append(f"{path}: {gameday.repo.url} is a folder, which no pod can read: give the repo's URL")
        scenarios.append(
            scenario if herd.kubernetes or not scenario.gameday else Scenario(scenario.name, str(path.absolute()))
        )
    if ups := [name for name in files if ".." in Path(name).parts]:
        wrong += [f"{name} lies outside of the herd file's folder, where no pod can find it" for name in ups]
    if wrong:
        raise ConfigError(
            f"{many(len(wrong), 'error')} in what the herd names\n    " + "\n    ".join(wrong), "correct it"
        )
    return replace(herd, scenarios=tuple(scenarios)), files


def run(file: Path, reports: Path, form: str, say: Say, confirm: Say, *, dry: bool) -> Answer:
    """Answer `dr herd run`."""
    herd = read(file)
    ready, files = files_of(herd, file.parent)
    return asyncio.run(_run(ready, files, reports, form, say, confirm, dry=dry))


async def _run(
    herd: Herd, files: dict[str, str], reports: Path, form: str, say: Say, confirm: Say, *, dry: bool
) -> Answer:
    async with management(herd) as home:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        plan = checked(herd, await clusters(herd, home), "dry run", now)
        if dry:
            return _planned(plan, form)
        confirm(herd.name)
        folder = new_run(reports, f"herd-{herd.name}")
        plan = replace(plan, run=folder.name, files=files)
        write(folder / PLAN, encoded(plan))
        return await _lead(plan, None, folder, home, form, say)


def checked(herd: Herd, found: Sequence[Cluster], run: str, now: str) -> Plan:
    """Return what is to be run; raises UsageError with everything that forbids it."""
    plan, wrong = planned(herd, found, run, now)
    if wrong:
        raise UsageError(f"{many(len(wrong), 'reason')} not to begin\n    " + "\n    ".join(wrong), "correct it")
    return plan


def _planned(plan: Plan, form: str) -> Answer:
    board = Board(plan)
    if form == "json":
        return Answer(content=encode(board.herded()))
    return Answer((*lines_of(board.herded()), line("dry run: nothing was changed")))


def go_on(run: str, to: str, reports: Path, form: str, say: Say) -> Answer:
    """Answer `dr herd lead`: go on with a run of `reports`, or with one that is kept in a cluster (namespace/name)."""
    folder = reports / run
    if (folder / PLAN).is_file():
        plan, begun = of_folder(folder)
        return asyncio.run(_go_on(plan, begun, folder, form, say))
    if run.count("/") != 1 or not to:
        raise NotFound(
            f"{folder} is no run of a herd", "give a run of --reports, or NAMESPACE/NAME of its ConfigMap with --to"
        )
    return asyncio.run(_kept(run, to, reports, form, say))


async def _go_on(plan: Plan, begun: Herded | None, folder: Path, form: str, say: Say) -> Answer:
    async with management(plan.herd) as home:
        return await _lead(plan, begun, folder, home, form, say)


async def _kept(place: str, to: str, reports: Path, form: str, say: Say) -> Answer:
    namespace, _, name = place.partition("/")
    async with Kube(target(to)) as home:
        found = await home.get(Ref("v1", "ConfigMap", namespace, name))
        if found is None:
            raise NotFound(f"there is no ConfigMap {place} at {to}", "`dr herd run` and `dr herd manifest` write it")
        plan, begun = of_config_map(mapping(found, "binaryData"), namespace, name)
        folder = reports / plan.run
        write(folder / PLAN, encoded(plan))
        return await _lead(plan, begun, folder, home, form, say)


async def _lead(plan: Plan, begun: Herded | None, folder: Path, home: Kube | None, form: str, say: Say) -> Answer:
    """Lead a herd to its end, and write its reports whenever something has changed."""
    kubernetes, board = plan.herd.kubernetes, Board(plan, begun)
    changed = asyncio.Event()

    async def writing() -> None:
        while True:
            await changed.wait()
            changed.clear()
            write(folder / HERDED, encode(board.herded()))
            await asyncio.sleep(_PAUSE)

    async def keep(member: Member | None) -> None:
        if member:
            changed.set()
            say(progress(member, board.plan.herd))
            return
        herded = board.herded()
        write(folder / HERDED, encode(herded))
        _report(herded, folder)
        if home and kubernetes:
            await home.apply(kept_body(plan, {PLAN: packed(plan), HERDED: packed(herded)}, kubernetes), manager="dr")

    with _alone(folder / PLAN):
        writer = asyncio.create_task(writing())
        try:
            if home and kubernetes:
                content = {PLAN: packed(plan), **({HERDED: packed(begun)} if begun else {})}
                owner, _ = await home.apply(kept_body(plan, content, kubernetes), manager="dr")
                place = f"{kubernetes.namespace}/{short(plan.run, plan.herd.name)}"
                say(f"kept in the ConfigMap {place}: `dr herd lead {place}` goes on with it, deleting it ends the herd")
                await lead(board, Jobs(plan, home, kubernetes, owner, say), keep)
            else:
                await lead(board, Processes(plan, folder / "work", folder.parent), keep)
        except asyncio.CancelledError:
            board.verdict = board.verdict if kubernetes else "interrupted"
            await keep(None)
            raise
        finally:
            writer.cancel()
    herded = board.herded()
    return replace(shown(herded, folder, form), exit_code=exit_code(herded))


@contextmanager
def _alone(path: Path) -> Any:
    """Refuse a second leader on this machine; leaders on others see the same Jobs and do no harm."""
    with path.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockError(f"{path.parent.name} is being led by another process", "wait until it has ended") from None
        yield


def _report(herded: Herded, folder: Path) -> None:
    for name, content in {"report.html": html(herded), "report.md": markdown(herded)}.items():
        write(folder / name, content)


def shown(herded: Herded, folder: Path, form: str) -> Answer:
    """Return how a herd stands."""
    match form:
        case "json":
            return Answer(content=encode(herded))
        case "markdown":
            return Answer(content=markdown(herded))
    return Answer((*lines_of(herded), line("Report: ", (str(folder / "report.html"), "bold"))))


def show(run: str, reports: Path, form: str) -> Answer:
    """Answer `dr herd show`."""
    folder = reports / run
    try:
        content = (folder / HERDED).read_bytes()
    except OSError:
        raise NotFound(f"{folder} is no run of a herd", "`dr herd run` makes one") from None
    return shown(decoded(content, Herded), folder, form)
