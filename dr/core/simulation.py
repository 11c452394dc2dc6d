"""What the stand-ins of a rehearsal play, as values: derived from the graph, by the same rules."""

from __future__ import annotations

from msgspec import Struct

from dr.core.model import Body, Ref


class Served(Struct, frozen=True):
    """An object that a controller acts on.

    It becomes Ready, and `makes` appear, `seconds` after all of `by` (the controller's workloads or releases) are
    ready. `error` is why it never does ("" where nothing stands against it).
    """

    ref: Ref
    by: tuple[Ref, ...] = ()
    makes: tuple[Ref, ...] = ()
    seconds: float = 0.0
    error: str = ""


class Brought(Struct, frozen=True):
    """A CustomResourceDefinition that comes with `by` (a release), or is there from the start (None)."""

    body: Body
    by: Ref | None = None


class Simulation(Struct, frozen=True):
    """Everything that a rehearsal's stand-ins must know of a repo.

    `objects` are prerequisites that a team says are provided; `startup` seconds by `Kind/namespace/name`, `Kind` or
    `*`; `seed` makes the spread of start-up times repeatable; `names` are what is simulated, for the report.
    """

    served: tuple[Served, ...] = ()
    brought: tuple[Brought, ...] = ()
    objects: tuple[Body, ...] = ()
    startup: dict[str, float] = {}
    seed: int = 0
    names: tuple[str, ...] = ()
