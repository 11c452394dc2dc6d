"""All faults as Chaos Toolkit actions, and `undo` for an experiment's rollbacks."""

from typing import Any

from chaoslib.exceptions import ActivityFailed

from dr.chaos.channel import send
from dr.chaos.control_planes import lose_etcd, put_back_etcd, remove_cluster, snapshot_etcd, stop_program
from dr.chaos.guard import Given, context_of, locked, undo_folder
from dr.chaos.nodes import lose_nodes
from dr.chaos.objects import delete_crd, delete_namespace, delete_objects
from dr.chaos.strike import activity
from dr.chaos.undo import undo_pending
from dr.chaos.workloads import kill_pods, scale_down

__all__ = [
    "delete_crd",
    "delete_namespace",
    "delete_objects",
    "kill_pods",
    "lose_etcd",
    "lose_nodes",
    "put_back_etcd",
    "remove_cluster",
    "scale_down",
    "snapshot_etcd",
    "stop_program",
    "undo",
]


@activity
def undo(timeout: float = 120.0, configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Undo every fault that is recorded and not undone, each within `timeout` seconds; for `rollbacks`.

    Blast radius: what the faults struck. It creates what is missing and changes nothing that is there.
    """
    context = context_of(configuration, secrets)
    done = undo_pending(undo_folder(), lambda: locked(context)[0], timeout)
    for restored in done:
        send(restored)
    wrong = [f"{restored.fault}: {restored.cause}" for restored in done if restored.cause]
    if wrong:
        raise ActivityFailed(f"not everything is undone: {'; '.join(wrong)}")
    return {"undone": [restored.fault for restored in done]}
