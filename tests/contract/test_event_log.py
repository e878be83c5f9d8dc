"""One suite for the log on one server, on three, and its twin in memory: what users may rely on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from domain.delivery_events import PortReleased, PortReserved, ServiceDegraded, ServiceRecovered
from domain.errors import ConflictError, PoisonError, StaleEpoch, UnknownEventType
from domain.event import Event
from domain.instance import LeadershipTaken
from domain.intent import RawIntent
from infra.nats.log import JetStreamLog
from infra.nats.writer import Message
from infra.ports import Batch, EventLog, Fence, Guard, Meta, Subscription, Write
from tests.support.cluster import fresh_log_on_three
from tests.support.memory import MemoryLog
from tests.support.nats import fresh_log

T0 = datetime(2030, 1, 1, tzinfo=UTC)
RACES = 20


@pytest.fixture(params=["memory", "jetstream", "three servers"])
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[EventLog]:
    if request.param == "memory":
        return contextlib.nullcontext(MemoryLog())
    if request.param == "jetstream":
        return fresh_log(request.getfixturevalue("settings"))
    return fresh_log_on_three(request.getfixturevalue("cluster"))


@pytest.fixture
async def log(opening: AbstractAsyncContextManager[EventLog]) -> AsyncIterator[EventLog]:
    async with opening as opened:
        yield opened


def degraded(name: str = "a", reason: str = "slow") -> ServiceDegraded:
    return ServiceDegraded(name=name, at=T0, reason=reason)


def recovered(name: str = "a") -> ServiceRecovered:
    return ServiceRecovered(name=name, at=T0)


def meta(command: str, **more: str) -> Meta:
    return Meta(command_id=command, actor="test", **more)


async def lead(log: EventLog, epoch: int, *, after: int = 0) -> Fence:
    taken = LeadershipTaken(service="s", instance="s-1", epoch=epoch, reason="test", at=T0)
    (position,) = await log.append([Write(taken, after)], meta=meta(f"lead-{epoch}"))
    return Fence("s", position, epoch)


async def first(subscription: Subscription) -> Batch:
    async with asyncio.timeout(5):
        return await anext(aiter(subscription))


async def collect(subscription: Subscription, count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(10):
        async for batch in subscription:
            found += batch.events
            if len(found) >= count:
                return found
    raise AssertionError("a subscription has no end")


# Appending


async def test_an_event_comes_back_as_it_was_written(log: EventLog) -> None:
    about = meta(
        "c", correlation_id="i-1", causation_id="7", source="governance", traceparent="00-ab-cd-01"
    )
    (position,) = await log.append([Write(degraded(reason="zu träge ☃"), 0)], meta=about)

    recorded = await log.get(position)

    assert recorded is not None
    assert recorded.event == degraded(reason="zu träge ☃")
    assert recorded.subject == "events.service.a"
    assert (recorded.position, recorded.actor, recorded.epoch) == (position, "test", 0)
    assert (recorded.correlation_id, recorded.causation_id) == ("i-1", "7")
    assert (recorded.source, recorded.traceparent) == ("governance", "00-ab-cd-01")


async def test_a_version_that_holds_is_accepted_and_one_that_does_not_is_a_conflict(
    log: EventLog,
) -> None:
    (one,) = await log.append([Write(degraded(), 0)], meta=meta("1"))
    (two,) = await log.append([Write(recovered(), one)], meta=meta("2"))

    with pytest.raises(ConflictError) as caught:
        await log.append([Write(degraded(), one)], meta=meta("3"))

    assert (caught.value.subject, caught.value.expected, caught.value.found) == (
        "events.service.a",
        one,
        two,
    )
    assert await log.last_position() == two


async def test_a_subject_that_must_be_new_refuses_a_second_first_event(log: EventLog) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    with pytest.raises(ConflictError):
        await log.append([Write(recovered(), 0)], meta=meta("2"))


async def test_a_repeat_returns_the_first_positions_and_writes_nothing(log: EventLog) -> None:
    once = await log.append([Write(degraded(), 0)], meta=meta("1"))
    await log.append([Write(recovered(), once[0])], meta=meta("2"))

    assert await log.append([Write(degraded(), 0)], meta=meta("1")) == once
    assert await log.last_position() == 2


async def test_a_repeat_of_several_events_returns_their_positions(log: EventLog) -> None:
    writes = [Write(degraded("a"), 0), Write(degraded("b"), 0), Write(recovered("a"))]
    once = await log.append(writes, meta=meta("1"))
    assert await log.append(writes, meta=meta("1")) == once
    assert len(once) == 3
    assert await log.last_position() == once[-1]


async def test_a_repeat_without_conditions_is_recognised_too(log: EventLog) -> None:
    once = await log.append([Write(degraded())], meta=meta("1"))
    assert await log.append([Write(degraded())], meta=meta("1")) == once
    both = await log.append([Write(degraded()), Write(recovered())], meta=meta("2"))
    assert await log.append([Write(degraded()), Write(recovered())], meta=meta("2")) == both


async def test_several_events_are_written_together_and_in_order(log: EventLog) -> None:
    positions = await log.append(
        [Write(degraded("a"), 0), Write(degraded("b"), 0), Write(recovered("a"))], meta=meta("1")
    )
    assert list(positions) == [positions[0], positions[0] + 1, positions[0] + 2]
    assert [r.event for r in await log.read("events.service.a")] == [degraded("a"), recovered("a")]


async def test_one_version_that_does_not_hold_writes_nothing_at_all(log: EventLog) -> None:
    await log.append([Write(degraded("b"), 0)], meta=meta("1"))
    with pytest.raises(ConflictError) as caught:
        await log.append([Write(degraded("a"), 0), Write(degraded("b"), 0)], meta=meta("2"))
    assert caught.value.subject == "events.service.b"
    assert await log.read("events.service.a") == []


@pytest.mark.parametrize("count", [2, 1000])
async def test_up_to_a_thousand_events_go_in_one_append(log: EventLog, count: int) -> None:
    writes = [Write(degraded("a", f"{n}")) for n in range(count)]
    positions = await log.append(writes, meta=meta("many"))
    assert positions == tuple(range(1, count + 1))
    assert [cast(ServiceDegraded, r.event).reason for r in await log.read("events.service.a")] == [
        f"{n}" for n in range(count)
    ]


# Many appends at once


async def test_each_of_many_appends_gets_its_own_positions_in_the_order_given(
    log: EventLog,
) -> None:
    sizes = [1, 1, 3, 1, 2] * 30
    appends = [
        ([Write(degraded(f"{n}.{k}", f"{n}")) for k in range(size)], meta(f"{n}"))
        for n, size in enumerate(sizes)
    ]
    outcomes = await log.append_each(appends)
    for (writes, _), positions in zip(appends, outcomes, strict=True):
        assert isinstance(positions, tuple)
        assert list(positions) == list(range(positions[0], positions[0] + len(writes)))
        for write, position in zip(writes, positions, strict=True):
            recorded = await log.get(position)
            assert recorded is not None
            assert recorded.event == write.event
    assert await log.last_position() == sum(sizes)


async def test_no_appends_at_all_are_fine(log: EventLog) -> None:
    assert await log.append_each([]) == []
    assert await log.last_position() == 0


async def test_of_many_appends_those_that_fail_change_nothing_for_the_others(
    log: EventLog,
) -> None:
    await log.append([Write(degraded("taken"), 0)], meta=meta("0"))
    wrong, pair = {3, 4, 97, 150}, {20, 97}
    appends = [
        (
            [Write(degraded("taken" if n in wrong else f"{n}"), 0)]
            + ([Write(recovered(f"{n}.2"))] if n in pair else []),
            meta(f"{n + 1}"),
        )
        for n in range(200)
    ]
    outcomes = await log.append_each(appends)
    for n, outcome in enumerate(outcomes):
        if n in wrong:
            assert isinstance(outcome, ConflictError), n
            assert (outcome.subject, outcome.expected, outcome.found) == (
                "events.service.taken",
                0,
                1,
            )
        else:
            assert isinstance(outcome, tuple), n
            assert len(outcome) == (2 if n in pair else 1)
    assert await log.last_position() == 1 + 200 - len(wrong) + 1
    assert await log.read("events.service.97.2") == []


@pytest.mark.parametrize("expected", [None, 0])
async def test_many_appends_that_are_repeated_return_the_first_positions(
    log: EventLog, expected: int | None
) -> None:
    def appends(names: range) -> list[tuple[list[Write], Meta]]:
        return [([Write(degraded(f"{n}"), expected)], meta(f"{n}")) for n in names]

    once = await log.append_each(appends(range(100)))
    end = await log.last_position()
    again = await log.append_each(appends(range(50, 150)))
    assert again[:50] == once[50:]
    assert await log.last_position() == end + 50
    assert len({*once, *again}) == 150


async def test_many_appends_may_share_a_subject_and_keep_their_order(log: EventLog) -> None:
    appends = [([Write(degraded("a", f"{n}"))], meta(f"{n}")) for n in range(300)]
    outcomes = await log.append_each(iter(appends))
    found = {
        r.position: cast(ServiceDegraded, r.event).reason
        for r in await log.read("events.service.a")
    }
    assert [found[cast(tuple[int], outcome)[0]] for outcome in outcomes] == [
        f"{n}" for n in range(300)
    ]


async def test_more_appends_than_may_be_on_their_way_follow_as_there_is_room(
    log: EventLog,
) -> None:
    appends = (([Write(degraded(f"{n % 7}"))], meta(f"{n}")) for n in range(3000))
    outcomes = await log.append_each(appends)
    assert sorted(cast(tuple[int], outcome)[0] for outcome in outcomes) == list(range(1, 3001))


async def test_an_append_among_many_that_does_not_fit_is_wrong_use(log: EventLog) -> None:
    with pytest.raises(ValueError, match="at least one event"):
        await log.append_each([([Write(degraded())], meta("1")), ([], meta("2"))])


# Fences


async def test_many_appends_of_a_leader_carry_its_fence(log: EventLog) -> None:
    old = await lead(log, 1)
    first, second = [
        [
            ([Write(degraded(f"{n}")), Write(recovered(f"{n}"))][: 1 + n % 2], meta(f"{k}.{n}"))
            for n in range(20)
        ]
        for k in range(2)
    ]
    written = await log.append_each(first, fence=old)
    recorded = await log.get(cast(tuple[int], written[-1])[-1])
    assert recorded is not None
    assert recorded.epoch == 1

    new = await lead(log, 2, after=old.position)
    end = await log.last_position()
    for outcome in await log.append_each(second, fence=old):
        assert isinstance(outcome, StaleEpoch)
        assert (outcome.given, outcome.current) == (1, 2)
    assert await log.last_position() == end
    assert await log.append_each(first, fence=new) == written  # done before: a successor repeats
    assert all(isinstance(o, tuple) for o in await log.append_each(second, fence=new))


async def test_the_leader_writes_and_its_epoch_is_recorded(log: EventLog) -> None:
    fence = await lead(log, 1)
    (position,) = await log.append([Write(degraded())], meta=meta("1"), fence=fence)
    recorded = await log.get(position)
    assert recorded is not None
    assert recorded.epoch == 1


async def test_a_superseded_leader_is_refused(log: EventLog) -> None:
    old = await lead(log, 1)
    new = await lead(log, 2, after=old.position)
    with pytest.raises(StaleEpoch) as caught:
        await log.append([Write(degraded())], meta=meta("1"), fence=old)
    assert (caught.value.given, caught.value.current) == (1, 2)
    assert await log.read("events.service.a") == []
    await log.append([Write(degraded())], meta=meta("2"), fence=new)


async def test_in_races_with_a_takeover_nothing_of_the_old_leader_comes_after_it(
    log: EventLog,
) -> None:
    """Many fenced appends are under way when the next leader takes over, again and again."""
    fence, acknowledged = await lead(log, 1), dict[str, int]()

    async def write(fence: Fence, number: int) -> None:
        tag = f"{fence.epoch}-{number}"
        name = f"n{number % 3}"
        try:
            writes = [Write(degraded(name, tag)), Write(degraded("other", tag))]
            done = await log.append(writes[: 1 + number % 2], meta=meta(tag), fence=fence)
        except StaleEpoch:
            return
        acknowledged[tag] = done[0]

    for epoch in range(2, RACES + 2):
        racing = [asyncio.ensure_future(write(fence, number)) for number in range(12)]
        await racing[epoch % 12]  # take over in the middle of them
        fence = await lead(log, epoch, after=fence.position)
        await asyncio.gather(*racing)
        await write(fence, 99)

    subscription = log.follow(["events.>"])
    found = await collect(subscription, await log.last_position())
    await subscription.close()
    terms = [r.event.epoch if isinstance(r.event, LeadershipTaken) else r.epoch for r in found]
    assert terms == sorted(terms)
    at = {r.position: r.event.reason for r in found}
    assert {tag: at[position] for tag, position in acknowledged.items()} == {
        tag: tag for tag in acknowledged
    }
    assert len(acknowledged) >= 2 * RACES


async def test_a_guard_refuses_what_relies_on_a_subject_that_has_moved_on(log: EventLog) -> None:
    both = [Write(degraded("a"), 0), Write(degraded("b"))]
    nothing_yet = Guard("events.service.rules", 0)
    positions = await log.append(both, meta=meta("1"), fence=nothing_yet)
    assert await log.append(both, meta=meta("1"), fence=nothing_yet) == positions  # repeated
    (moved,) = await log.append([Write(degraded("rules"))], meta=meta("2"))
    later = [Write(degraded("a", "2"), positions[0]), Write(degraded("b", "2"))]
    with pytest.raises(ConflictError) as caught:
        await log.append(later, meta=meta("3"), fence=nothing_yet)
    conflict = caught.value
    assert (conflict.subject, conflict.expected, conflict.found) == (
        "events.service.rules",
        0,
        moved,
    )
    assert await log.last_position() == moved
    guard = Guard("events.service.rules", moved)
    with pytest.raises(ConflictError, match=r"service\.a:"):  # the version holds beside it
        await log.append([Write(degraded("a", "2"), 0), *later[1:]], meta=meta("4"), fence=guard)
    assert await log.append(later, meta=meta("5"), fence=guard) == (moved + 1, moved + 2)
    with pytest.raises(ValueError, match="fence needs a write"):
        await log.append([Write(degraded("a"), moved + 1)], meta=meta("6"), fence=guard)


async def test_guards_and_changes_of_what_they_guard_never_pass_each_other(log: EventLog) -> None:
    """Many guarded appends race with changes: between what one relied on and itself stands none."""
    relied: dict[str, int] = {}

    async def rely(number: int) -> None:
        writes = [Write(degraded(f"a{number}"), 0), Write(degraded("b", f"{number}"))]
        while f"{number}" not in relied:
            newest = await log.last("events.service.rules")
            guard = Guard("events.service.rules", newest.position if newest else 0)
            with contextlib.suppress(ConflictError):
                await log.append(writes, meta=meta(f"r{number}"), fence=guard)
                relied[f"{number}"] = guard.position

    async def change(number: int) -> None:
        await log.append([Write(degraded("rules", f"{number}"))], meta=meta(f"c{number}"))

    for start in range(0, 120, 12):
        racing = [rely(start + n) if n % 4 else change(start + n) for n in range(12)]
        await asyncio.gather(*racing)
    changes = [recorded.position for recorded in await log.read("events.service.rules")]
    found = await log.read("events.service.b")
    assert len(found) == len(relied) == 90
    for recorded in found:
        position = relied[cast(ServiceDegraded, recorded.event).reason]
        assert not any(position < changed < recorded.position for changed in changes)


async def test_version_and_fence_hold_together(log: EventLog) -> None:
    fence = await lead(log, 1)
    both = [Write(degraded("a"), 0), Write(degraded("b"))]
    positions = await log.append(both, meta=meta("1"), fence=fence)
    assert len(positions) == 2

    with pytest.raises(ConflictError):
        await log.append(both, meta=meta("2"), fence=fence)
    await lead(log, 2, after=fence.position)
    with pytest.raises(StaleEpoch):
        await log.append(
            [Write(degraded("a"), positions[0]), Write(degraded("b"))],
            meta=meta("3"),
            fence=fence,
        )


async def test_a_leader_that_repeats_itself_after_its_fall_learns_that_it_was_done(
    log: EventLog,
) -> None:
    fence = await lead(log, 1)
    writes = [Write(degraded("a"), 0), Write(degraded("b"))]
    once = await log.append(writes, meta=meta("1"), fence=fence)
    await lead(log, 2, after=fence.position)
    assert await log.append(writes, meta=meta("1"), fence=fence) == once


async def test_a_successor_that_repeats_a_step_learns_that_it_was_done(log: EventLog) -> None:
    old = await lead(log, 1)
    single = await log.append([Write(degraded("c"))], meta=meta("0"), fence=old)
    pair = [Write(degraded("a")), Write(degraded("b"))]
    once = await log.append(pair, meta=meta("1"), fence=old)
    new = await lead(log, 2, after=old.position)
    assert await log.append([Write(degraded("c"))], meta=meta("0"), fence=new) == single
    assert await log.append(pair, meta=meta("1"), fence=new) == once


# Wrong use


@pytest.mark.parametrize(
    "writes",
    [
        [],
        [Write(degraded(), 0)],
        [Write(degraded("a"), 0), Write(degraded("b"), 0)],
    ],
    ids=["nothing to write", "both on a single write", "no write left for the fence"],
)
async def test_conditions_that_do_not_fit_are_wrong_use(log: EventLog, writes: list[Write]) -> None:
    fence = await lead(log, 1)
    with pytest.raises(ValueError, match=r"fence|needs"):
        await log.append(writes, meta=meta("1"), fence=fence)


async def test_a_version_on_a_subject_already_written_in_the_append_is_wrong_use(
    log: EventLog,
) -> None:
    with pytest.raises(ValueError, match="only the first write"):
        await log.append([Write(degraded(), 0), Write(recovered(), 1)], meta=meta("1"))


async def test_only_literal_subjects_can_be_read(log: EventLog) -> None:
    with pytest.raises(ValueError, match="literal"):
        await log.read("events.service.*")


# Reading


async def test_an_empty_log_has_nothing(log: EventLog) -> None:
    assert await log.last_position() == 0
    assert await log.read("events.service.a") == []
    assert await log.last("events.service.a") is None
    assert await log.get(1) is None
    assert await log.get(0) is None


async def test_reading_goes_on_after_a_position_and_stops_at_a_limit(log: EventLog) -> None:
    for n in range(6):
        name = "a" if n % 2 == 0 else "b"
        await log.append([Write(degraded(name, f"{n}"))], meta=meta(f"{n}"))
    assert [r.position for r in await log.read("events.service.a")] == [1, 3, 5]
    assert [r.position for r in await log.read("events.service.a", after=1)] == [3, 5]
    assert [r.position for r in await log.read("events.service.a", after=1, limit=1)] == [3]
    newest = await log.last("events.service.a")
    assert newest is not None
    assert newest.position == 5


# Raw intents


async def test_anyones_bytes_come_back_as_a_raw_intent(log: EventLog) -> None:
    position = await log.submit(b"\xff not json", message_id="m1")
    recorded = await log.get(position)
    assert recorded is not None
    assert isinstance(recorded.event, RawIntent)
    assert (recorded.event.body, recorded.id) == (b"\xff not json", "m1")
    assert recorded.event.at.tzinfo is not None
    assert recorded.actor == ""
    assert await log.submit(b"\xff not json", message_id="m1") == position


async def test_the_name_of_a_proven_submitter_comes_along(log: EventLog) -> None:
    position = await log.submit(b"{}", message_id="m1", person="ada")
    recorded = await log.get(position)
    assert recorded is not None
    assert (recorded.subject, recorded.actor) == ("intents.by.ada", "ada")


# Following


async def test_a_follower_gets_the_past_and_then_what_comes(log: EventLog) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    subscription = log.follow(["events.service.>"])
    past = await first(subscription)
    assert [r.event for r in past.events] == [degraded()]
    assert (past.position, past.pending) == (1, 0)

    await log.append([Write(recovered())], meta=meta("2"))
    assert [r.event for r in (await first(subscription)).events] == [recovered()]
    await subscription.close()


async def test_a_follower_starts_after_a_position_and_sees_only_its_subjects(
    log: EventLog,
) -> None:
    port = PortReserved(base=8300, service_name="a", at=T0)
    events: tuple[Event, ...] = (degraded("a"), port, degraded("b"), recovered("a"))
    for n, event in enumerate(events):
        await log.append([Write(event)], meta=meta(f"{n}"))
    await log.submit(b"{}")
    subscription = log.follow(["events.port.*", "events.service.a", "intents.>"], after=1)
    found = await collect(subscription, 3)
    assert [r.position for r in found] == [2, 4, 5]
    await subscription.close()


async def test_a_follower_of_some_events_reads_on_over_the_others(log: EventLog) -> None:
    for n, event in enumerate((degraded(), recovered(), degraded("b"), recovered("b"))):
        await log.append([Write(event)], meta=meta(f"{n}"))
    await log.submit(b"{}")
    subscription = log.follow(["events.>", "intents.>"], batch=2, events={ServiceDegraded})
    batches = [await first(subscription)]
    while batches[-1].position < 5:
        batches.append(await first(subscription))
        assert batches[-1].position > batches[-2].position
    found = [(r.position, r.event) for batch in batches for r in batch.events]
    assert found == [(1, degraded()), (3, degraded("b"))]
    assert batches[-1].pending == 0
    await subscription.close()


async def test_batches_are_bounded_and_say_how_many_are_left(log: EventLog) -> None:
    await log.append([Write(degraded("a", f"{n}")) for n in range(250)], meta=meta("1"))
    subscription = log.follow(["events.>"], batch=100)
    sizes, last = [], None
    async with asyncio.timeout(10):
        async for batch in subscription:
            sizes.append(len(batch.events))
            last = batch
            if batch.position == 250:
                break
    assert max(sizes) <= 100
    assert sum(sizes) == 250
    assert last is not None
    assert last.pending == 0
    await subscription.close()


async def test_the_horizon_passes_over_what_the_follower_does_not_want(log: EventLog) -> None:
    subscription = log.follow(["events.service.>"])
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    batch = await first(subscription)
    assert await subscription.horizon() == 0  # the batch is still in hand

    waiting = asyncio.ensure_future(anext(aiter(subscription)))
    released = PortReleased(base=8300, service_name="a", at=T0)
    (unrelated,) = await log.append([Write(released)], meta=meta("2"))
    async with asyncio.timeout(5):
        while await subscription.horizon() < unrelated:  # noqa: ASYNC110 - asks, not waits
            await asyncio.sleep(0)
    assert unrelated > batch.position
    assert not waiting.done()

    (wanted,) = await log.append([Write(recovered())], meta=meta("3"))
    assert (await waiting).position == wanted
    assert await subscription.horizon() < wanted
    await subscription.close()


async def test_the_horizon_before_the_first_batch_is_where_the_follower_began(
    log: EventLog,
) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    subscription = log.follow(["events.>"], after=0)
    assert await subscription.horizon() == 0
    await subscription.close()


# What cannot be read


async def put_raw(log: EventLog, subject: str, body: bytes) -> int:
    """Store bytes as a damaged or newer writer might."""
    if isinstance(log, MemoryLog):
        return await log.publish(subject, body)
    assert isinstance(log, JetStreamLog)
    return (await (await log.writer()).publish([Message(subject, body)])).last


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"time":"2030-01-01T00:00:00Z","data":{"name":"a"}}',
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"time":"2030-01-01T00:00:00Z","data":{}}',
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"time":"2030-01-01T00:00:00Z","data":["name","a"]}',
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"time":"2030-01-01T00:00:00Z","data":"at"}',
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"data":{"name":"a","reason":"r"}}',
        b'{"source":"x","type":"phoenix.service.ServiceDegraded.v1",'
        b'"time":"2030-01-01T00:00:00Z","data":{"name":"a","reason":"r"}}',
    ],
    ids=[
        "empty",
        "not json",
        "a list",
        "no type",
        "a field missing",
        "no fields",
        "fields as a list",
        "fields as a text",
        "no time",
        "no id",
    ],
)
async def test_a_damaged_event_stops_the_follower_after_what_came_before(
    log: EventLog, body: bytes
) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    bad = await put_raw(log, "events.service.a", body)
    await log.append([Write(recovered())], meta=meta("2"))
    subscription = log.follow(["events.>"])
    assert (await first(subscription)).position == bad - 1
    for _ in range(2):
        with pytest.raises(PoisonError, match=f"position {bad}"):
            await first(subscription)
    await subscription.close()


async def test_an_event_type_of_a_newer_version_is_named(log: EventLog) -> None:
    body = (
        b'{"id":"1","source":"x","type":"phoenix.service.ServiceTeleported.v3",'
        b'"time":"2030-01-01T00:00:00Z","data":{}}'
    )
    position = await put_raw(log, "events.service.a", body)
    with pytest.raises(UnknownEventType, match=r"ServiceTeleported\.v3"):
        await log.get(position)
