"""Disaster recovery of platforms that live in git."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def discover(discover_system: bool = True) -> dict[str, Any]:
    """Return what the Chaos Toolkit extension offers; `chaos discover` looks for this in the package's root.

    `discover_system` is how it is called; there is no system to look at.
    """
    # By name: the package's root stands below everything else, and `dr --help` must not pay for it.
    found: dict[str, Any] = import_module("dr.chaos").discover(discover_system)
    return found
