"""The ``eventsourcing`` recorders side by side: ``python -m benchmarks.recorders [--quick]``.

The library's own recorders and ours (on an embedded nats-server), at equal durability: first those
whose acknowledged events survive power loss, then those that may lose the last moment. Same
events, same calls, one after the other on one machine. A peer that is not installed is left out,
with a line that says what to install.
"""

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from eventsourcing.persistence import ApplicationRecorder, StoredEvent

from benchmarks import peers
from benchmarks.log import versioned
from benchmarks.report import Figure, save, show
from infra.nats import setup
from infra.nats.connection import open_connection, read_credentials
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.settings import NATS_PORT, Settings

PORT = 33_100
STATE = b'{"timestamp":{"_type_":"datetime_iso","_data_":"2030-01-01T00:00:00+00:00"},"amount":1}'
BATCH = 100
THREADS = (50, 200)
SECONDS = 2.0  # of each way to write
READ_MAX = 50_000
WRITERS = (128, 272, 320, 512)  # of the platform's log
PEER_THREADS = (50, 100, 200, 400)
TURNS = 3
GOALS = {  # of the durable run: threads -> inserts a second; and twice UmaDB
    "50 threads, one each": 10_000,
    "200 threads, one each": 10_000,
}


def events(count: int) -> list[StoredEvent]:
    originator = uuid4()
    return [StoredEvent(originator, version, "topic", STATE) for version in range(1, count + 1)]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(name: str, recorder: ApplicationRecorder, seconds: float) -> list[Figure]:
    insert = recorder.insert_events

    def alone(size: int) -> float:
        """Events a second of one thread."""
        count, start = 0, time.perf_counter()
        while (took := time.perf_counter() - start) < seconds:
            insert(events(size))
            count += size
        return count / took

    figures = [
        Figure(f"{name}: one event an insert", alone(1), "/s"),
        Figure(f"{name}: {BATCH} an insert", alone(BATCH), "/s"),
        *(by_many(name, recorder, threads, seconds) for threads in THREADS),
    ]
    return figures + reads(name, recorder)


def by_many(name: str, recorder: ApplicationRecorder, threads: int, seconds: float) -> Figure:
    """Inserts a second of threads that insert one event each, again and again."""
    insert, ready = recorder.insert_events, threading.Barrier(threads + 1)

    def work() -> tuple[int, float]:
        insert(events(1))  # each has its connection
        ready.wait()
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            insert(events(1))
            count += 1
        return count, time.perf_counter()

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(work) for _ in range(threads)]
        ready.wait()
        start, cpu_s = time.perf_counter(), time.process_time()
        done = [each.result() for each in running]
    cpu_s = time.process_time() - cpu_s
    count = sum(each for each, _ in done)
    rate = count / (max(end for _, end in done) - start)
    detail = {"our CPU us": cpu_s / count * 1e6}
    return Figure(f"{name}: {threads} threads, one each", rate, "/s", detail=detail)


def reads(name: str, recorder: ApplicationRecorder) -> list[Figure]:
    total = min(recorder.max_notification_id() or 0, READ_MAX)

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
def jetstream(folder: Path, *, durable: bool) -> Iterator[ApplicationRecorder]:
    loop = asyncio.new_event_loop()
    server = EmbeddedServer(folder, PORT, sync="always" if durable else "2m")
    loop.run_until_complete(server.start())
    password = quote(read_credentials(folder)["app"], safe="")
    env = {
        "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
        "NATS_URL": f"nats://app:{password}@127.0.0.1:{PORT}",
    }
    try:
        with peers.recorder(env) as made:
            yield made
    finally:
        loop.run_until_complete(server.stop())
        loop.close()


Store = Callable[[Path], AbstractContextManager[ApplicationRecorder]]

DURABLE: dict[str, Store] = {
    "SQLite (FULL)": lambda folder: peers.sqlite(folder, durable=True),
    "PostgreSQL": lambda folder: peers.postgres(folder, durable=True),
    "UmaDB": peers.umadb,
    "JetStream (always)": lambda folder: jetstream(folder, durable=True),
}
RELAXED: dict[str, Store] = {
    "SQLite (NORMAL)": lambda folder: peers.sqlite(folder, durable=False),
    "PostgreSQL (async)": lambda folder: peers.postgres(folder, durable=False),
    "JetStream (default)": lambda folder: jetstream(folder, durable=False),
}


def side_by_side(stores: dict[str, Store], seconds: float, *, durable: bool) -> list[Figure]:
    """The last store is ours: its figures say how many times each peer's they are."""
    found: dict[str, list[Figure]] = {}
    for name, store in stores.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                with store(Path(folder)) as recorder:
                    found[name] = measure(name, recorder, seconds)
            except peers.Missing as missing:
                sys.stderr.write(f"{missing}\n")
    *others, ours = found
    known = {figure.name: figure.value for figures in found.values() for figure in figures}
    figures = [figure for name in others for figure in found[name]]
    for figure in found[ours]:
        what = figure.name.split(": ")[1]
        times = {
            f"x {name}": figure.value / known[f"{name}: {what}"]
            for name in others
            if f"{name}: {what}" in known
        }
        goal = GOALS.get(what) if durable else None
        twice = times.get("x UmaDB")
        figures.append(
            replace(
                figure,
                detail=figure.detail | times,
                against="UmaDB" if twice else "",
                ratio=twice,
                goal=f">= {goal:,}/s, 2 x UmaDB" if goal else "",
                met=figure.value >= goal and twice >= 2 if goal and twice else None,
            )
        )
    return figures


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[JetStreamLog]:
    server = EmbeddedServer(folder, PORT)
    await server.start()
    settings = Settings(data_dir=folder, port_shift=PORT - NATS_PORT)
    nc = await open_connection(settings, "owner")
    await setup.ensure(nc)
    log = JetStreamLog(nc)
    yield log
    await log.close()
    await nc.close()
    await server.stop()


async def many_writers(seconds: float) -> list[Figure]:
    """The platform's own log, durable, with writers (asyncio) that each state a version, beside
    UmaDB's best number of threads; both servers run, and are used by turns.
    """
    umadb = 0.0
    rates: dict[int, list[tuple[float, float, float]]] = {writers: [] for writers in WRITERS}
    with (
        tempfile.TemporaryDirectory() as ours,
        tempfile.TemporaryDirectory() as theirs,
        peers.umadb(Path(theirs)) as recorder,
    ):
        async with platform(Path(ours)) as log:
            for turn in range(TURNS):
                for threads in PEER_THREADS:
                    found = await asyncio.to_thread(by_many, "", recorder, threads, seconds)
                    umadb = max(umadb, found.value)
                for writers in WRITERS:
                    count = int(10_000 * seconds)
                    tag = f"{turn}.{writers}."
                    rates[writers].append(await versioned(log, count, tag, writers))
    best = Figure(f"UmaDB: the best of {PEER_THREADS} threads", umadb, "/s")
    return [best] + [_beside(writers, max(found), umadb) for writers, found in rates.items()]


def _beside(writers: int, found: tuple[float, float, float], umadb: float) -> Figure:
    rate, median, worst = found
    return Figure(
        f"JetStream: {writers} writers with a version",
        rate,
        "/s",
        "UmaDB",
        rate / umadb,
        ">= 10,000/s, median < 15 ms, 2 x UmaDB",
        rate >= 10_000 and median < 15 and rate >= 2 * umadb,
        {"median ms": median, "p99 ms": worst},
    )


def main() -> None:
    seconds = SECONDS * (0.3 if "--quick" in sys.argv else 1.0)
    durable = side_by_side(DURABLE, seconds, durable=True)
    relaxed = side_by_side(RELAXED, seconds, durable=False)
    show("Recorders: an acknowledged event survives power loss", durable)
    show("Recorders: the last moment may be lost", relaxed)
    figures = [*durable, *relaxed]
    try:
        writers = asyncio.run(many_writers(seconds / TURNS))
        show("Many writers: an acknowledged event survives power loss", writers)
        figures += writers
    except peers.Missing as missing:
        sys.stderr.write(f"{missing}\n")
    save("recorders", figures)


if __name__ == "__main__":
    main()
