"""When a snapshot pays: reading one aggregate of 10, 100 and 1000 events with and without.

``python -m benchmarks.snapshots``: an ordinary application of the ``eventsourcing`` library on the
persistence module and an embedded nats-server; the snapshot is of the version before the last.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.report import Figure, save, show
from infra.nats.connection import read_credentials
from infra.nats.embedded import EmbeddedServer

PORT = 33_140
LENGTHS = (10, 100, 1000)
READS = 40


class Counter(Aggregate):
    @event("Started")
    def __init__(self) -> None:
        self.total = 0

    @event("Counted")
    def count(self, amount: int) -> None:
        self.total += amount


class Counters(Application[UUID]):
    is_snapshotting_enabled = True


def timed_ms(work: Callable[[], object]) -> tuple[float, float]:
    """The median and the quickest; on a busy machine the second says more."""
    work()
    taken = []
    for _ in range(READS):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), min(taken)


def measure(app: Counters, length: int) -> list[Figure]:
    counter = Counter()
    for _ in range(length - 1):
        counter.count(1)
    app.save(counter)
    plain = timed_ms(lambda: app.repository.get(counter.id))
    app.take_snapshot(counter.id, version=length - 1)
    behind = timed_ms(lambda: app.repository.get(counter.id))
    stored: Counter = app.repository.get(counter.id)
    assert stored.total == length - 1
    name = f"read {length} events"
    return [
        Figure(name, plain[0], "ms", "no snapshot", detail={"quickest": plain[1]}),
        Figure(name, behind[0], "ms", "one event later", detail={"quickest": behind[1]}),
    ]


async def main() -> None:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder), PORT)
        await server.start()
        password = quote(read_credentials(Path(folder))["app"], safe="")
        env = {
            "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
            "NATS_URL": f"nats://app:{password}@127.0.0.1:{PORT}",
        }

        def run() -> None:
            app = Counters(env)
            for length in LENGTHS:
                figures.extend(measure(app, length))
            app.close()

        await asyncio.to_thread(run)
        await server.stop()
    show("Snapshots", figures)
    save("snapshots", figures)


if __name__ == "__main__":
    asyncio.run(main())
