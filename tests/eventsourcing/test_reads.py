"""What comes back: the same bytes, and what the library's own in-memory recorder selects."""

from itertools import product
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import ApplicationRecorder, DataError, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder
from hypothesis import given
from hypothesis import strategies as st

from infra.eventsourcing_jetstream import codec
from infra.eventsourcing_jetstream.names import Names, token
from tests.eventsourcing.support import environment, factory
from tests.support.nats import Server

LENGTH = 700
VERSIONS = (None, 0, 1, 63, 64, 65, 350, 698, 699, 700, 701, 5000)
LIMITS = (None, 1, 2, 100, 10_000)


def test_selections_of_a_long_history_are_those_of_the_librarys_own_recorder(
    nats_server: Server,
) -> None:
    env, name = environment(nats_server), f"long{uuid4().hex}"
    writer, reference = factory(env, name), POPOApplicationRecorder()
    originator = uuid4()
    _interleaved(writer.application_recorder(), reference, originator)
    writer.close()
    reader = factory(env, name)
    recorder = reader.application_recorder()  # knows nothing yet
    for gt, lte, desc, limit in product(VERSIONS, VERSIONS, (True, False), LIMITS):
        selected, expected = (
            store.select_events(originator, gt=gt, lte=lte, desc=desc, limit=limit)
            for store in (recorder, reference)
        )
        assert selected == expected, (gt, lte, desc, limit)
    assert recorder.select_events(uuid4(), gt=500, desc=True, limit=3) == []
    reader.close()


def _interleaved(
    recorder: ApplicationRecorder, reference: ApplicationRecorder, originator: UUID
) -> None:
    """The originator's events lie unevenly among others'."""
    events: list[StoredEvent] = []
    for version in range(1, LENGTH + 1):
        events.append(StoredEvent(originator, version, "topic", b'{"v":%d}' % version))
        others = 5 if version < 100 else version % 2
        events += [StoredEvent(uuid4(), 1, "other", b"{}") for _ in range(others)]
    for start in range(0, len(events), 500):
        for store in (recorder, reference):
            store.insert_events(events[start : start + 500])


def test_versions_may_have_gaps(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server), f"gaps{uuid4().hex}")
    recorder = with_factory.aggregate_recorder("snapshots")
    originator = uuid4()
    taken = [StoredEvent(originator, version, "s", b"{}") for version in (5, 10, 200, 2000)]
    for snapshot in taken:
        recorder.insert_events([snapshot])
    assert recorder.select_events(originator, desc=True, limit=1) == taken[3:]
    assert recorder.select_events(originator, desc=True, limit=1, lte=1999) == [taken[2]]
    assert recorder.select_events(originator, desc=True, limit=3) == taken[:0:-1]
    assert recorder.select_events(originator, gt=6, lte=300) == taken[1:3]
    with_factory.close()


def test_topics_limit_and_stop_hold_together(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server), f"topics{uuid4().hex}")
    recorder = with_factory.application_recorder()
    recorder.insert_events(
        [StoredEvent(uuid4(), 1, f"topic{number % 3}", b"{}") for number in range(2500)]
    )
    found = recorder.select_notifications(10, 3, topics=["topic1"])
    assert [notification.id for notification in found] == [11, 14, 17]
    found = recorder.select_notifications(2400, 900, stop=2410, topics=["topic0", "topic2"])
    assert [n.id for n in found] == [2400, 2401, 2403, 2404, 2406, 2407, 2409, 2410]
    assert len(recorder.select_notifications(None, 5000, topics=["topic2"])) == 833
    with_factory.close()


@given(st.binary() | st.text().map(str.encode) | st.sampled_from([b"{}", b"[]", b'{"a": 1}']))
def test_state_comes_back_byte_for_byte(state: bytes) -> None:
    stored = StoredEvent(uuid4(), 1, "topic", state)
    assert codec.decode(codec.encode(stored, id="1", source="/es/a")).event == stored


@pytest.mark.parametrize(
    "state", [b'{"a":1e2}', b'{"a":1,"a":2}', b'{"a":1.0}', b'{"a":123456789012345678901234567890}']
)
def test_json_that_would_be_written_differently_comes_back_as_it_was(state: bytes) -> None:
    stored = StoredEvent("text id", 1, "topic", state)
    assert codec.decode(codec.encode(stored, id="1", source="/es/a")).event == stored


def test_plain_json_state_can_be_read_in_the_message() -> None:
    body = codec.encode(StoredEvent("o", 1, "t", b'{"a":"b"}'), id="1", source="/es/a")
    assert b'"data":{"a":"b"}' in body


def test_a_foreign_message_is_named_as_such() -> None:
    for body in (b"", b"[]", b"{}", b'{"id":"1","subject":"not a uuid"}'):
        with pytest.raises(DataError):
            codec.decode(body)


@given(st.text(), st.text())
def test_different_names_have_different_tokens(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)
    assert not set(token(one)) & set(".*> \t\r\n")


def test_streams_of_similar_names_do_not_meet() -> None:
    pairs = [("a", "x-events"), ("a-x", "events"), ("a", "events"), ("a.b", "events")]
    assert len({Names(*pair).stream for pair in pairs}) == len(pairs)


def test_text_ids_stay_text(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server), f"text{uuid4().hex}")
    recorder = with_factory.application_recorder()
    for id in ("dog-1", "a b.*>", "é" * 300, str(uuid4()), ""):
        stored = StoredEvent(id, 1, "topic", b"{}")
        recorder.insert_events([stored])
        assert recorder.select_events(id) == [stored]
    with_factory.close()
