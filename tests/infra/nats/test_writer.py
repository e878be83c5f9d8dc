"""The writer: lone messages go plainly, piled-up ones together, and nobody pays for another."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from domain.errors import ConflictError, StaleEpoch
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.log import JetStreamLog
from infra.nats.writer import (
    Ack,
    Costs,
    Message,
    NoAnswer,
    StreamWriter,
)
from infra.ports import Write
from tests.contract.test_event_log import degraded, lead, meta


class BatchesAtOnce(Costs):
    """Costs under which two waiting groups are reason enough for a batch."""

    def batch_pays(self, messages: int) -> bool:
        return messages > 1


@pytest.fixture
async def writer(nc: Connection) -> AsyncIterator[StreamWriter]:
    started = await StreamWriter(nc).start()
    started.costs = BatchesAtOnce()
    yield started
    await started.close()


def message(subject: str, expected: int | None = None, *, id: str = "", fence: str = "") -> Message:
    return Message(f"events.{subject}", b"{}", id, expected, fence)


async def all_of(writer: StreamWriter, *groups: list[Message]) -> list[Ack | BaseException]:
    return await asyncio.gather(
        *(writer.publish(group) for group in groups), return_exceptions=True
    )


async def test_a_lone_message_is_a_plain_publish(writer: StreamWriter) -> None:
    for number in range(5):
        await writer.publish([message(f"t.{number}")])
    assert (writer.singles, writer.batches) == (5, 0)


async def test_groups_that_pile_up_travel_together_and_each_learns_its_own_positions(
    writer: StreamWriter,
) -> None:
    sizes = [1, 3, 1, 2, 1, 1, 4] * 10
    groups = [[message(f"t.{n}.{k}") for k in range(size)] for n, size in enumerate(sizes)]
    acks = await all_of(writer, *groups)
    taken: list[int] = []
    for size, ack in zip(sizes, acks, strict=True):
        assert isinstance(ack, Ack)
        assert ack.last - ack.first + 1 == size
        taken += range(ack.first, ack.last + 1)
    assert sorted(taken) == list(range(1, sum(sizes) + 1))
    assert writer.batches < len(groups) / 3


async def test_groups_of_several_messages_go_together_as_soon_as_there_are_two(
    writer: StreamWriter,
) -> None:
    for number in range(50):  # more than there are batches between two looks at single messages
        groups = [[message(f"t.{number}.{n}.{k}") for k in range(3)] for n in range(6)]
        acks = await all_of(writer, *groups)
        assert all(isinstance(ack, Ack) and ack.last - ack.first == 2 for ack in acks)
        assert writer.batches == 2 * (number + 1)  # the first at once, the others behind it


async def test_one_writers_conflict_fails_nobody_else(writer: StreamWriter) -> None:
    await writer.publish([message("t.taken")])
    wrong = {7, 23, 24, 58}
    groups = [
        [message("t.taken", 0)] if n in wrong else [message(f"t.free.{n}", 0)] for n in range(64)
    ]
    outcomes = await all_of(writer, *groups)
    refused = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, api.Refused)}
    assert refused == wrong
    assert all(isinstance(outcome, Ack) for n, outcome in enumerate(outcomes) if n not in wrong)


async def test_groups_that_cannot_share_a_batch_follow_each_other(writer: StreamWriter) -> None:
    """A condition on what the same batch writes, or one id twice, would refuse the whole batch."""
    await writer.publish([message("t.a", id="first")])
    outcomes = await all_of(
        writer,
        [message("t.filler.1")],
        [message("t.b", 0, id="b1"), message("t.b", id="b2")],
        [message("t.c", id="c")],
        [message("t.c", id="c")],  # the same command from two callers
        [message("t.d", 0, fence="events.t.b")],  # loses against the second group
        [message("t.e", 1, fence="events.t.a")],
    )
    lost = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Ack)]
    assert lost == [4]
    assert isinstance(outcomes[3], Ack)
    assert isinstance(outcomes[2], Ack)
    assert outcomes[2].last == outcomes[3].last
    assert {outcomes[2].duplicate, outcomes[3].duplicate} == {True, False}


async def test_a_caller_that_gives_up_while_waiting_is_left_out(
    writer: StreamWriter, log: JetStreamLog
) -> None:
    tasks = [asyncio.ensure_future(writer.publish([message(f"t.{n}")])) for n in range(40)]
    await asyncio.sleep(0)  # all of them have asked
    for task in tasks[20:30]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, Ack) for outcome in outcomes) == 30
    assert await log.last_position() <= 40


@pytest.mark.parametrize("together", [1, 100])
async def test_a_run_of_single_messages_goes_as_it_is_or_packed(
    writer: StreamWriter, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer.costs, "batch_pays", lambda messages: messages > 50 / together)
    runs = [[[message(f"t.{n}.{k}")] for k in range(20)] for n in range(5)]
    for run in runs:
        firsts = [first for first in await writer.send_each(run) if isinstance(first, int)]
        assert len(firsts) == 20
        assert sorted(firsts) == list(range(min(firsts), min(firsts) + 20))
    assert (writer.singles == 100) == (together == 1)


async def test_a_run_that_its_caller_gives_up_is_left_out(
    writer: StreamWriter, log: JetStreamLog
) -> None:
    kept = writer.send_each([[message(f"t.{n}")] for n in range(40)])
    given_up = writer.send_each([[message(f"t.up.{n}")] for n in range(40)])
    given_up.cancel()
    await kept
    await writer.publish([message("t.last")])
    assert await log.last_position() <= 41 + writer.costs.probe


async def test_closing_tells_everyone_who_waits(nc: Connection, owner: Connection) -> None:
    writer = await StreamWriter(nc).start()
    many = [[message(f"t.{n}")] for n in range(40)]
    run = writer.send_each(many[:8])  # at once
    tasks = [asyncio.ensure_future(writer.publish(group)) for group in many]
    await asyncio.sleep(0)
    waiting = writer.send_each(many)
    await writer.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    late = writer.send_each(many)
    for each in (outcomes, await run, await waiting, await late):
        assert all(isinstance(outcome, NoAnswer) for outcome in each)
    with pytest.raises(NoAnswer):
        await writer.publish([message("t.late")])


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_group_must_fit_into_a_batch(writer: StreamWriter, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        await writer.publish([message(f"t.{n}") for n in range(count)])


class SlowBatches(BatchesAtOnce):
    """A batch takes so long that a whole crowd comes back meanwhile; nothing is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_s, self.append_s = 0.05, 0.001

    def saw_batch(self, count: int, took_s: float, *, waited: bool = True) -> None: ...
    def saw_appends(self, count: int, cpu_s: float) -> None: ...
    def saw_singles(self, count: int, waited_s: float, *, probe: bool = False) -> None: ...


async def one_after_the_other(writer: StreamWriter, callers: int, rounds: int) -> None:
    """All write again and again; after an answer they come back one a turn, as threads do."""
    gone = [[asyncio.Event() for _ in range(callers)] for _ in range(rounds)]

    async def call(caller: int) -> None:
        for number in range(rounds):
            # There and back: in the order of the last batch all would come in the same turn.
            before = caller + (1 if number % 2 else -1)
            if number and 0 <= before < callers:
                await gone[number][before].wait()
            answer = writer.send([message(f"t.{caller}.{number}")])
            gone[number][caller].set()
            await answer

    await asyncio.gather(*(call(caller) for caller in range(callers)))


@pytest.fixture
def waits(writer: StreamWriter, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For every wait for callers that is over: how many there were."""
    sizes: list[int] = []
    end = writer._lingered

    def over() -> None:
        sizes.append(len(writer._waiting))
        end()

    monkeypatch.setattr(writer, "_lingered", over)
    writer.costs = SlowBatches()
    return sizes


async def test_the_next_batch_waits_for_those_whom_the_last_one_has_answered(
    writer: StreamWriter, waits: list[int]
) -> None:
    await one_after_the_other(writer, 30, 10)
    assert max(waits) >= 20

    singles = writer.singles
    await asyncio.wait_for(writer.publish([message("t.last")]), 1.0)
    assert writer.singles == singles + 1


async def test_nobody_waits_for_callers_that_do_not_come_back(
    writer: StreamWriter, waits: list[int]
) -> None:
    for number in range(12):
        await all_of(writer, *([message(f"t.{number}.{k}")] for k in range(30)))
        await writer.publish([message("t.next")])  # goes when the wait is over
    assert 0 < len(waits) <= 4


async def test_it_learns_when_a_batch_pays() -> None:
    costs = Costs()
    for _ in range(50):
        costs.saw_singles(1, 0.000_4)  # an fsync each
        costs.saw_batch(100, 0.004)
    assert not costs.batch_pays(2)
    assert costs.batch_pays(50)
    for _ in range(100):
        costs.saw_singles(100, 0.001_5)  # no fsync
    assert not costs.batch_pays(200)


async def test_while_we_are_the_slow_side_nothing_is_packed() -> None:
    costs = Costs()
    for _ in range(20):
        costs.saw_singles(100, 0.0)  # never waited for the server
    assert not costs.batch_pays(1000)
    known_s = costs.batch_s
    costs.saw_batch(100, 0.5, waited=False)  # the answer lay there while we were busy
    assert costs.batch_s == known_s
    costs.saw_batch(100, 0.5)
    assert costs.batch_s > known_s


async def test_one_probe_says_more_than_all_before() -> None:
    costs = Costs()
    for _ in range(50):
        costs.saw_singles(1, 0.000_4)
    costs.saw_singles(32, 0.000_32, probe=True)
    assert costs.single_s < 0.000_1


@pytest.mark.parametrize("seed", range(3))
async def test_packed_or_not_every_condition_holds(
    nc: Connection, log: JetStreamLog, seed: int
) -> None:
    """Random appends race on few subjects, under a fence that a new leader takes half-way."""
    chance = random.Random(seed)
    fence = await lead(log, 1)
    (await log.writer()).costs = BatchesAtOnce()
    versions: dict[str, list[int]] = {name: [] for name in "abcd"}
    outcomes: dict[str, int] = {"ok": 0, "conflict": 0, "stale": 0}

    async def one(number: int) -> None:
        name = chance.choice("abcd")
        last = versions[name][-1] if versions[name] else 0
        writes = [Write(degraded(name, f"{number}"), last)]
        fenced = chance.random() < 0.5
        if fenced:
            writes.append(Write(degraded(f"extra{number}", "x")))
        try:
            first, *_ = await log.append(
                writes, meta=meta(f"{number}"), fence=fence if fenced else None
            )
        except ConflictError:
            outcomes["conflict"] += 1
        except StaleEpoch:
            outcomes["stale"] += 1
        else:
            versions[name].append(first)
            outcomes["ok"] += 1

    await asyncio.gather(*(one(n) for n in range(100)))
    for wave in range(8):
        await asyncio.gather(*(one(100 + wave * 10 + n) for n in range(10)))
    newer = await lead(log, 2, after=fence.position)
    await asyncio.gather(*(one(200 + n) for n in range(50)))

    assert all(outcomes.values()), outcomes
    for name, positions in versions.items():
        stored = await log.read(f"events.service.{name}")
        assert [r.position for r in stored] == sorted(positions)
        assert all(r.position < newer.position for r in stored if r.epoch == 1)
