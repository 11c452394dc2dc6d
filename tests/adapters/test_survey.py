"""Everything on a cluster is listed once, also when the list takes longer than the server remembers it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from dr.adapters.kube import Kube, Survey
from dr.adapters.kube.answers import refused
from dr.core.errors import ApiError
from dr.engine.ports import Api


class Forgetful:
    """A server of three pages that has forgotten the list by the second one."""

    def __init__(self, *, says: bool) -> None:
        self._rest = {"continue": "from-2-as-it-is-now"} if says else {}

    async def send(self, method: str, path: str, headers: Any = None, **query: str) -> tuple[int, bytes, str]:
        assert (method, path, bool(headers)) == ("GET", "/api/v1/configmaps", True)
        pages = {"": (1, "2"), "from-2-as-it-is-now": (2, "3"), "3": (3, "")}
        token = query.get("continue", "")
        if token not in pages:
            body = {"message": "too old", "reason": "Expired", "code": 410, "metadata": self._rest}
            raise refused(410, json.dumps(body).encode(), "")
        number, rest = pages[token]
        items = [{"metadata": {"name": f"c{number}"}}]
        return 200, json.dumps({"items": items, "metadata": {"continue": rest}}).encode(), "application/json"


async def names(server: Forgetful) -> list[str]:
    survey = Survey(cast("Kube", server))
    api = Api("", "v1", "ConfigMap", "configmaps", True)
    return [body["metadata"]["name"] async for page in survey.pages(api) for body in page]


def test_a_list_that_the_server_has_forgotten_goes_on_where_it_was() -> None:
    assert asyncio.run(names(Forgetful(says=True))) == ["c1", "c2", "c3"]


def test_a_list_that_cannot_go_on_is_an_error_and_no_half_truth() -> None:
    with pytest.raises(ApiError, match="too old"):
        asyncio.run(names(Forgetful(says=False)))
