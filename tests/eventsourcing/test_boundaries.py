"""Dynamic consistency boundaries when several processes decide at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem, DCBRecorder
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from eventsourcing.persistence import IntegrityError
from hypothesis import given
from hypothesis import strategies as st

from infra.eventsourcing_jetstream.dcb import Index
from tests.eventsourcing.support import MODULE, environment, factory
from tests.support.cluster import running_cluster
from tests.support.nats import Server

SEATS, RIVALS = 25, 4


@pytest.fixture(params=["one server", "three servers"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    if request.param == "one server":
        server: Server = request.getfixturevalue("nats_server")
        yield environment(server)
        return
    with running_cluster(tmp_path) as three:
        yield {"PERSISTENCE_MODULE": MODULE, "NATS_URL": three.url, "NATS_REPLICAS": "3"}


def test_of_all_who_book_a_seat_at_once_one_gets_it(env: dict[str, str]) -> None:
    name = f"seats{uuid4().hex}"
    factories = [factory(env, name) for _ in range(RIVALS)]
    recorders = [made.dcb_recorder() for made in factories]

    def book(recorder: DCBRecorder, seat: int) -> bool:
        query = DCBQuery([DCBQueryItem(types=["Booked"], tags=[f"seat-{seat}"])])
        event = DCBEvent(type="Booked", data=b"{}", tags=[f"seat-{seat}", "show"])
        try:
            recorder.append([event], DCBAppendCondition(query))
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(RIVALS * SEATS) as threads:
        futures = [threads.submit(book, r, seat) for seat in range(SEATS) for r in recorders]
        booked = [future.result() for future in futures]
    assert sum(booked) == SEATS
    found = list(recorders[0].read(DCBQuery([DCBQueryItem(tags=["show"])])))
    assert [event.position for event in found] == list(range(1, SEATS + 1))
    assert len({event.event.tags[0] for event in found}) == SEATS
    for made in factories:
        made.close()


words = st.lists(st.sampled_from("abc"), max_size=3, unique=True)
items = st.builds(DCBQueryItem, types=words, tags=words)
stored = st.lists(st.tuples(st.sampled_from("abc"), words), max_size=12)


@given(stored, st.lists(items, max_size=3), st.integers(0, 12))
def test_the_index_finds_what_the_librarys_own_recorder_finds(
    kinds: list[tuple[str, list[str]]], wanted: list[DCBQueryItem], after: int
) -> None:
    index, reference = Index(), InMemoryDCBRecorder()
    for kind, tags in kinds:
        event = DCBEvent(type=kind, data=b"", tags=tags)
        index.add(event)
        reference.append([event])
    query = DCBQuery(wanted)
    expected = [found.position for found in reference.read(query, after=after)]
    assert index.find(query, after) == expected
