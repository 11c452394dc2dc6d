"""Roles of which one right was taken: what a least-privilege role must not do without."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from dr.core.model import Body


def without(role: Body) -> Iterator[tuple[str, Body]]:
    """Yield a Role with each one of its rights left out, and that right."""
    for number, rule in enumerate(role["rules"]):
        for verb in rule["verbs"]:
            less: Any = copy.deepcopy(role)
            less["rules"][number]["verbs"].remove(verb)
            less["rules"] = [rule for rule in less["rules"] if rule["verbs"]]
            yield f"{role['metadata'].get('namespace', 'everywhere')}: {verb} {rule['resources'][0]}", less
