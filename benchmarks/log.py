"""How quick the event log is, beside what it stands on: ``python -m benchmarks.log [--quick]``.

Every pair runs against the same server, one after the other: a bare publisher and our appends, a
bare consumer and our followers. Both server settings are measured: ``always`` (an acknowledged
event survives power loss) and the server's default (an fsync every two minutes).
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.report import Figure, save, show
from domain.delivery_events import ServiceDegraded
from infra import codec
from infra.nats import api, setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.nats.reader import StreamReader
from infra.nats.writer import MESSAGE_ID, Message
from infra.ports import Append, Meta, Write
from infra.settings import NATS_PORT, Settings

AT = datetime(2030, 1, 1, tzinfo=UTC)
BODY = b"x" * 300  # about as large as one of our events
WRITERS = 128
WINDOW = 1000
ROUNDS = 3


def event(name: str, number: int) -> ServiceDegraded:
    return ServiceDegraded(name=name, at=AT, reason=f"measured {number}")


def meta(command: str) -> Meta:
    return Meta(command_id=command, actor="benchmark", correlation_id="benchmark")


async def one_at_a_time(seconds: float, once: Callable[[int], Awaitable[object]]) -> float:
    """Return the median time of one call in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await once(len(took))
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


Made = tuple[str, bytes, dict[str, str] | None]


def same_bytes(number: int) -> Made:
    return f"events.bare.{number % 100}", BODY, None


def same_events(number: int) -> Made:
    """What an append writes, made in the same way: an event, its id, its body."""
    made = event(f"same{number % 100}", number)
    id = codec.event_id(f"same/{number}", 0, made)
    headers = {MESSAGE_ID: id, "Content-Type": codec.CONTENT_TYPE}
    return made.subject, codec.encode(made, id=id, meta=meta(f"same/{number}")), headers


async def bare_inbox(nc: Client, count: int, make: Callable[[int], Made]) -> float:
    """The quickest publisher on nats-py's usual API: one reply inbox, a window of unanswered
    messages, no tasks, no conditions; answers are counted, not read.
    """
    inbox, answered, room = nc.new_inbox(), 0, asyncio.Semaphore(WINDOW)
    done = asyncio.Event()

    async def ack(_: Msg) -> None:
        nonlocal answered
        answered += 1
        room.release()
        if answered == count:
            done.set()

    subscription = await nc.subscribe(inbox, cb=ack)
    start = time.perf_counter()
    for number in range(count):
        await room.acquire()
        subject, body, headers = make(number)
        await nc.publish(subject, body, reply=inbox, headers=headers)
    await done.wait()
    took = time.perf_counter() - start
    await subscription.unsubscribe()
    return count / took


async def ceiling(nc: Connection, count: int) -> float:
    """What the server takes: lines made beforehand, fifty a write, answers only counted."""
    inbox, out, answered = nc.new_inbox(), 0, 0
    more = asyncio.Event()

    def ack(*_: bytes | None) -> None:
        nonlocal out, answered
        out, answered = out - 1, answered + 1
        more.set()

    subscription = await nc.tap(inbox, ack)
    lines = [
        f"PUB events.bare.{n % 100} {inbox} {len(BODY)}\r\n".encode() + BODY + b"\r\n"
        for n in range(count)
    ]
    start, sent = time.perf_counter(), 0
    while answered < count:
        while sent < count and out < WINDOW:
            chunk = lines[sent : sent + 50]
            nc.push(b"".join(chunk))
            sent, out = sent + len(chunk), out + len(chunk)
        more.clear()
        await more.wait()
    took = time.perf_counter() - start
    await nc.untap(subscription)
    return count / took


async def in_parallel(
    workers: int, count: int, once: Callable[[int, int], Awaitable[object]]
) -> tuple[float, float, float]:
    """Return calls a second, and the median and 99th percentile of one call in milliseconds."""
    took: list[float] = []

    async def work(worker: int) -> None:
        for number in range(count // workers):
            start = time.perf_counter()
            await once(worker, number)
            took.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(workers)))
    rate = len(took) / (time.perf_counter() - start)
    took.sort()
    return rate, statistics.median(took) * 1000, took[int(len(took) * 0.99)] * 1000


async def versioned(
    log: JetStreamLog, count: int, tag: str, writers: int = WRITERS
) -> tuple[float, float, float]:
    """Writers with an aggregate each; every append states the version it was decided on."""
    at = [0] * writers

    async def once(worker: int, number: int) -> None:
        name = f"{tag}{worker}"
        write = Write(event(name, number), at[worker])
        (at[worker],) = await log.append([write], meta=meta(f"{name}/{number}"))

    return await in_parallel(writers, count, once)


async def pipelined(log: JetStreamLog, count: int, tag: str) -> float:
    async def once(worker: int, number: int) -> None:
        write = Write(event(f"{tag}{worker % 100}", number))
        await log.append([write], meta=meta(f"{tag}{worker}/{number}"))

    return (await in_parallel(WINDOW, count, once))[0]


def appends_of(count: int, tag: str) -> Iterator[Append]:
    for n in range(count):
        yield [Write(event(f"{tag}{n % 100}", n))], meta(f"{tag}/{n}")


async def together(log: JetStreamLog, count: int, tag: str, *, made: bool) -> float:
    """One call with all appends; ``made``: events, writes and metas exist before the clock runs."""
    appends: Iterable[Append] = appends_of(count, tag)
    if made:
        appends = list(appends)
    start = time.perf_counter()
    outcomes = await log.append_each(appends)
    took = time.perf_counter() - start
    assert all(isinstance(outcome, tuple) for outcome in outcomes)
    return count / took


async def raw_pipelined(log: JetStreamLog, count: int) -> float:
    writer = await log.writer()

    async def once(worker: int, number: int) -> None:
        await writer.publish((Message(f"events.bare.{worker % 100}", BODY),))

    return (await in_parallel(WINDOW, count, once))[0]


async def bare_consumer(nc: Client, count: int) -> float:
    """A push consumer's callback that does nothing but count."""
    seen, done = 0, asyncio.Event()

    async def take(_: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    inbox = nc.new_inbox()
    name = inbox.rsplit(".", 1)[-1]
    subscription = await nc.subscribe(inbox, cb=take, pending_bytes_limit=0)
    config = {"name": name, "deliver_subject": inbox, "ack_policy": "none", "max_deliver": 1}
    config |= {"mem_storage": True, "filter_subject": "events.service.>"}
    request = {"stream_name": setup.EVENTS, "config": config, "action": "create"}
    start = time.perf_counter()
    await api.call(nc, f"CONSUMER.CREATE.EVENTS.{name}.events.service.>", request)
    await done.wait()
    rate = count / (time.perf_counter() - start)
    await subscription.unsubscribe()
    await api.call(nc, f"CONSUMER.DELETE.EVENTS.{name}")
    return rate


async def raw_reader(nc: Connection, count: int) -> float:
    start = time.perf_counter()
    reader = StreamReader(nc, setup.EVENTS, ["events.service.>"]).start()
    seen = 0
    while seen < count:
        seen += len(await reader.next(500))
    rate = seen / (time.perf_counter() - start)
    await reader.close()
    return rate


async def follower(log: JetStreamLog, count: int) -> float:
    start = time.perf_counter()
    subscription = log.follow(["events.service.>"])
    seen = 0
    async for batch in subscription:
        seen += len(batch.events)
        if seen >= count:
            break
    rate = seen / (time.perf_counter() - start)
    await subscription.close()
    return rate


async def fill(nc: Connection, log: JetStreamLog, count: int) -> None:
    """Make the log at least this long on ``events.service.>``."""
    info = await api.call(
        nc, f"STREAM.INFO.{setup.EVENTS}", {"subjects_filter": "events.service.>"}
    )
    present = sum(info["state"].get("subjects", {}).values())
    for start in range(present, count, 500):
        writes = [Write(event(f"fill{n % 100}", n)) for n in range(start, start + 500)]
        await log.append(writes, meta=meta(f"fill/{start}"))


async def appends(nc: Connection, log: JetStreamLog, sync: str, scale: float) -> list[Figure]:
    seconds, many = 1.5 * scale, int(20_000 * scale)
    js = nc.jetstream()
    plain = await one_at_a_time(seconds, lambda n: js.publish(f"events.bare.{n % 100}", BODY))
    lone = await one_at_a_time(
        seconds,
        lambda n: log.append([Write(event("lone", n))], meta=meta(f"lone/{n}")),
    )
    bare = same = most = raw = ours = made = making = 0.0
    for turn in range(ROUNDS):  # by turns, the best of each: the machine is not the same twice
        bare = max(bare, await bare_inbox(nc, many, same_bytes))
        made = max(made, await together(log, many, f"before{turn}", made=True))
        same = max(same, await bare_inbox(nc, many, same_events))
        making = max(making, await together(log, many, f"making{turn}", made=False))
        most = max(most, await ceiling(nc, many))
        raw = max(raw, await raw_pipelined(log, many))
        ours = max(ours, await pipelined(log, many, f"p{turn}."))
    rate, median, worst = await versioned(log, many, "v")
    writer = await log.writer()
    durable = sync == "always"
    return [
        Figure(f"{sync}: js.publish, one at a time", plain, "ms"),
        Figure(
            f"{sync}: append, one at a time",
            lone,
            "ms",
            "js.publish",
            lone / plain,
            "<= 1.2",
            lone / plain <= 1.2,
        ),
        Figure(f"{sync}: bare reply-inbox publisher", bare, "/s"),
        Figure(f"{sync}: the same, making and publishing our events", same, "/s"),
        Figure(f"{sync}: ceiling: lines made before", most, "/s", "bare publisher", most / bare),
        Figure(f"{sync}: writer, raw messages", raw, "/s", "bare publisher", raw / bare),
        Figure(
            f"{sync}: append_each, events made before",
            made,
            "/s",
            "bare publisher",
            made / bare,
            "" if durable else ">= 0.75",
            None if durable else made / bare >= 0.75,
        ),
        Figure(
            f"{sync}: append_each, events made meanwhile",
            making,
            "/s",
            "the bare one making them",
            making / same,
            detail={"x bare publisher": making / bare},
        ),
        Figure(
            f"{sync}: {WINDOW} tasks, an append each",
            ours,
            "/s",
            "bare publisher",
            ours / bare,
            detail={"x making our events": ours / same},
        ),
        Figure(
            f"{sync}: appends with a version, {WRITERS} writers",
            rate,
            "/s",
            "bare publisher",
            rate / bare,
            ">= 10,000/s, median < 15 ms" if durable else "",
            (rate >= 10_000 and median < 15) if durable else None,
            {"median ms": median, "p99 ms": worst, "batches": float(writer.batches)},
        ),
    ]


async def reads(nc: Connection, log: JetStreamLog, scale: float) -> list[Figure]:
    count = int(100_000 * scale)
    await fill(nc, log, count)
    bare = await bare_consumer(nc, count)
    raw = await raw_reader(nc, count)
    ours = await follower(log, count)
    return [
        Figure("push consumer, bare callback", bare, "/s"),
        Figure("reader, raw messages", raw, "/s", "bare callback", raw / bare),
        Figure(
            "follow, decoded events",
            ours,
            "/s",
            "bare callback",
            ours / bare,
            ">= 0.60",
            ours / bare >= 0.6,
        ),
    ]


async def measure(sync: str, scale: float, *, with_reads: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        port = 23_000  # below those that the system gives to clients
        server = EmbeddedServer(Path(folder), port, sync=sync)
        await server.start()
        settings = Settings(data_dir=Path(folder), port_shift=port - NATS_PORT)
        owner = await open_connection(settings, "owner")
        await setup.ensure(owner)
        nc = await open_connection(settings, "service")
        log = JetStreamLog(nc)
        figures = await appends(nc, log, "always" if sync == "always" else "default", scale)
        if with_reads:
            figures += await reads(nc, log, scale)
        await log.close()
        await nc.close()
        await owner.close()
        await server.stop()
        return figures


async def main() -> None:
    scale = 0.3 if "--quick" in sys.argv else 1.0
    figures = await measure("always", scale, with_reads=False)
    figures += await measure("2m", scale, with_reads=True)
    show("The event log", figures)
    save("log", figures)


if __name__ == "__main__":
    asyncio.run(main())
