"""A forklift as tasks for people: what comes before the restore of the new cluster, and what after it. Pure."""

from __future__ import annotations

import msgspec

from dr.core.byhand import Block, Task, quoted
from dr.core.forklift import Data, Forklift, Traffic, Volume
from dr.core.plan import Plan

_COLUMNS = (
    "--show-managed-fields -o custom-columns="
    "KIND:.kind,NS:.metadata.namespace,NAME:.metadata.name,BY:.metadata.managedFields[*].manager"
)
_CLAIM, _BOUND, _HANDLE = (
    "persistentVolumeClaimName",
    "{.status.boundVolumeSnapshotContentName}",
    "{.status.snapshotHandle}",
)
_STOPPED = ("Deployment", "StatefulSet")


def before(move: Forklift) -> tuple[Task, ...]:
    """Return what is to be done before anything is applied to the new cluster."""
    old, new = (quoted(side.context or name) for side, name in ((move.source, "OLD"), (move.target, "NEW")))
    return (
        Task(
            "two-clusters",
            "Know both clusters apart",
            ("Write both identities down. Before each step of this runbook, look which context is set.",),
            (
                Block(
                    "The identities:",
                    tuple(
                        f"kubectl --context {c} get namespace kube-system -o 'jsonpath={{.metadata.uid}}'"
                        for c in (old, new)
                    ),
                ),
                Block("Point kubectl at the new one:", (f"kubectl config use-context {new}",)),
            ),
        ),
        Task(
            "live-only",
            "Find what is on the old cluster and not in git",
            ("What somebody made by hand is not in this repo, and will be missing. Put it into git first.",),
            (
                Block(
                    "Who wrote what (look for kubectl, helm, and managers that you do not know):",
                    (f"kubectl --context {old} get all,configmaps,secrets,ingresses -A {_COLUMNS}",),
                ),
            ),
        ),
    )


def after(move: Forklift, plan: Plan) -> tuple[Task, ...]:
    """Return what is to be done once the new cluster holds the platform."""
    return (*_data(move), *_cutover(move), _back(move), _drain(move, plan), _retire(move))


def _data(move: Forklift) -> tuple[Task, ...]:
    return tuple(
        Task(
            f"data-{data.name}",
            f"Move the data {data.name}",
            (
                f"It belongs to {data.of}: what reads it must not start on the new cluster before it is there.",
                "Count rows on both sides before and after, and write both down.",
            ),
            _moving(data, move),
        )
        for data in move.data
    )


def _moving(data: Data, move: Forklift) -> tuple[Block, ...]:
    if data.postgres:
        urls = f'"${data.postgres.source}"', f'"${data.postgres.target}"'
        dump = f"pg_dump -Fc -d {urls[0]} | pg_restore --clean --if-exists --no-owner -1 -d {urls[1]}"
        return (Block("Copy it (with writes stopped, the last time):", (dump,)),)
    if data.command:
        argv = " ".join(map(quoted, data.command.copy))
        return (Block("Copy it:", (argv,)),)
    if data.velero:
        spaces = ",".join(data.velero.namespaces)
        backup = f"velero backup create dr-{data.name} --include-namespaces {spaces} --wait"
        restore = f"velero restore create --from-backup dr-{data.name} --wait"
        return (Block("On the old cluster, then on the new one:", (backup, restore)),)
    if data.volume:
        return _snapshot(data.name, data.volume, move)
    return ()


def _snapshot(data: str, volume: Volume, move: Forklift) -> tuple[Block, ...]:
    """Return how a volume is taken over: a snapshot, its handle, and a snapshot of that handle on the new cluster."""
    old, new = (quoted(side.context or name) for side, name in ((move.source, "OLD"), (move.target, "NEW")))
    home, _, claim = volume.claim.partition("/")
    name, api = f"dr-{data}", "snapshot.storage.k8s.io/v1"
    kind, content = {"apiVersion": api, "kind": "VolumeSnapshot"}, {"apiVersion": api, "kind": "VolumeSnapshotContent"}
    place, of = {"name": name, "namespace": home}, volume.snapshot_class
    taken = {**kind, "metadata": place, "spec": {"volumeSnapshotClassName": of, "source": {_CLAIM: claim}}}
    bound = f"$(kubectl --context {old} -n {quoted(home)} get volumesnapshot {quoted(name)} -o 'jsonpath={_BOUND}')"
    handed = {
        "driver": volume.driver,
        "deletionPolicy": "Retain",
        "volumeSnapshotClassName": of,
        "source": {"snapshotHandle": "HANDLE"},
        "volumeSnapshotRef": place,
    }
    given = {**kind, "metadata": place, "spec": {"source": {"volumeSnapshotContentName": name}}}
    ready = f"--for=jsonpath='{{.status.readyToUse}}'=true volumesnapshot/{quoted(name)} --timeout=1h"
    whole = f"echo {quoted(_json({**content, 'metadata': {'name': name}, 'spec': handed}))}"
    source = _json({"apiGroup": api.partition("/")[0], "kind": "VolumeSnapshot", "name": name})
    return (
        Block(
            "Once nothing writes to it any more, on the old cluster:",
            (
                f"echo {quoted(_json(taken))} | kubectl --context {old} apply -f -",
                f"kubectl --context {old} -n {quoted(home)} wait {ready}",
                f"HANDLE=$(kubectl --context {old} get volumesnapshotcontent {bound} -o 'jsonpath={_HANDLE}')",
            ),
        ),
        Block(
            f"On the new one; then apply the claim {volume.claim}, with spec.dataSource: {source}",
            (
                f'{whole} | sed "s|HANDLE|$HANDLE|" | kubectl --context {new} apply -f -',
                f"echo {quoted(_json(given))} | kubectl --context {new} apply -f -",
                f"kubectl --context {new} -n {quoted(home)} wait {ready}",
            ),
        ),
    )


def _json(body: object) -> str:
    return msgspec.json.encode(body).decode()


def _cutover(move: Forklift) -> tuple[Task, ...]:
    cutover = move.cutover
    tasks = []
    for step in cutover.steps:
        notes = [f"Hold it for {cutover.hold:g} s, and watch what users see. If they are not served: go back at once."]
        if step in cutover.pause:
            notes.insert(0, "Ask whoever decides before this step.")
        if step == cutover.switch_at and (move.data or cutover.writer):
            notes.insert(0, "First stop writes on the old side, wait until the new one has them all, compare, switch.")
        blocks = [Block("Tell the traffic:", (said,)) for hook in cutover.traffic if (said := _said(hook, step))]
        tasks.append(Task(f"cutover-{step}", f"Move {step} % of the traffic", tuple(notes), tuple(blocks)))
    return tuple(tasks)


def _said(hook: Traffic, weight: int) -> str:
    words = {"{weight}": str(weight), "{rest}": str(100 - weight), "{side}": "to" if weight == 100 else "from"}

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    if hook.command:
        return " ".join(quoted(filled(part)) for part in hook.command.argv)
    if hook.http:
        body = f" -d {quoted(filled(hook.http.body))}" if hook.http.body else ""
        return f"curl -fsS -X {hook.http.method}{body} {quoted(filled(hook.http.url))}"
    if hook.annotation:
        kind, space, name = hook.annotation.object.split("/")
        value = quoted(f"{hook.annotation.key}={filled(hook.annotation.values.get('to', ''))}")
        home = f" -n {quoted(space)}" if space else ""
        return f"kubectl annotate --overwrite{home} {quoted(f'{kind.lower()}/{name}')} {value}"
    return ""


def _back(move: Forklift) -> Task:
    blocks = [Block("Tell the traffic:", (said,)) for hook in move.cutover.traffic if (said := _said(hook, 0))]
    return Task(
        "back",
        "Only if users are not served: go back to the old cluster",
        ("Switch writes back first, if they were switched, or what was written since is lost.",),
        tuple(blocks),
    )


def _drain(move: Forklift, plan: Plan) -> Task:
    old = quoted(move.source.context or "OLD")
    commands = []
    for index in range(len(plan.steps) - 1, -1, -1):
        ref = plan.node(index).ref
        if ref.kind in _STOPPED:
            space = f" -n {quoted(ref.namespace)}" if ref.namespace else ""
            commands.append(
                f"kubectl --context {old}{space} scale --replicas=0 {quoted(f'{ref.kind.lower()}/{ref.name}')}"
            )
    notes = ("Have the GitOps engine rest first, or it starts everything again.", "Consumers first, in this order.")
    return Task("drain", "Stop the workloads of the old cluster", notes, (Block("Stop:", tuple(commands)),))


def _retire(move: Forklift) -> Task:
    old = quoted(move.source.context or "OLD")
    command = " ".join(map(quoted, move.retire.command))
    blocks = [Block("See that it is the one:", (f"kubectl --context {old} cluster-info",))]
    blocks += [Block("Take it away:", (command,))] if command else []
    notes = (f"Not before {move.retire.after:g} s have gone by since the cutover.",)
    return Task("retire", "Take the old cluster away", notes, tuple(blocks))
