"""The ``eventsourcing`` recorders side by side: ``python -m benchmarks.recorders [--quick]``.

The library's SQLite recorder (a file, with the settings it chooses itself) and ours on an
embedded nats-server with ``sync_interval: always`` (an acknowledged event survives power loss) and
with the server's default. Same events, same calls, one after the other on one machine.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder
from eventsourcing.utils import Environment

from benchmarks.report import Figure, save, show
from infra.nats.connection import read_credentials
from infra.nats.embedded import EmbeddedServer

PORT = 33_100
STATE = b'{"timestamp":{"_type_":"datetime_iso","_data_":"2030-01-01T00:00:00+00:00"},"amount":1}'
BATCH = 100
THREADS = 50


def events(count: int) -> list[StoredEvent]:
    originator = uuid4()
    return [StoredEvent(originator, version, "topic", STATE) for version in range(1, count + 1)]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(name: str, recorder: ApplicationRecorder, scale: float) -> list[Figure]:
    singles, batches = int(500 * scale), int(100 * scale)
    threaded = int(4000 * scale)

    def one_by_one() -> None:
        for _ in range(singles):
            recorder.insert_events(events(1))

    def in_batches() -> None:
        for _ in range(batches):
            recorder.insert_events(events(BATCH))

    def by_many() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda _: recorder.insert_events(events(1)), range(threaded)))

    figures = [
        Figure(f"{name}: one event an insert", singles / timed(one_by_one), "/s"),
        Figure(f"{name}: {BATCH} an insert", batches * BATCH / timed(in_batches), "/s"),
        Figure(f"{name}: {THREADS} threads, one each", threaded / timed(by_many), "/s"),
    ]
    return figures + reads(name, recorder)


def reads(name: str, recorder: ApplicationRecorder) -> list[Figure]:
    total = recorder.max_notification_id() or 0

    def all_notifications() -> None:
        start, seen = 1, 0
        while seen < total:
            found = recorder.select_notifications(start, 1000)
            seen += len(found)
            start = found[-1].id + 1

    def follow() -> None:
        with recorder.subscribe() as subscription:
            for notification in subscription:
                if notification.id >= total:
                    return

    long = events(5000)
    recorder.insert_events(long)
    id = long[0].originator_id
    last = timed(lambda: [recorder.select_events(id, desc=True, limit=1) for _ in range(50)])
    past = timed(lambda: [recorder.select_events(id, lte=n, desc=True, limit=1) for n in OLD])
    figures = [
        Figure(f"{name}: select_notifications", total / timed(all_notifications), "/s"),
        Figure(f"{name}: newest of 5,000", last / 50 * 1000, "ms"),
        Figure(f"{name}: one old version of 5,000", past / len(OLD) * 1000, "ms"),
    ]
    if not name.startswith("SQLite"):  # it has no subscriptions
        figures.insert(1, Figure(f"{name}: subscription", total / timed(follow), "/s"))
    return figures


OLD = range(100, 5000, 100)


@contextmanager
def jetstream(folder: Path, sync: str) -> Iterator[ApplicationRecorder]:
    loop = asyncio.new_event_loop()
    server = EmbeddedServer(folder, PORT, sync=sync)
    loop.run_until_complete(server.start())
    password = quote(read_credentials(folder)["app"], safe="")
    env = {
        "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
        "NATS_URL": f"nats://app:{password}@127.0.0.1:{PORT}",
    }
    factory: InfrastructureFactory = InfrastructureFactory.construct(Environment("bench", env))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()
        loop.run_until_complete(server.stop())
        loop.close()


def sqlite(folder: Path) -> ApplicationRecorder:
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "events.sqlite"),
    }
    factory: InfrastructureFactory = InfrastructureFactory.construct(Environment("bench", env))
    return factory.application_recorder()


def compared(figures: list[Figure], peers: list[Figure]) -> list[Figure]:
    """Our figures with the SQLite recorder's beside them."""
    by_what = {figure.name.split(": ")[1]: figure.value for figure in peers}
    return [
        Figure(
            figure.name,
            figure.value,
            figure.unit,
            "SQLite" if (peer := by_what.get(figure.name.split(": ")[1])) else "",
            figure.value / peer if peer else None,
        )
        for figure in figures
    ]


def main() -> None:
    scale = 0.3 if "--quick" in sys.argv else 1.0
    with tempfile.TemporaryDirectory() as folder:
        peers = measure("SQLite", sqlite(Path(folder)), scale)
    figures = [*peers, *compared(measure("in memory", POPOApplicationRecorder(), scale), peers)]
    for sync, name in (("always", "JetStream durable"), ("2m", "JetStream")):
        with tempfile.TemporaryDirectory() as folder, jetstream(Path(folder), sync) as recorder:
            figures += compared(measure(name, recorder, scale), peers)
    show("Recorders of the eventsourcing library", figures)
    save("recorders", figures)


if __name__ == "__main__":
    main()
