"""Requests at a steady rate, in turn over kept connections and over new ones, until it is left."""

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.trust import TRUST

TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Call:
    """One request; ``bodies`` take turns, so that a command always has something to change."""

    service: str
    method: str
    url: str
    bodies: tuple[Any, ...] = (None,)


@dataclass
class Tally:
    """What came of the requests to one service. ``failed``: no answer, or no 2xx."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


@dataclass
class Load:
    calls: Sequence[Call]
    rate: float = 60.0  # requests a second, all calls together
    token: str = ""
    tallies: dict[str, Tally] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def answered(self) -> int:
        return sum(tally.answered for tally in self.tallies.values())

    @property
    def failed(self) -> list[str]:
        return [problem for tally in self.tallies.values() for problem in tally.failed]

    def __enter__(self) -> "Load":
        self.tallies = {call.service: Tally() for call in self.calls}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(2 * TIMEOUT_S)

    async def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        new = httpx.Limits(max_keepalive_connections=0, max_connections=200)
        async with (
            httpx.AsyncClient(
                timeout=TIMEOUT_S, trust_env=False, verify=TRUST, headers=headers
            ) as kept,
            httpx.AsyncClient(
                timeout=TIMEOUT_S, trust_env=False, verify=TRUST, headers=headers, limits=new
            ) as fresh,
            asyncio.TaskGroup() as tasks,
        ):
            began = time.monotonic()
            for sent in itertools.count():
                turn, number = divmod(sent, len(self.calls))
                call = self.calls[number]
                await asyncio.sleep(max(0.0, began + sent / self.rate - time.monotonic()))
                if self._stop.is_set():
                    return
                client = (kept, fresh)[turn % 2]
                body = call.bodies[turn // 2 % len(call.bodies)]
                tasks.create_task(self._one(client, call, body))

    async def _one(self, client: httpx.AsyncClient, call: Call, body: Any) -> None:
        tally, began = self.tallies[call.service], time.monotonic()
        try:
            answer = await client.request(call.method, call.url, json=body)
            if not answer.is_success:
                raise httpx.HTTPError(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            at = time.strftime("%H:%M:%S")
            tally.failed.append(f"{at} {call.method} {call.url}: {error!r}")
        else:
            tally.answered += 1
            tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
