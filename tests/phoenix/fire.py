"""Traffic on a group while its instances are killed or its leadership is moved: what clients saw,
against what the log holds.

Schedule    a request every ``1 / per_s`` seconds, whatever became of those before; every other is
            a command. Its time counts from the moment it was due, with all its repeats.
Repeats     a request whose connection died is sent again, a command under the same
            ``Idempotency-Key``: that is the whole retry rule that clients need.
"""

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from infra.ports import EventLog
from infra.trust import TRUST
from phoenix.group import Group
from phoenix.member import Member

PER_S = 200.0
GIVE_UP_S = 30.0
KEPT = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)


@dataclass
class Outcome:
    """``seconds`` are of each answered request; ``acknowledged`` the keys of answered commands."""

    seconds: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    repeats: int = 0
    unanswered: int = 0
    wrong: Counter[int] = field(default_factory=Counter)  # answers other than 2xx
    lost: int = 0  # acknowledged, and not in the log
    twice: int = 0  # in the log more than once
    kills: int = 0
    kills_of_leaders: int = 0
    switchovers: int = 0

    @property
    def slowest_s(self) -> float:
        return max(self.seconds, default=0.0)

    def share_s(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, round(share * len(ordered)))]


class Fire:
    """Sends requests to the given ports until told to stop."""

    def __init__(self, ports: Sequence[int], *, per_s: float = PER_S) -> None:
        self.outcome = Outcome()
        self._ports = ports
        self._every_s = 1.0 / per_s
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Send until ``stop``, then wait for what is on its way."""
        async with (
            httpx.AsyncClient(
                verify=TRUST, trust_env=False, timeout=GIVE_UP_S, limits=KEPT
            ) as http,
            asyncio.TaskGroup() as requests,
        ):
            due, number = time.monotonic(), 0
            while not self._stop.is_set():
                number += 1
                port = self._ports[number // 2 % len(self._ports)]
                send = self._command if number % 2 else self._read
                requests.create_task(send(http, port, due))
                due += self._every_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _read(self, http: httpx.AsyncClient, port: int, due: float) -> None:
        await self._until_answered(http, httpx.Request("GET", _url(port, "/who")), due)

    async def _command(self, http: httpx.AsyncClient, port: int, due: float) -> None:
        key = uuid.uuid4().hex
        url, headers = _url(port, "/notes"), {"Idempotency-Key": key}
        if await self._until_answered(http, httpx.Request("POST", url, headers=headers), due):
            self.outcome.acknowledged.add(key)

    async def _until_answered(
        self, http: httpx.AsyncClient, request: httpx.Request, due: float
    ) -> bool:
        while time.monotonic() - due < GIVE_UP_S:
            try:
                answer = await http.send(request)
            except httpx.ConnectError:
                self.outcome.refused += 1
            except httpx.TransportError:
                self.outcome.repeats += 1
            else:
                self.outcome.seconds.append(time.monotonic() - due)
                if not answer.is_success:
                    self.outcome.wrong[answer.status_code] += 1
                return answer.is_success
        self.outcome.unanswered += 1
        return False


def _url(port: int, path: str) -> str:
    return f"http://127.0.0.1:{port}{path}"


async def under_fire(
    group: Group,
    log: EventLog,
    *,
    kills: int = 0,
    switchovers: int = 0,
    seed: int,
    per_s: float = PER_S,
) -> Outcome:
    """Kill random instances, then move the leadership, each time as soon as the group is whole
    again; return what happened."""
    fire = Fire(group.plan.ports, per_s=per_s)
    firing = asyncio.create_task(fire.run())
    outcome, choice = fire.outcome, random.Random(seed)
    try:
        for number in range(kills + switchovers):
            assert await group.wait_ready(bound_s=30), "the group did not become whole"
            await asyncio.sleep(choice.uniform(0.0, 0.3))  # faults fall anywhere in normal life
            if number < kills:
                await _kill(group, choice.choice(list(group.members.values())), outcome)
            else:
                assert await group.switchover()
                outcome.switchovers += 1
        assert await group.wait_ready(bound_s=30), "the group did not become whole"
    finally:
        fire.stop()
        await firing
    await compare(log, outcome)
    return outcome


async def _kill(group: Group, victim: Member, outcome: Outcome) -> None:
    outcome.kills_of_leaders += victim.leads
    os.kill(victim.pid, signal.SIGKILL)
    outcome.kills += 1
    while group.members.get(victim.seat) is victim:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.001)


async def compare(log: EventLog, outcome: Outcome) -> None:
    """Count the commands in the log."""
    stored: Counter[str] = Counter()
    subscription = log.follow(["events.service.>"])
    try:
        async for batch in subscription:
            stored.update(recorded.correlation_id for recorded in batch.events)
            if batch.pending == 0:  # nobody writes any more
                break
    finally:
        await subscription.close()
    outcome.lost = len(outcome.acknowledged - stored.keys())
    outcome.twice = sum(count > 1 for count in stored.values())
