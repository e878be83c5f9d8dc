"""Who follows what it has appended itself gets what everybody else reads."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from domain.delivery_events import ServiceDegraded
from domain.event import Event
from domain.intent import RawIntent
from domain.recorded import Recorded
from infra import codec
from infra.nats.log import OWN_MAX, JetStreamLog, JetStreamSubscription
from infra.ports import Meta, Write
from infra.settings import Settings
from tests.history.samples import read
from tests.support.nats import fresh_log

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def meta(command: str) -> Meta:
    return Meta(
        command_id=command,
        actor="test",
        correlation_id="i",
        causation_id="7",
        traceparent="00-1-2-01",
    )


def every_event() -> list[Event]:
    """A sample of each type of event, as it is written now."""
    found = {}
    for _, subject, body in read():
        event = codec.decode(subject, body, position=1, time=T0).event
        found[type(event)] = event.model_copy()
    return list(found.values())


async def followed(log: JetStreamLog, count: int) -> list[Recorded[Event]]:
    subscription = log.follow(["events.>"])
    events: list[Recorded[Event]] = []
    try:
        async for batch in subscription:
            events += batch.events
            if len(events) >= count:
                return events
    finally:
        await subscription.close()
    raise AssertionError("it ended")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many events have been read from their bytes."""
    calls: list[int] = []
    decode = codec.decode_stored

    def counted(*args: object) -> object:
        calls.append(1)
        return decode(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(codec, "decode_stored", counted)
    return lambda: len(calls)


async def test_what_comes_back_is_what_anybody_reads(
    settings: Settings, decoded: Callable[[], int]
) -> None:
    events = every_event()
    async with fresh_log(settings) as log:
        subscription = log.follow(["events.>"])
        await _first_batch(log, subscription)
        before = decoded()
        for number, event in enumerate(events):
            await log.append([Write(event)], meta=meta(f"c{number}"))
        own: list[Recorded[Event]] = []
        while len(own) < len(events):
            own += (await anext(subscription)).events
        assert decoded() == before
        await subscription.close()
        others = await followed(log, len(events) + 1)
    assert own == others[1:]
    for mine, theirs in zip(own, others[1:], strict=True):
        assert mine.event.model_dump_json() == theirs.event.model_dump_json()
        assert {k: type(v) for k, v in vars(mine.event).items()} == {
            k: type(v) for k, v in vars(theirs.event).items()
        }


async def _first_batch(log: JetStreamLog, subscription: JetStreamSubscription) -> None:
    event = ServiceDegraded(name="a", at=T0, reason="before anybody followed")
    await log.append([Write(event)], meta=meta("first"))
    assert len((await anext(subscription)).events) == 1


async def test_other_bytes_under_the_same_id_are_read(settings: Settings) -> None:
    async with fresh_log(settings) as log:
        subscription = log.follow(["events.>"])
        await _first_batch(log, subscription)
        event = ServiceDegraded(name="a", at=T0, reason="slow")
        (message,) = log.messages([Write(event)], meta("d"), None)
        other = message.payload.replace(b"slow", b"gone")
        await log.nc.jetstream().publish(message.subject, other)
        (found,) = (await anext(subscription)).events
        assert isinstance(found.event, ServiceDegraded)
        assert found.event.reason == "gone"
        await subscription.close()


async def test_the_same_bytes_from_anybody_are_a_raw_intent(settings: Settings) -> None:
    async with fresh_log(settings) as log:
        subscription = log.follow(["events.>", "intents.>"])
        await _first_batch(log, subscription)
        event = ServiceDegraded(name="a", at=T0, reason="slow")
        (message,) = log.messages([Write(event)], meta("d"), None)
        await log.nc.jetstream().publish("intents.submit", message.payload)
        (found,) = (await anext(subscription)).events
        assert isinstance(found.event, RawIntent)
        assert found.event.body == message.payload
        await subscription.close()


async def test_what_nobody_follows_is_not_kept_and_what_is_kept_is_bounded(
    settings: Settings,
) -> None:
    async with fresh_log(settings) as log:
        event = ServiceDegraded(name="a", at=T0, reason="slow")
        log.messages([Write(event)], meta("first"), None)
        assert len(log.own) == 0
        subscription = log.follow(["events.>"])
        await _first_batch(log, subscription)
        for number in range(OWN_MAX + 10):
            log.messages([Write(event)], meta(f"{number}"), None)
        assert len(log.own) == OWN_MAX
        await subscription.close()
        assert len(log.own) == 0
