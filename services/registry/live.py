"""What running instances say of themselves at this moment: health, lag and traffic, of which no
event tells. Asked of every port of a group at once, and at most once a second.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from infra.ports import Context
from infra.probe import json_of
from infra.trust import TRUST

ASK_S = 0.5
FRESH_S = 1.0
FIELDS = ("status", "position", "lag", "requests_per_s", "problem")
_NOTHING: Mapping[str, Any] = dict.fromkeys(FIELDS)


class Live:
    """``told`` answers for the groups that this host's ports lead to."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._asking = asyncio.Lock()
        self._told: dict[str, Mapping[str, Any]] = {}
        self._asked_at = float("-inf")

    async def told(self, ports: Iterable[int]) -> Mapping[str, Mapping[str, Any]]:
        """By instance: what ``/health`` said, field by field. Nothing of who did not answer."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_S:
                self._told = await self._ask(ports)
                self._asked_at = time.monotonic()
            return self._told

    async def _ask(self, ports: Iterable[int]) -> dict[str, Mapping[str, Any]]:
        async with httpx.AsyncClient(verify=TRUST, timeout=ASK_S, trust_env=False) as asking:
            urls = [f"{self._ctx.host_url(port)}/health" for port in set(ports)]
            found = await asyncio.gather(*(json_of(asking, "GET", url) for url in urls))
        return {
            health["instance"]: {field: health.get(field) for field in FIELDS}
            for health in found
            if isinstance(health.get("instance"), str)
        }


def with_live(group: dict[str, Any], told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A group with what its instances say of themselves under ``live`` (null: no answer)."""
    members = [
        {**member, "live": told.get(member["instance"], _NOTHING)} for member in group["instances"]
    ]
    return {**group, "instances": members}
