"""Views folded from a long log, and what a log costs as it grows.

``python -m benchmarks.projection``

Fills logs of 10 k, 100 k and 1 M events (whole lives of intents, eleven events each, fifty at a
time side by side; the bodies come from the stored samples) and folds each into the real tables
``intents`` and ``timeline`` in a new SQLite file. At each length it also measures single calls.
``--quick``: 10 k and 100 k; ``--million``: 1 M alone.
"""

import asyncio
import gc
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.log import event, meta
from benchmarks.report import Figure, save, show
from domain.ids import name_id
from domain.intake import INTENT_NAMESPACE
from infra.nats import setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.nats.writer import Message
from infra.ports import Write
from infra.settings import NATS_PORT, Settings
from infra.views import SqliteViews
from phoenix.host import COLLECT_EVERY
from projections.intents import INTENTS, TIMELINE
from tests.history.samples import read

PORT = 33_200
LIFE = (
    "intent.IntentQueued",
    "governance.AlignmentAssessed",
    "governance.DecisionMade",
    "spec.SpecVerified",
    "spec.SpecAccepted",
    "build.BuildStarted",
    "build.TestsPassed",
    "build.ArtifactPackaged",
    "deployment.DeploymentStarted",
    "deployment.DeploymentHealthy",
    "intent.IntentCompleted",
)
TOGETHER = 50  # intents under way at once
BATCH = 1000
MB = 1024 * 1024


def templates() -> list[tuple[str, bytes]]:
    """(subject, body) of each event of a life; ``@`` stands where the number comes."""
    stored = {full_type: body for full_type, _, body in read()}
    made = []
    for short in LIFE:
        body = orjson.loads(stored[f"phoenix.{short}.v1"])
        data = body["data"]
        data.update({"intent_id": "i-@"} if "intent_id" in data else {})
        data.update({"build_id": "b-@"} if "build_id" in data else {})
        data.update({"attempt": 1} if "attempt" in data else {})
        data.update({"decision": "auto_approve"} if "decision" in data else {})
        body |= {"id": "00000000-0000-5000-8000-@", "correlationid": "i-@", "actor": "benchmark"}
        body["time"] = "2030-01-01T00:00:00Z"
        context = short.split(".")[0]
        key = "b-@" if context == "build" else "i-@"
        made.append((f"events.{context}.{key}", orjson.dumps(body)))
    return made


def key_of(number: int) -> str:
    """Ids as real ones are, in no order: indexes of ids that grow cost half as much."""
    return name_id(INTENT_NAMESPACE.bytes, str(number))


def lives(first: int, last: int) -> Iterator[Message]:
    """Events number ``first`` up to ``last`` of an endless log."""
    made = templates()
    block = TOGETHER * len(made)
    for number in range(first, last):
        round, within = divmod(number, block)
        step, who = divmod(within, TOGETHER)
        key = key_of(round * TOGETHER + who)
        subject, body = made[step]
        yield Message(subject.replace("@", key), body.replace(b"@", key.encode()))


async def fill(log: JetStreamLog, first: int, last: int) -> None:
    writer = await log.writer()
    waiting: list[asyncio.Future[object]] = []
    batch: list[Message] = []
    for message in lives(first, last):
        batch.append(message)
        if len(batch) == BATCH:
            waiting.append(asyncio.ensure_future(writer.publish(batch)))
            batch = []
            await asyncio.sleep(0)
            if len(waiting) > 3:
                await waiting.pop(0)
    if batch:
        await writer.publish(batch)
    await asyncio.gather(*waiting)


def memory_mb(pid: int | None = None) -> float:
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() / MB


class Rebuilt(NamedTuple):
    took_s: float  # from nothing to everything
    cpu_s: float  # of it, ours
    early_mb: float  # our memory a tenth of the way in
    late_mb: float  # and at the end

    def cpu_us(self, events: int) -> float:
        return self.cpu_s * 1e6 / events


async def rebuild(log: JetStreamLog, folder: Path, last: int) -> Rebuilt:
    views = SqliteViews(folder, (INTENTS, TIMELINE))
    started, cpu = time.perf_counter(), time.process_time()
    following = asyncio.create_task(views.follow(log))
    early = 0.0
    while views.position < last and not following.done():
        await views.changed(timeout_s=1.0)
        if not early and views.position > last // 10:
            early = memory_mb()
    if following.done():
        following.result()
    await views.reach(last, timeout_s=60)  # its indexes are made at the end
    took, used = time.perf_counter() - started, time.process_time() - cpu
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert views.count(TIMELINE) == last
    views.close()
    return Rebuilt(took, used, early, memory_mb())


async def median_ms(once: Callable[[int], Awaitable[object]], times: int = 60) -> float:
    took = []
    for number in range(times):
        start = time.perf_counter()
        await once(number)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


async def calls(nc: Connection, log: JetStreamLog, length: int) -> list[Figure]:
    """What single calls take on a log of this length."""
    name = f"{length:,}"

    async def append(number: int) -> None:
        key = f"grown{length}-{number}"
        await log.append([Write(event(key, 0), 0)], meta=meta(key))

    async def old(number: int) -> None:
        found = await log.read(f"events.intent.i-{key_of(number)}")
        assert len(found) == 2

    async def tail(_: int) -> None:
        subscription = log.follow(["events.>"], after=length - 200)
        async for _batch in subscription:
            break
        await subscription.close()

    async def filtered(_: int) -> None:
        subscription = log.follow([f"events.intent.i-{key_of(7)}"])
        async for _batch in subscription:
            break
        await subscription.close()

    return [
        Figure(f"{name}: append with a version", await median_ms(append), "ms"),
        Figure(f"{name}: read an intent's events, the oldest", await median_ms(old), "ms"),
        Figure(f"{name}: follow from near the end, first batch", await median_ms(tail, 15), "ms"),
        Figure(f"{name}: follow one old subject, first batch", await median_ms(filtered, 15), "ms"),
    ]


async def measure(lengths: Sequence[int]) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = EmbeddedServer(folder, PORT, sync="2m")
        await server.start()
        settings = Settings(data_dir=folder, port_shift=PORT - NATS_PORT)
        owner = await open_connection(settings, "owner")
        nc = await open_connection(settings, "service")
        for length in lengths:
            await owner.jetstream().delete_stream(setup.EVENTS) if figures else None
            await setup.ensure(owner)
            log = JetStreamLog(nc)
            started = time.perf_counter()
            await fill(log, 0, length)
            filled = time.perf_counter() - started
            again = await rebuild(log, folder / f"views{length}", length)
            state = (await log.stream.info())["state"]
            figures += [
                Figure(f"{length:,}: written in batches of {BATCH}", length / filled, "/s"),
                Figure(
                    f"{length:,}: folded into SQLite",
                    length / again.took_s,
                    "/s",
                    goal=">= 30,000/s",
                    met=length / again.took_s >= 30_000,
                    detail={"s": again.took_s, "our CPU, us an event": again.cpu_us(length)},
                ),
                Figure(
                    f"{length:,}: rebuilt, a million at this rate",
                    again.took_s * 1_000_000 / length,
                    "s",
                    goal="< 60 s",
                    met=again.took_s * 1_000_000 / length < 60,
                ),
                Figure(
                    f"{length:,}: memory at the end of a rebuild",
                    again.late_mb,
                    "MB",
                    goal="at most 1.2 times that after a tenth",
                    met=again.late_mb <= 1.2 * again.early_mb,
                    detail={"MB after a tenth": again.early_mb},
                ),
                Figure(
                    f"{length:,}: the stream on disk",
                    state["bytes"] / length,
                    "bytes an event",
                    detail={"server MB": memory_mb(server.pid)},
                ),
                *await calls(nc, log, length),
            ]
            await log.close()
        await nc.close()
        await owner.close()
        await server.stop()
    return figures


def main() -> None:
    gc.set_threshold(*COLLECT_EVERY)  # as in an instance
    lengths: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    if "--quick" in sys.argv:
        lengths = lengths[:2]
    elif "--million" in sys.argv:
        lengths = lengths[2:]
    figures = asyncio.run(measure(lengths))
    show("Views from a long log", figures)
    save("projection", figures)


if __name__ == "__main__":
    main()
