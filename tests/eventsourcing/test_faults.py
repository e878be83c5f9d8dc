"""Several processes, killed servers, lost answers and garbage collection in the wrong place."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    StoredEvent,
)

from infra.eventsourcing_jetstream import JetStreamApplicationRecorder
from tests.eventsourcing.support import environment, factory
from tests.support.nats import Server, running_server
from tests.support.ports import free_port


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


def event(originator: UUID, version: int) -> StoredEvent:
    return StoredEvent(originator, version, "topic", b'{"n":1}')


class Peer:
    """``peer.py`` in a process of its own, stopped before its first step until ``go``."""

    def __init__(self, env: Mapping[str, str], *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.eventsourcing.peer", *words],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self.line() == "ready"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("= "):
                return line.removeprefix("= ").strip()
        raise EOFError("the process has ended")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    started: list[Peer] = []
    yield started
    for peer in started:
        peer.end()


def test_of_two_processes_that_write_the_same_version_one_wins(
    nats_server: Server, peers: list[Peer]
) -> None:
    env = environment(nats_server)
    name, originator, versions = f"race{uuid4().hex}", uuid4(), 60
    peers += [Peer(env, "race", name, str(originator), str(versions)) for _ in range(2)]
    for peer in peers:
        peer.ready()
    for peer in peers:
        peer.go()
    counts = [tuple(map(int, peer.line().split())) for peer in peers]
    assert sum(won for won, _ in counts) == versions
    assert sum(lost for _, lost in counts) == versions
    with_factory = factory(env, name)
    found = with_factory.application_recorder().select_events(originator)
    with_factory.close()
    assert [stored.originator_version for stored in found] == list(range(1, versions + 1))


def test_an_aggregate_and_its_index_are_saved_together_or_not_at_all(nats_server: Server) -> None:
    env = environment(nats_server)
    first: Application[UUID]
    with Application[UUID](env) as first, Application[UUID](env) as second:
        index = Aggregate()
        first.save(index)
        mine: Aggregate = first.repository.get(index.id)
        theirs: Aggregate = second.repository.get(index.id)
        for copy in (mine, theirs):
            copy.trigger_event(Aggregate.Event)
        winner, loser = Aggregate(), Aggregate()
        first.save(winner, mine)
        with pytest.raises(IntegrityError):
            second.save(loser, theirs)
        assert winner.id in second.repository
        assert loser.id not in first.repository
        assert second.repository.get(index.id).version == 2


def test_every_process_follows_on_after_the_server_was_killed(
    own_server: Server, peers: list[Peer]
) -> None:
    env = environment(own_server)
    with_factory = factory(env, "followed")
    recorder = with_factory.application_recorder()
    peers += [Peer(env, "follow", "followed", "30") for _ in range(2)]
    for peer in peers:
        peer.ready()
        peer.go()
    for _ in range(10):
        recorder.insert_events([event(uuid4(), 1)])
    for peer in peers:
        assert [peer.line() for _ in range(10)] == [str(id) for id in range(1, 11)]
    own_server.kill()
    own_server.start()
    for _ in range(20):
        recorder.insert_events([event(uuid4(), 1)])
    for peer in peers:
        assert [peer.line() for _ in range(20)] == [str(id) for id in range(11, 31)]
    with_factory.close()


def test_kills_under_load_neither_lose_nor_double_an_event(own_server: Server) -> None:
    with_factory = factory(environment(own_server), "killed")
    recorder = with_factory.application_recorder()
    originators = [uuid4() for _ in range(4)]
    acknowledged: dict[UUID, list[int]] = {originator: [] for originator in originators}
    stop = threading.Event()
    errors: list[Exception] = []

    def write(originator: UUID) -> None:
        version = 0
        try:
            while not stop.is_set():
                version += 1
                ids = recorder.insert_events([event(originator, version)])
                acknowledged[originator].append((ids or [0])[0])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(id,), daemon=True) for id in originators]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = sum(map(len, acknowledged.values()))
        wait_for(lambda seen=before: sum(map(len, acknowledged.values())) > seen + 50)
        own_server.kill()
        own_server.start()
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not errors
    everything = recorder.select_notifications(1, 1_000_000)
    assert [found.id for found in everything] == list(range(1, len(everything) + 1))
    for originator in originators:
        mine = [found for found in everything if found.originator_id == originator]
        assert [found.id for found in mine] == acknowledged[originator]
        assert [found.originator_version for found in mine] == list(range(1, len(mine) + 1))
    with_factory.close()


def test_without_a_server_the_error_says_so_in_time() -> None:
    port = free_port()
    env = {"NATS_URL": f"nats://user:secret@127.0.0.1:{port}", "NATS_TIMEOUT": "1"}
    with_factory = factory(env, "away")
    started = time.monotonic()
    with pytest.raises(OperationalError, match=f"no NATS server answers at nats://127.*:{port}"):
        with_factory.application_recorder()
    assert time.monotonic() - started < 5
    with_factory.close()


def test_a_server_that_goes_away_is_an_error_and_its_return_is_not(own_server: Server) -> None:
    with_factory = factory(environment(own_server, NATS_TIMEOUT="1"), "gone")
    recorder = with_factory.application_recorder()
    originator = uuid4()
    recorder.insert_events([event(originator, 1)])
    own_server.kill()
    with pytest.raises(OperationalError, match="it may have been recorded"):
        recorder.insert_events([event(originator, 2)])
    own_server.start()
    wait_for(lambda: _recorded(recorder, event(originator, 2)))
    versions = [found.originator_version for found in recorder.select_events(originator)]
    assert versions == [1, 2]
    with_factory.close()


def test_a_missing_stream_says_what_to_do(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server, CREATE_TABLE="no"), "absent")
    with pytest.raises(OperationalError, match="es-absent-events does not exist and CREATE_TABLE"):
        with_factory.application_recorder()
    with_factory.close()


def test_without_the_right_to_make_or_write_a_stream_the_error_names_it(
    nats_server: Server,
) -> None:
    env = {"NATS_URL": f"nats://127.0.0.1:{nats_server.port}", "NATS_TIMEOUT": "1"}
    with_factory = factory(env, "nobody")
    with pytest.raises(OperationalError, match="es-nobody-events"):
        with_factory.application_recorder()
    with_factory.close()


def test_an_event_that_is_too_large_is_named_and_the_next_one_is_written(
    nats_server: Server,
) -> None:
    with_factory = factory(environment(nats_server), "large")
    recorder = with_factory.application_recorder()
    originator = uuid4()
    large = StoredEvent(originator, 1, "topic", b"x" * 1_100_000)
    with pytest.raises(DataError, match="the server takes 1048576"):
        recorder.insert_events([large])
    assert recorder.insert_events([event(originator, 1)])
    with_factory.close()


def test_an_insert_larger_than_the_servers_batches_is_refused_whole_and_names_the_setting(
    nats_server: Server,
) -> None:
    with_factory = factory(environment(nats_server), "vast")
    recorder = with_factory.application_recorder()
    originator = uuid4()
    vast = [StoredEvent(originator, version, "topic", b"{}") for version in range(1, 50_002)]
    with pytest.raises(NotSupportedError, match="max_msgs"):
        recorder.insert_events(vast)
    assert recorder.max_notification_id() is None
    with_factory.close()


def test_a_closed_factory_says_that_it_is_closed(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server), "closed")
    recorder = with_factory.application_recorder()
    with_factory.close()
    with_factory.close()
    with pytest.raises(InterfaceError, match="closed"):
        recorder.max_notification_id()


def test_an_application_may_be_collected_on_the_loops_own_thread(nats_server: Server) -> None:
    env = environment(nats_server)
    kept: Application[UUID] = Application(env)
    holder: list[Application[UUID]] = [Application(env)]
    holder[0].save(Aggregate())
    recorder = kept.recorder
    assert isinstance(recorder, JetStreamApplicationRecorder)
    dropped = threading.Event()

    def drop() -> None:
        holder.clear()
        gc.collect()
        dropped.set()

    recorder.stream.lease.hub.soon(drop)
    assert dropped.wait(5)
    kept.save(Aggregate())
    assert recorder.max_notification_id()
    kept.close()


def test_a_subscription_outlives_its_application_and_stops_from_any_thread(
    nats_server: Server,
) -> None:
    env = environment(nats_server)
    app: Application[UUID] = Application(env)
    recordings = app.save(Aggregate())
    subscription = app.recorder.subscribe(gt=recordings[0].notification.id - 1)
    app.close()
    del app
    gc.collect()
    assert next(subscription).id == recordings[0].notification.id
    ended = threading.Event()

    def iterate() -> None:
        for _ in subscription:
            pass
        ended.set()

    threading.Thread(target=iterate, daemon=True).start()
    assert not ended.wait(0.1)
    subscription.stop()
    assert ended.wait(5)


def test_a_conflict_leaves_nothing_of_a_large_insert(nats_server: Server) -> None:
    with_factory = factory(environment(nats_server), f"large{uuid4().hex}")
    recorder = with_factory.application_recorder()
    taken, large = uuid4(), uuid4()
    recorder.insert_events([event(taken, 1)])
    many = [event(large, version) for version in range(1, 3001)]
    with pytest.raises(IntegrityError):
        recorder.insert_events([*many, event(taken, 1)])
    assert recorder.select_events(large) == []
    assert recorder.insert_events([*many, event(taken, 2)]) == list(range(2, 3003))
    assert recorder.select_events(large) == many
    with_factory.close()


def _recorded(recorder: object, stored: StoredEvent) -> bool:
    """Insert it again; True when it stands there, by now or since the unanswered attempt."""
    assert isinstance(recorder, JetStreamApplicationRecorder)
    try:
        recorder.insert_events([stored])
    except OperationalError:
        return False
    except IntegrityError:
        return True
    return True


def wait_for(condition: object, timeout_s: float = 20.0) -> None:
    assert callable(condition)
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.005)
