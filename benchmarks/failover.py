"""Failover: from the fault to the new leader's first accepted fenced write, as a reader sees it.

``python -m benchmarks.failover [KILLS]`` (200 by default, about ten minutes; slower faults get a
tenth of it). The service is this module's own: its leader writes one fenced event every few
milliseconds. The baseline (``benchmarks.ttl_polling``) runs on the same server in the same run.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import ttl_polling
from benchmarks.report import Figure, save, show
from domain.delivery_events import ServiceRecovered
from domain.errors import TransientError
from domain.event import Event
from domain.instance import LeadershipTaken
from domain.recorded import Recorded
from infra.nats.connection import open_connection
from infra.nats.log import JetStreamLog
from infra.ports import Context, Meta, Term, Write
from infra.settings import Settings
from phoenix import sockets
from phoenix.forker import Forker
from phoenix.group import Group, Plan, Release
from phoenix.lease import Timing
from tests.phoenix.running import free_base
from tests.support.nats import running_server, settings_for

LEASE_S = 2.0
SUBJECT = "events.service.bench"
KILLED = "kill -9 of the leader, launcher alive"
ALONE = "leader and its launcher gone"


class Bench:
    """A service whose leader writes all the time."""

    name = "bench"
    version = "1"
    tier = 2
    features: Sequence[str] = ()
    dependencies: Sequence[str] = ()
    tables: Sequence[Any] = ()
    open_writes = True

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def routes(self) -> Sequence[Any]:
        return ()

    def figures(self) -> Mapping[str, object]:
        return {}

    async def lead(self, term: Term) -> None:
        number = 0
        while not term.ended.is_set():
            number += 1
            meta = Meta(command_id=f"bench/{term.epoch}/{number}", actor=self._ctx.instance)
            event = ServiceRecovered(at=self._ctx.clock.now(), name="bench")
            try:
                await self._ctx.log.append([Write(event)], meta=meta, fence=term.fence)
            except TransientError:
                continue
            await asyncio.sleep(0.005)


def create(ctx: Context) -> Bench:
    return Bench(ctx)


@dataclass
class Arena:
    """A group under fire and a reader of what its leaders write."""

    group: Group
    forker: Forker
    log: JetStreamLog
    first_write: dict[int, float] = field(default_factory=dict)  # epoch -> when it was read
    took: dict[int, int] = field(default_factory=dict)  # epoch -> position of LeadershipTaken
    stale: int = 0
    writes: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        subscription = self.log.follow([SUBJECT, "events.leadership.bench"])
        try:
            async for batch in subscription:
                for recorded in batch.events:
                    self._note(recorded)
                self.news.set()
        finally:
            await subscription.close()

    def _note(self, recorded: Recorded[Event]) -> None:
        if isinstance(recorded.event, LeadershipTaken):
            self.took[recorded.event.epoch] = recorded.position
            return
        self.writes += 1
        self.stale += recorded.epoch < max(self.took, default=0)
        self.first_write.setdefault(recorded.epoch, time.monotonic())

    async def failover_s(self, fault: Callable[[], Awaitable[object]]) -> float:
        """Cause a fault and return the seconds until a newer leader's first write was read."""
        epoch = max(self.first_write)
        began = time.monotonic()
        doing = asyncio.ensure_future(fault())
        async with asyncio.timeout(30):
            while max(self.first_write) == epoch:
                self.news.clear()
                await self.news.wait()
        took = self.first_write[max(self.first_write)] - began
        await doing
        return took

    async def settle(self) -> None:
        """Wait until the group is whole and its leader's writes have been read."""
        assert await self.group.wait_ready(bound_s=30)
        async with asyncio.timeout(30):
            while not self.group.leader or self.group.leader.epoch not in self.first_write:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def arena(settings: Settings, size: int = 3) -> AsyncIterator[Arena]:
    """A group of the bench service and a reader of its writes; everything ends with the block."""
    env = {
        "PHOENIX_DATA_DIR": str(settings.data_dir),
        "PHOENIX_PORT_SHIFT": str(settings.port_shift),
        "PHOENIX_LEASE_S": str(LEASE_S),
        **({"PHOENIX_NATS_URL": settings.nats_url} if settings.nats_url else {}),
    }
    nc = await open_connection(settings, "service")
    log = JetStreamLog(nc)
    forker = Forker(env)
    ports = sockets.slot_ports(free_base(size), size, 1000)
    plan = Plan(service="bench", ports=ports, failovers_per_hour=100_000, calm_s=0.0)
    release = Release(reference="benchmarks.failover:create")
    group = Group(plan, release, sockets.bind({"bench": ports})["bench"], forker=forker)
    here = Arena(group, forker, log)
    reading = asyncio.create_task(here.read())
    try:
        forker.start()
        await group.start()
        yield here
    finally:
        await group.stop()
        await group.settled()
        group.close()
        await forker.stop()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await log.close()
        await nc.close()


async def kills(here: Arena, count: int) -> list[float]:
    async def kill() -> None:
        assert here.group.leader is not None
        os.kill(here.group.leader.pid, signal.SIGKILL)

    return await _repeat(here, kill, count)


async def switchovers(here: Arena, count: int) -> list[float]:
    return await _repeat(here, here.group.switchover, count)


async def stops(here: Arena, count: int) -> list[float]:
    """SIGSTOP; the stopped leader wakes as soon as there is a new one and tries to write on."""

    async def stop() -> None:
        leader = here.group.leader
        assert leader is not None
        epoch = max(here.first_write)
        leader.signal(signal.SIGSTOP)
        while max(here.first_write) == epoch:
            here.news.clear()
            await here.news.wait()
        leader.signal(signal.SIGCONT)

    return await _repeat(here, stop, count)


async def _repeat(here: Arena, fault: Callable[[], Awaitable[object]], count: int) -> list[float]:
    taken: list[float] = []
    for _ in range(count):
        await here.settle()
        taken.append(await here.failover_s(fault))
    await here.settle()
    return taken


async def launcher_and_leader(settings: Settings, count: int) -> list[float]:
    """The leader's own launcher is silent: standbys of another launcher have only the lease."""
    taken: list[float] = []
    for _ in range(count):
        async with arena(settings, size=1) as alone:
            await alone.settle()
            async with arena(settings, size=2) as others:
                ready = [m for m in others.group.members.values() if m.state == "ready"]
                while len(ready) < 2 or not others.first_write:
                    await asyncio.sleep(0.05)
                    ready = [m for m in others.group.members.values() if m.state == "ready"]

                async def kill(alone: Arena = alone) -> None:
                    (leader,) = alone.group.members.values()
                    os.kill(leader.pid, signal.SIGKILL)

                taken.append(await others.failover_s(kill))
    return taken


def baseline(theirs: Sequence[float], ours: Sequence[float], *, against: str) -> Figure:
    """The published algorithm; the ratio of the medians says how many times as long it takes."""
    line = figure(f"TTL {ttl_polling.TTL_S:g} s and polling, the holder gone", theirs)
    ratio = statistics.median(theirs) / statistics.median(ours)
    return replace(line, against=against, ratio=ratio)


def figure(name: str, taken: Sequence[float], goal_s: float | None = None) -> Figure:
    ordered = sorted(taken)
    at_99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return Figure(
        name,
        at_99 * 1000,
        "ms at 99 %",
        goal=f"<= {goal_s * 1000:.0f} ms" if goal_s else "",
        met=at_99 <= goal_s if goal_s else None,
        detail={
            "min": ordered[0] * 1000,
            "median": statistics.median(ordered) * 1000,
            "max": ordered[-1] * 1000,
            "count": len(ordered),
        },
    )


async def measure(settings: Settings, count: int) -> list[Figure]:
    few = max(3, count // 10)
    lease_s = Timing(LEASE_S).lease_s
    async with arena(settings) as here:
        killed = await kills(here, count)
        switched = await switchovers(here, few)
        stopped = await stops(here, few)
        stale, writes = here.stale, here.writes
    alone = await launcher_and_leader(settings, few)
    polling = await ttl_polling.failovers(settings, few)
    return [
        figure(KILLED, killed, 0.1),
        figure("switchover", switched, 0.05),
        figure("SIGSTOP of the leader", stopped, lease_s + 0.5),
        figure(ALONE, alone, lease_s + 0.3),
        baseline(polling, killed, against=KILLED),
        baseline(polling, alone, against=ALONE),
        Figure(
            "stale writes of deposed leaders",
            stale,
            "events",
            goal="0",
            met=stale == 0,
            detail={"of": writes},
        ),
    ]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    from infra.nats import setup

    async def run(settings: Settings) -> list[Figure]:
        owner = await open_connection(settings, "owner")
        await setup.ensure(owner)
        await owner.close()
        return await measure(settings, count)

    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        figures = asyncio.run(run(settings_for(server.data_dir, server.port)))
    show(f"Failover, lease {LEASE_S:g} s, sync always", figures)
    save("failover", figures)


if __name__ == "__main__":
    main()
