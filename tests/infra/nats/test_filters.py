"""One filter for several subjects: what it includes, and that nothing else is handed out."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.delivery_events import PortReserved, ServiceDegraded
from infra.nats.log import JetStreamLog
from infra.nats.reader import covers, spanning
from infra.ports import Meta, Write

T0 = datetime(2030, 1, 1, tzinfo=UTC)
PATTERNS = st.lists(
    st.lists(st.sampled_from(("events", "intents", "a", "b", "*")), min_size=1, max_size=4).flatmap(
        lambda parts: st.sampled_from((".".join(parts), ".".join((*parts, ">"))))
    ),
    min_size=1,
    max_size=5,
)


@given(subjects=PATTERNS)
def test_a_spanning_filter_covers_every_subject(subjects: list[str]) -> None:
    assert all(covers(spanning(subjects), subject) for subject in subjects)


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        (["events.a.*"], "events.a.*"),
        (["events.a.>", "events.a.b"], "events.a.>"),
        (["events.a.>", "events.b.>"], "events.>"),
        (["events.a.x", "events.a.y"], "events.a.>"),
        (["events.a", "events.a.b"], "events.>"),
        (["intents.>", "events.a.>"], ">"),
    ],
)
def test_it_is_as_narrow_as_one_filter_can_be(subjects: list[str], expected: str) -> None:
    assert spanning(subjects) == expected


async def test_what_lies_between_the_subjects_counts_as_read(log: JetStreamLog) -> None:
    for n in range(6):
        event = (
            ServiceDegraded(name=f"{n}", at=T0, reason="r")
            if n % 3
            else PortReserved(base=8300 + n, service_name="s", at=T0)
        )
        await log.append([Write(event)], meta=Meta(command_id=f"{n}", actor="test"))
    await log.submit(b"{}")
    subscription = log.follow(["events.service.1", "events.service.4"])
    found: list[int] = []
    async with asyncio.timeout(10):
        async for batch in subscription:
            found += [recorded.position for recorded in batch.events]
            if batch.pending == 0:
                break
    assert found == [2, 5]
    await subscription.close()
