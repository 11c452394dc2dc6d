"""The Chaos Toolkit extension: faults that refuse what was not meant, and probes that no empty answer satisfies."""

from __future__ import annotations

from typing import Any

_ACTIONS, _PROBES = "dr.chaos.actions", "dr.chaos.probes"


def discover(discover_system: bool = True) -> dict[str, Any]:  # noqa: ARG001 - how it is called
    """Return what the extension offers, as `chaos discover` writes it down; there is no system to look at."""
    from importlib.metadata import version  # noqa: PLC0415 - this module is imported wherever one part of it is

    from chaoslib.discovery.discover import (  # noqa: PLC0415 - as above
        discover_actions,
        discover_probes,
        initialize_discovery_result,
    )

    found: dict[str, Any] = initialize_discovery_result("dr-gameday", version("dr-gameday"), "kubernetes")
    found["activities"] = [*discover_actions(_ACTIONS), *discover_probes(_PROBES)]
    return found
