"""Failover: from the fault to the new leader's first accepted fenced write, as a reader sees it.

``python -m benchmarks.failover [--add] [PART=COUNT ...]`` (all parts: about ten minutes; with
``--add`` a part at a time, its samples added to those of earlier runs). The service is this
module's own: its leader writes one fenced event every few milliseconds, and each names the last one
that was acknowledged. The baseline is ``benchmarks.ttl_polling``.
"""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import ttl_polling
from benchmarks.report import Figure, Samples, none, parts_asked, save, show, spread
from domain.delivery_events import ServiceRecovered
from domain.errors import TransientError
from domain.event import Event
from domain.instance import LeadershipTaken
from domain.recorded import Recorded
from infra.nats import setup
from infra.nats.connection import open_connection
from infra.nats.log import JetStreamLog
from infra.ports import Context, Meta, Term, Write
from infra.settings import Settings
from phoenix import sockets
from phoenix.forker import Forker
from phoenix.group import Group, Plan, Release
from phoenix.lease import Timing
from tests.support.nats import running_server, settings_for
from tests.support.ports import free_base

LEASE_S = 2.0
SUBJECT = "events.service.bench"
PARTS = {"kill": 200, "switchover": 20, "term": 20, "stop": 20, "alone": 20, "polling": 20}
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
        number = acknowledged = 0
        while not term.ended.is_set():
            number += 1
            command = f"bench/{term.epoch}/{number}"
            meta = Meta(
                command_id=command,
                actor=self._ctx.instance,
                correlation_id=command,
                causation_id=str(acknowledged),
            )
            event = ServiceRecovered(at=self._ctx.clock.now(), name="bench")
            try:
                (acknowledged,) = await self._ctx.log.append(
                    [Write(event)], meta=meta, fence=term.fence
                )
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


async def terms(here: Arena, count: int) -> list[float]:
    """SIGTERM: the instance itself ends in order; its launcher did not ask for it."""

    async def term() -> None:
        assert here.group.leader is not None
        here.group.leader.signal(signal.SIGTERM)

    return await _repeat(here, term, count)


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
    line = spread(f"TTL {ttl_polling.TTL_S:g} s and polling, the holder gone", theirs)
    ratio = statistics.median(theirs) / statistics.median(ours)
    return replace(line, against=against, ratio=ratio)


async def checked(log: JetStreamLog) -> tuple[int, int]:
    """Read everything that leaders wrote: how many acknowledged events are missing (each event
    names the last one before it that was), and how many were written twice."""
    stored: Counter[str] = Counter()
    positions, named = set[int](), set[int]()
    subscription = log.follow([SUBJECT])
    try:
        async for batch in subscription:
            for recorded in batch.events:
                stored[recorded.correlation_id] += 1
                positions.add(recorded.position)
                named.add(int(recorded.causation_id))
            if batch.pending == 0:  # nobody writes any more
                break
    finally:
        await subscription.close()
    return len(named - positions - {0}), sum(count > 1 for count in stored.values())


async def measure(settings: Settings, asked: Mapping[str, int], samples: Samples) -> None:
    """Run the parts asked for; all that they find goes to the samples."""
    faults = {"kill": kills, "switchover": switchovers, "term": terms, "stop": stops}
    async with arena(settings) as here:
        for part in faults.keys() & asked.keys():
            samples.add(part, await faults[part](here, asked[part]))
        samples.add("writes", [here.writes])
        samples.add("stale", [here.stale])
    nc = await open_connection(settings, "service")
    missing, twice = await checked(JetStreamLog(nc))
    await nc.close()
    samples.add("missing", [missing])
    samples.add("twice", [twice])
    if "alone" in asked:
        samples.add("alone", await launcher_and_leader(settings, asked["alone"]))
    if "polling" in asked:
        samples.add("polling", await ttl_polling.failovers(settings, asked["polling"]))


def figures(samples: Samples) -> list[Figure]:
    lease_s = Timing(LEASE_S).lease_s
    goals = {
        "kill": (KILLED, 0.1),
        "switchover": ("switchover", 0.05),
        "term": ("SIGTERM of the leader", 0.05),
        "stop": ("SIGSTOP of the leader", lease_s + 0.5),
        "alone": (ALONE, lease_s + 0.3),
    }
    lines = [
        spread(name, samples.of(part), goal_s)
        for part, (name, goal_s) in goals.items()
        if samples.of(part)
    ]
    if polling := samples.of("polling"):
        lines += [
            baseline(polling, samples.of(part), against=goals[part][0])
            for part in ("kill", "alone")
            if samples.of(part)
        ]
    of = {"of": sum(samples.of("writes"))}
    return [
        *lines,
        none("stale writes of deposed leaders", sum(samples.of("stale")), of),
        none("acknowledged writes lost", sum(samples.of("missing")), of),
        none("writes done twice", sum(samples.of("twice")), of),
    ]


def main() -> None:
    asked, add = parts_asked(PARTS, __doc__)
    samples = Samples("failover", add=add)

    async def run(settings: Settings) -> None:
        owner = await open_connection(settings, "owner")
        await setup.ensure(owner)
        await owner.close()
        await measure(settings, asked, samples)

    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        asyncio.run(run(settings_for(server.data_dir, server.port)))
    lines = figures(samples)
    show(f"Failover, lease {LEASE_S:g} s, sync always", lines)
    save("failover", lines)


if __name__ == "__main__":
    main()
