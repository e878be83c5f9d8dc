"""What a log costs as it grows: ``python -m benchmarks.growth [--quick]``.

One log is filled to 1,000, 100,000 and 1,000,000 events (the last not with ``--quick``), a hundred
events a subject, and measured at each length: what a call takes, what the server holds in memory
and on disk, and how long it takes to start again. The column "10 M" is calculated from the last two
lengths: what did not grow with the log stays, what grew goes on in a straight line.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from benchmarks.log import event, meta
from benchmarks.report import Figure, save, show
from infra.nats import setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.ports import Write
from infra.settings import NATS_PORT, Settings

PORT = 33_130
LENGTHS = (1_000, 100_000, 1_000_000)
CALCULATED = 10_000_000
EVENTS_A_SUBJECT = 100
CALLS = 60
FOLLOWS = 5
FILL_AT_ONCE = 1000
GROWS = 3  # times between the last two lengths, or it is taken for noise


async def fill(log: JetStreamLog, start: int, end: int) -> None:
    for first in range(start, end, FILL_AT_ONCE):
        numbers = range(first, min(first + FILL_AT_ONCE, end))
        outcomes = await log.append_each(
            ([Write(event(f"n{n // EVENTS_A_SUBJECT}", n))], meta(f"fill/{n}")) for n in numbers
        )
        assert all(isinstance(outcome, tuple) for outcome in outcomes)


async def median_ms(once: Callable[[int], Awaitable[object]], calls: int) -> float:
    took = []
    for number in range(calls):
        start = time.perf_counter()
        await once(number)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


async def calls(log: JetStreamLog, length: int) -> dict[str, float]:
    last = await log.last_position()
    subjects = length // EVENTS_A_SUBJECT

    async def append(number: int) -> None:
        await log.append([Write(event(f"v{length}-{number}", number), 0)], meta=meta(f"{number}"))

    async def first_batch(subject: str, after: int) -> None:
        subscription = log.follow([subject], after=after)
        async for _ in subscription:
            break
        await subscription.close()

    middle = f"events.service.n{subjects // 2}"
    return {
        "append with a version, ms": await median_ms(append, CALLS),
        "last event of a subject, ms": await median_ms(lambda _: log.last(middle), CALLS),
        "read a subject's 100 events, ms": await median_ms(lambda _: log.read(middle), CALLS),
        "follow from the start, first batch, ms": await median_ms(
            lambda _: first_batch("events.>", 0), FOLLOWS
        ),
        "follow from near the end, first batch, ms": await median_ms(
            lambda _: first_batch("events.>", last - 10), FOLLOWS
        ),
        "follow one old subject, first batch, ms": await median_ms(
            lambda _: first_batch("events.service.n0", 0), FOLLOWS
        ),
        "follow one new subject, first batch, ms": await median_ms(
            lambda _: first_batch(f"events.service.n{subjects - 1}", 0), FOLLOWS
        ),
    }


def server_process() -> psutil.Process:
    (server,) = (p for p in psutil.Process().children() if "nats-server" in p.name())
    return server


def disk_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


async def connected(settings: Settings) -> tuple[Connection, JetStreamLog]:
    nc = await open_connection(settings, "service")
    return nc, JetStreamLog(nc)


async def measure(lengths: tuple[int, ...]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(data_dir=folder, port_shift=PORT - NATS_PORT)
        server = EmbeddedServer(folder, PORT, sync="2m")
        await server.start()
        owner = await open_connection(settings, "owner")
        await setup.ensure(owner)
        await owner.close()
        present = 0
        for length in lengths:
            nc, log = await connected(settings)
            start = time.perf_counter()
            await fill(log, present, length)
            rate = (length - present) / (time.perf_counter() - start)
            row = {"filled at, /s": rate, **await calls(log, length)}
            row["server's memory, MB"] = server_process().memory_info().rss / 1e6
            row["disk, MB"] = disk_mb(folder)
            await log.close()
            await nc.close()
            await server.stop()
            server = EmbeddedServer(folder, PORT, sync="2m")
            start = time.perf_counter()
            await server.start()
            nc, log = await connected(settings)
            await log.append([Write(event("back", length))], meta=meta(f"back/{length}"))
            row["restart to the first append, s"] = time.perf_counter() - start
            row["server's memory after it, MB"] = server_process().memory_info().rss / 1e6
            await log.close()
            await nc.close()
            found[length], present = row, length
        await server.stop()
    return found


def calculated(found: dict[int, dict[str, float]]) -> dict[str, float]:
    """At ``CALCULATED`` events: in a straight line what grew with the log, the rest as it was."""
    (shorter, less), (longer, more) = list(found.items())[-2:]
    row = {}
    for what, value in more.items():
        slope = (value - less[what]) / (longer - shorter)
        grows = not what.startswith("filled") and value > less[what] * GROWS
        row[what] = value + slope * (CALCULATED - longer) if grows else value
    return row


async def main() -> None:
    found = await measure(LENGTHS[:2] if "--quick" in sys.argv else LENGTHS)
    row = calculated(found)
    longest = list(found)[-1]
    figures = [
        Figure(
            what,
            value,
            "",
            detail={f"{length:,}": each[what] for length, each in found.items()}
            | {"10 M (calculated)": row[what]},
        )
        for what, value in found[longest].items()
    ]
    show(f"What a log costs as it grows (at {longest:,} events)", figures)
    save("growth", figures)


if __name__ == "__main__":
    asyncio.run(main())
