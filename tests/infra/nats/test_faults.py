"""Lost requests, lost answers, broken connections and killed servers: nothing acknowledged is
lost, nothing is written twice, and no condition is skipped."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.aio.subscription import Subscription

from domain.errors import ConflictError, TransientError
from infra.nats.connection import Connection, access
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import RUNS, JetStreamLog
from infra.nats.parser import Tap
from infra.nats.writer import RUN_MAX, StreamWriter
from infra.ports import Append, EventLog, Write
from infra.settings import Settings
from tests.contract.test_event_log import degraded, lead, meta
from tests.support.nats import connected, empty_streams, settings_for, until
from tests.support.ports import free_port

ACK_TIMEOUT_S = 0.1


class LossyConnection(Connection):
    """Loses requests before they leave, answers after they arrived, or the whole connection."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.request_loss = self.answer_loss = self.cut = 0.0
        self.lost: Counter[str] = Counter()

    def push(self, commands: bytes) -> bool:
        if b"PUB events." in commands:
            if self.chance.random() < self.request_loss:
                self.lost["request"] += 1
                return True
            if self.chance.random() < self.cut:
                self.lost["connection"] += 1
                asyncio.get_running_loop().call_soon(self._cut)
        return super().push(commands)

    def _cut(self) -> None:
        transport = self._transport
        if transport is not None and self.is_connected:
            transport.close()  # type: ignore[no-untyped-call]

    async def tap(self, subject: str, callback: Tap) -> Subscription:
        def lossy(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
            if b'"seq"' in data and self.chance.random() < self.answer_loss:
                self.lost["answer"] += 1
            else:
                callback(subject, reply, data, headers)

        return await super().tap(subject, lossy)


async def lossy(settings: Settings, seed: int) -> LossyConnection:
    nc = LossyConnection(random.Random(seed))
    servers, options = access(settings, "service")
    await nc.connect(
        servers=servers,
        error_cb=nc.failed,
        reconnected_cb=nc.reconnected,
        reconnect_time_wait=0.01,  # type: ignore[arg-type]
        max_reconnect_attempts=-1,
        **options,
    )
    return nc


@pytest.fixture
async def losing(settings: Settings) -> AsyncIterator[tuple[JetStreamLog, LossyConnection]]:
    async with empty_streams(settings):
        nc = await lossy(settings, seed=7)
        writer = await StreamWriter(nc, ack_timeout_s=ACK_TIMEOUT_S).start()
        log = JetStreamLog(nc, writer=writer)
        yield log, nc
        await log.close()
        await nc.close()


Losing = tuple[JetStreamLog, LossyConnection]


async def test_a_lost_answer_to_a_versioned_append_is_recognised_as_done(losing: Losing) -> None:
    log, nc = losing
    nc.answer_loss = 1.0
    attempt = asyncio.ensure_future(log.append([Write(degraded(), 0)], meta=meta("1")))
    await until(lambda: bool(nc.lost["answer"]))
    nc.answer_loss = 0.0
    assert await attempt == (1,)
    assert await log.last_position() == 1


@pytest.mark.parametrize("kind", ["plain", "fenced", "versions", "both"])
async def test_whatever_the_conditions_a_lost_answer_leads_to_one_write(
    losing: Losing, kind: str
) -> None:
    log, nc = losing
    fence = await lead(log, 1)
    writes: Sequence[Write] = {
        "plain": [Write(degraded("a"))],
        "fenced": [Write(degraded("a"))],
        "versions": [Write(degraded("a"), 0), Write(degraded("b"), 0)],
        "both": [Write(degraded("a"), 0), Write(degraded("b"))],
    }[kind]
    nc.answer_loss = 1.0
    attempt = asyncio.ensure_future(
        log.append(writes, meta=meta("1"), fence=fence if kind in ("fenced", "both") else None)
    )
    await until(lambda: bool(nc.lost["answer"]))
    nc.answer_loss = 0.0
    assert await attempt == tuple(range(2, 2 + len(writes)))
    assert await log.last_position() == 1 + len(writes)


async def test_an_append_nobody_answers_ends_as_try_again(
    losing: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.nats.log.APPEND_TIMEOUT_S", 0.3)
    log, nc = losing
    await log.last_position()
    nc.request_loss = 1.0
    with pytest.raises(TransientError):
        await log.append([Write(degraded(), 0)], meta=meta("1"))
    nc.request_loss = 0.0
    assert await log.append([Write(degraded(), 0)], meta=meta("1")) == (1,)


async def test_of_many_appends_without_answers_a_bounded_number_is_on_its_way(
    losing: Losing,
) -> None:
    log, nc = losing
    read = 0

    def appends() -> Iterator[Append]:
        nonlocal read
        for n in range(3000):
            read += 1
            yield [Write(degraded(f"{n}"))], meta(f"{n}")

    await log.last_position()
    nc.answer_loss = 1.0
    attempt = asyncio.ensure_future(log.append_each(appends()))
    await until(lambda: nc.lost["answer"] > 1)
    before = -1
    while before != read:  # until it goes no further
        before = read
        await asyncio.sleep(0.05)  # half of the time that an answer has
    assert RUN_MAX < read <= (RUNS + 1) * RUN_MAX
    nc.answer_loss = 0.0
    outcomes = await attempt
    assert {o for o in outcomes if isinstance(o, tuple)} == {(p,) for p in range(1, 3001)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fenced", [False, True])
async def test_under_losses_each_of_many_appends_is_written_once_and_knows_where(
    losing: Losing, seed: int, fenced: bool
) -> None:
    """Plain ones, pairs, versions that hold and versions that do not, in one call."""
    log, nc = losing
    nc.chance = random.Random(seed)
    fence = await lead(log, 1) if fenced else None
    await log.append([Write(degraded("taken"))], meta=meta("taken"))
    appends: list[Append] = []
    for n in range(600):
        version = None if fenced and n % 3 != 1 else 0
        writes = [Write(degraded("taken" if n % 50 == 7 else f"{n}", f"{n}"), version)]
        if n % 3 == 1:
            writes.append(Write(degraded(f"second{n}", f"{n}")))
        appends.append((writes, meta(f"{n}")))
    nc.request_loss, nc.answer_loss, nc.cut = 1.0, 0.1, 0.02
    async with asyncio.timeout(60):
        attempt = asyncio.create_task(log.append_each(appends, fence=fence))
        # Few are sent, most of them together: of each kind one is lost for sure.
        await until(lambda: bool(nc.lost["request"]))
        nc.request_loss, nc.answer_loss = 0.1, 1.0
        await until(lambda: bool(nc.lost["answer"]))
        nc.answer_loss = 0.1
        outcomes = await attempt
    nc.request_loss = nc.answer_loss = nc.cut = 0.0
    for (asked, _), outcome in zip(appends, outcomes, strict=True):
        if asked[0].expected == 0 and asked[0].event.stream_key == "taken":
            assert isinstance(outcome, ConflictError)
            continue
        assert isinstance(outcome, tuple)
        for write, position in zip(asked, outcome, strict=True):
            recorded = await log.get(position)
            assert recorded is not None
            assert recorded.event == write.event
    taken = {p for outcome in outcomes if isinstance(outcome, tuple) for p in outcome}
    assert await log.last_position() == len(taken) + (2 if fenced else 1)


async def count_up(log: EventLog, name: str, steps: int, tag: str) -> list[int]:
    """Append ``steps`` events to one subject, each on the version read before it."""
    done: list[int] = []
    while len(done) < steps:
        last = await log.last(f"events.service.{name}")
        position = last.position if last else 0
        event = degraded(name, f"{tag}-{len(done)}")
        try:
            (new,) = await log.append([Write(event, position)], meta=meta(f"{tag}-{len(done)}"))
        except ConflictError:
            continue
        except TransientError:
            continue  # the same command again: it may have been written
        done.append(new)
    return done


def reasons(found: Sequence[Any]) -> list[str]:
    return [recorded.event.reason for recorded in found]


@pytest.mark.parametrize("seed", range(4))
async def test_under_losses_of_every_kind_each_event_is_written_exactly_once(
    settings: Settings, seed: int
) -> None:
    """Several writers race for each of a few subjects while messages and connections get lost."""
    async with empty_streams(settings) as owner:
        nc = await lossy(settings, seed)
        log = JetStreamLog(nc, writer=await StreamWriter(nc, ack_timeout_s=ACK_TIMEOUT_S).start())
        nc.request_loss, nc.answer_loss, nc.cut = 0.05, 0.05, 0.01
        steps, names, rivals = 12, ("a", "b", "c"), 3
        async with asyncio.timeout(60):
            positions = await asyncio.gather(
                *(
                    count_up(log, name, steps, f"{name}{rival}")
                    for name in names
                    for rival in range(rivals)
                )
            )
        await log.close()
        await until(lambda: nc.is_connected)
        await nc.close()
        assert all(nc.lost[kind] for kind in ("request", "answer")), nc.lost

        clean = JetStreamLog(owner)
        stored = [r for name in names for r in await clean.read(f"events.service.{name}")]
        await clean.close()
    expected = {f"{n}{r}-{s}" for n in names for r in range(rivals) for s in range(steps)}
    assert Counter(reasons(stored)) == Counter(expected)
    assert sorted(p for each in positions for p in each) == sorted(r.position for r in stored)


async def restarted(server: EmbeddedServer, count: int) -> None:
    await until(lambda: server.restarts == count)


class Load:
    """Writers and a follower on one connection, and what they came to know."""

    def __init__(self, log: JetStreamLog) -> None:
        self.log = log
        self.stop = asyncio.Event()
        self.acknowledged: dict[str, int] = {}
        self.seen: list[Any] = []

    async def write(self, name: str) -> None:
        number = 0
        while not self.stop.is_set():
            tag = f"{name}-{number}"
            pair = [Write(degraded(name, tag)), Write(degraded(f"{name}2", tag))]
            try:
                first, *_ = await self.log.append(pair[: 1 + number % 2], meta=meta(tag))
            except TransientError:
                continue  # the same again
            self.acknowledged[tag] = first
            number += 1

    async def read(self) -> None:
        async for batch in self.log.follow(["events.service.*"]):
            self.seen.extend(batch.events)

    async def progress(self, count: int) -> None:
        enough = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= enough)

    async def run(self, server: EmbeddedServer, kills: int) -> None:
        writers = [asyncio.create_task(self.write(f"w{n}")) for n in range(8)]
        reader = asyncio.create_task(self.read())
        try:
            for number in range(1, kills + 1):
                await self.progress(100)
                os.kill(server.pid, signal.SIGKILL)
                await restarted(server, number)
                if number % 8 == 0:
                    server.forgive()  # so many deaths are what supervision gives up on
            self.stop.set()
            await asyncio.gather(*writers)
            last = await self.log.last_position()
            await until(lambda: bool(self.seen) and self.seen[-1].position >= last)
        finally:
            for task in (*writers, reader):
                task.cancel()
            await asyncio.gather(*writers, reader, return_exceptions=True)

    def faults(self) -> dict[str, int]:
        positions = [recorded.position for recorded in self.seen]
        ids = Counter(recorded.id for recorded in self.seen)
        at = {recorded.position: recorded.event.reason for recorded in self.seen}
        return {
            "lost": sum(at.get(position) != tag for tag, position in self.acknowledged.items()),
            "doubled": sum(count > 1 for count in ids.values()),
            "missed, repeated or out of order at the follower": sum(
                found != expected for expected, found in enumerate(positions, 1)
            ),
        }


async def kill_while_busy(tmp_path: Path, kills: int) -> Load:
    """Kill the server again and again under load; return what writers and follower know."""
    server = EmbeddedServer(tmp_path, free_port())
    await server.start()
    settings = settings_for(tmp_path, server.port)
    try:
        async with empty_streams(settings), connected(settings) as nc:
            load = Load(JetStreamLog(nc))
            await load.run(server, kills)
            await load.log.close()
    finally:
        await server.stop()
    return load


@pytest.mark.parametrize(
    "kills",
    [3, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
async def test_killing_the_server_under_load_loses_and_doubles_nothing(
    tmp_path: Path, kills: int
) -> None:
    load = await kill_while_busy(tmp_path, kills)
    assert not any(load.faults().values()), load.faults()
    assert len(load.acknowledged) >= 100 * kills
