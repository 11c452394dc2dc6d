"""Disaster recovery of platforms that live in git."""

from __future__ import annotations

from typing import Any


def discover(discover_system: bool = True) -> dict[str, Any]:
    """Return what the Chaos Toolkit extension offers; `chaos discover` looks for this in the package's root.

    `discover_system` is how it is called; there is no system to look at.
    """
    from dr.chaos import discover as found  # noqa: PLC0415 - `dr --help` must not pay for it

    return found(discover_system)
