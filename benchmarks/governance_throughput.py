"""Publish to DecisionMade in running groups: ``python -m benchmarks.governance_throughput``.

Starts ``phoenix up --services intent-queue,governance`` (three instances each, durable writes) on
free ports and publishes varied intents to ``intents.submit``, as anybody would:

1. all at once: decisions a second, from the first message to the last decision;
2. at half the goal's rate: how long each waits, from its message to its decision;
3. all at once again, both leaders killed in the middle.

Times are the server's own, read from the log afterwards; so is the proof that every message was
answered once and every intent decided once. ``--quick``: a tenth; ``--all``: with all 18 instances.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Figure, save, show
from infra.nats.connection import Connection, open_connection
from infra.nats.reader import StreamReader
from infra.nats.setup import EVENTS
from infra.nats.writer import Ack, Message, StreamWriter
from infra.settings import Settings
from tests.governance.labelled import FILE
from tests.integration.system import System, free_shift

GOAL = 1000.0
GROUPS = ("intent-queue", "governance")
LETTERS = "bcdfghjklmnpqrstvwxz"
PATIENCE_S = 55.0


def messages(count: int, seed: int) -> list[bytes]:
    """Intents as anybody writes them: the labelled ones, each about subjects of its own."""
    rng = random.Random(seed)
    given = [json.loads(line)["intent"] for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [json.dumps(_varied(rng, given[n % len(given)], seed, n)).encode() for n in range(count)]


def _varied(rng: random.Random, given: dict[str, object], seed: int, number: int) -> object:
    words = ["".join(rng.choices(LETTERS, k=9)) for _ in range(5)]
    purpose = f"{given['purpose']} (for {', '.join(words[2:])})"[:2000]
    name = f"{words[0]}-{words[1]}"
    return {**given, "service_name": name, "purpose": purpose, "metadata": {"n": [seed, number]}}


@dataclass
class Story:
    """What the log says about one run."""

    sent: dict[int, int] = field(default_factory=dict)  # raw position -> time in ns
    answers: Counter[int] = field(default_factory=Counter)  # of each raw position
    refused: int = 0
    intents: dict[str, int] = field(default_factory=dict)  # intent -> raw position
    decided: dict[str, int] = field(default_factory=dict)  # intent -> time in ns
    decisions: Counter[str] = field(default_factory=Counter)

    def take(self, subject: str, data: bytes, position: int, time_ns: int) -> None:
        if subject.startswith("intents."):
            self.sent[position] = time_ns
            return
        envelope = json.loads(data)
        kind = envelope["type"].split(".")[2]
        if kind in ("IntentQueued", "IntentRefused"):
            raw = envelope["data"]["raw_position"]
            self.answers[raw] += 1
            self.refused += kind == "IntentRefused"
            if kind == "IntentQueued":
                self.intents[envelope["subject"]] = raw
        elif kind == "DecisionMade":
            self.decisions[envelope["subject"]] += 1
            self.decided[envelope["subject"]] = time_ns

    def faults(self) -> int:
        """Messages without exactly one answer, intents without exactly one decision."""
        unanswered = sum(self.answers[raw] != 1 for raw in self.sent)
        return unanswered + sum(self.decisions[intent] != 1 for intent in self.intents)

    def rate(self) -> float:
        took_ns = max(self.decided.values()) - min(self.sent.values())
        return len(self.decided) / (took_ns / 1e9)

    def waits_ms(self) -> list[float]:
        return sorted(
            (self.decided[intent] - self.sent[raw]) / 1e6
            for intent, raw in self.intents.items()
            if intent in self.decided
        )

    def slowest_second(self) -> float:
        """Decisions in the slowest whole second between the first decision and the last."""
        first, last = min(self.decided.values()), max(self.decided.values())
        seconds = Counter((at - first) // 1_000_000_000 for at in self.decided.values())
        return min((seconds[n] for n in range((last - first) // 1_000_000_000)), default=0)


class Bench:
    """A running system and the two connections that measure it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.public: Connection
        self.service: Connection

    async def open(self) -> None:
        settings = Settings(
            _env_file=None,
            data_dir=self.system.data_dir,
            port_shift=self.system.shift,
        )
        self.public = await open_connection(settings, "public")
        self.service = await open_connection(settings, "service")

    async def close(self) -> None:
        await self.public.close()
        await self.service.close()

    async def run(self, bodies: Sequence[bytes], *, rate: float = 0, kill: bool = False) -> Story:
        """Publish, wait until all is decided, and read what the log says about it."""
        js = self.service.jetstream()
        start = (await js.stream_info(EVENTS)).state.last_seq
        publishing = asyncio.create_task(self._publish(bodies, rate))
        if kill:
            await self._reach(start, len(bodies) // 3)
            for name in GROUPS:
                os.kill(int(self.system.leader(name)["pid"]), signal.SIGKILL)
        await publishing
        await self._quiet(start, len(bodies))
        return await self._read(start)

    async def _publish(self, bodies: Sequence[bytes], rate: float) -> None:
        writer = await StreamWriter(self.public).start()
        waiting: set[asyncio.Future[Ack]] = set()
        began = time.monotonic()
        for number, body in enumerate(bodies):
            if rate and (ahead := number / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
            elif len(waiting) >= 1000:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting.add(writer.send([Message("intents.submit", body, {})]))
        await asyncio.gather(*waiting)
        await writer.close()

    async def _decided(self, start: int) -> int:
        """Decisions since the start, as the leader of governance counts them."""
        with contextlib.suppress(Exception):  # it may just have been killed
            answer = await asyncio.to_thread(
                self.system.get, "governance", "/governance/decisions", limit=1
            )
            return int(answer["total"]) - self.before
        return -1

    before = 0

    async def _reach(self, start: int, count: int) -> None:
        for _ in range(400):
            if await self._decided(start) >= count:
                return
            await asyncio.sleep(0.05)

    async def _quiet(self, start: int, count: int) -> None:
        """Wait until all is decided, or nothing has been for a while."""
        deadline = time.monotonic() + PATIENCE_S
        now, last, since = -1, -1, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < 8:
            now = await self._decided(start)
            if now >= count:
                break
            if now != last:
                last, since = now, time.monotonic()
            await asyncio.sleep(0.2)
        self.before += max(last, now)

    async def _read(self, start: int) -> Story:
        story = Story()
        last = (await self.service.jetstream().stream_info(EVENTS)).state.last_seq
        subjects = ["intents.>", "events.intent.>", "events.governance.>"]
        reader = StreamReader(self.service, EVENTS, subjects, after=start).start()
        position = start
        while position < last and (position < last - 50 or reader.pending):
            for raw in await reader.next(500):
                position = raw.position
                story.take(raw.subject, raw.data, raw.position, raw.time_ns)
        await reader.close()
        return story


@contextlib.contextmanager
def system(folder: Path, *, everything: bool) -> Iterator[System]:
    services = () if everything else ("--services", ",".join(GROUPS))
    env = {"PHOENIX_QUEUE_CAPACITY": "100000", "PHOENIX_SANDBOX": "process"}
    running = System(folder / "data", free_shift(), env, services)
    running.start()
    try:
        yield running
    finally:
        running.stop()


async def measure(system: System, count: int, steps: Sequence[str]) -> list[Figure]:
    bench = Bench(system)
    await bench.open()
    figures: list[Figure] = []
    if "burst" in steps:
        story = await bench.run(messages(count, 1))
        figures += _burst(f"{count:,} intents at once", story)
    if "paced" in steps:
        story = await bench.run(messages(count // 2, 2), rate=GOAL / 2)
        figures += _paced(story)
    if "kill" in steps:
        story = await bench.run(messages(count // 2, 3), kill=True)
        figures += _burst(f"{count // 2:,} at once, both leaders killed", story, goal=False)
    await bench.close()
    return figures


def _burst(name: str, story: Story, *, goal: bool = True) -> list[Figure]:
    rate = story.rate()
    return [
        Figure(
            f"{name}: publish to DecisionMade",
            rate,
            "decisions/s",
            goal=">= 1000" if goal else "",
            met=rate >= GOAL if goal else None,
            detail={"slowest second": float(story.slowest_second())},
        ),
        _faults(name, story),
    ]


def _paced(story: Story) -> list[Figure]:
    waits = story.waits_ms()
    p99 = waits[int(len(waits) * 0.99)]
    name = f"{GOAL / 2:g}/s"
    return [
        Figure(
            f"{name}: publish to DecisionMade, 99th percentile",
            p99,
            "ms",
            goal="< 1000",
            met=p99 < 1000,
            detail={"p50": statistics.median(waits), "max": waits[-1]},
        ),
        _faults(name, story),
    ]


def _faults(name: str, story: Story) -> Figure:
    return Figure(
        f"{name}: lost or done twice",
        float(story.faults()),
        f"of {len(story.sent):,} ({story.refused} refused)",
        goal="0",
        met=story.faults() == 0 and len(story.intents) + story.refused == len(story.sent),
    )


def main() -> None:
    count = 2_000 if "--quick" in sys.argv else 20_000
    steps = [s for s in ("burst", "paced", "kill") if f"--{s}" in sys.argv]
    everything = "--all" in sys.argv
    folder = Path(tempfile.mkdtemp(prefix="phoenix-bench-"))
    try:
        with system(folder, everything=everything) as running:
            figures = asyncio.run(measure(running, count, steps or ("burst", "paced", "kill")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    instances = "all 18 instances" if everything else "three instances of both groups"
    show(f"Publish to decision, {instances}", figures)
    name = "governance_throughput_all" if everything else "governance_throughput"
    sys.stdout.write(json.dumps({"saved": str(save(name, figures))}) + "\n")


if __name__ == "__main__":
    main()
