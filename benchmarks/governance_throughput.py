"""Publish to DecisionMade in running groups: ``python -m benchmarks.governance_throughput``.

Starts ``phoenix up --services intent-queue,governance`` (three instances each, durable writes) on
free ports and publishes varied intents to ``intents.submit``, as anybody would:

burst   all at once: decisions a second, from the first message to the last decision
paced   at half the goal's rate: how long each waits, from its message to its decision
kill    all at once again, both leaders killed in the middle
dbos    the baseline: the same decisions as DBOS workflows of three steps on PostgreSQL

``burst18``, ``paced18`` and ``kill18`` do it with all 18 instances up. ``PART=COUNT ...`` runs
these parts with so many intents; ``--add`` keeps the figures of earlier parts. Times are the
server's own, read from the log afterwards; so is the proof that every message was answered once and
every intent decided once. CPU time is that of every process of the system, by what it does.
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks import cpu
from benchmarks.dbos_workflows import rate as dbos_rate
from benchmarks.postgres import Missing
from benchmarks.report import Figure, parts_asked, save, saved, show
from infra.nats.connection import Connection, open_connection
from infra.nats.reader import StreamReader
from infra.nats.setup import EVENTS
from infra.nats.writer import Ack, Message, StreamWriter
from infra.settings import Settings
from tests.governance.labelled import FILE
from tests.integration.system import System
from tests.support.ports import free_shift

NAME = "governance_throughput"
GOAL = 1000.0
GROUPS = ("intent-queue", "governance")
OURS = ("intents.", "events.intent.", "events.governance.")
LETTERS = "bcdfghjklmnpqrstvwxz"
PATIENCE_S = 180.0
SILENCE_S = 30.0  # without a decision: the rest is lost
LOOK_S = 0.5
SETTLE_S = 4.0  # a system that runs is measured: standbys fold for the first seconds after a start
PARTS = {"burst": 20_000, "paced": 10_000, "kill": 10_000}
BY_DEFAULT = {**PARTS, "dbos": 1000, **{f"{part}18": count for part, count in PARTS.items()}}
SEEDS = {"burst": 1, "paced": 2, "kill": 3, "dbos": 4}


def messages(count: int, seed: int) -> list[bytes]:
    """Intents as anybody writes them: the labelled ones, each about subjects of its own.

    They stop after the SPEC: with all services up, thousands of builds would be measured.
    """
    rng = random.Random(seed)
    given = [json.loads(line)["intent"] for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [json.dumps(_varied(rng, given[n % len(given)], seed, n)).encode() for n in range(count)]


def _varied(rng: random.Random, given: dict[str, object], seed: int, number: int) -> object:
    words = ["".join(rng.choices(LETTERS, k=9)) for _ in range(5)]
    purpose = f"{given['purpose']} (for {', '.join(words[2:])})"[:2000]
    name = f"{words[0]}-{words[1]}"
    return {
        **given,
        "service_name": name,
        "purpose": purpose,
        "auto_build": False,
        "metadata": {"n": [seed, number]},
    }


@dataclass
class Story:
    """What the log says about one run."""

    sent: dict[int, int] = field(default_factory=dict)  # raw position -> time in ns
    answers: Counter[int] = field(default_factory=Counter)  # of each raw position
    refused: int = 0
    intents: dict[str, int] = field(default_factory=dict)  # intent -> raw position
    decided: dict[str, int] = field(default_factory=dict)  # intent -> time in ns
    decisions: Counter[str] = field(default_factory=Counter)
    cpu_s: dict[str, float] = field(default_factory=dict)  # by kind of process; empty: not known
    size: int = 0  # of all bodies, in bytes

    def take(self, subject: str, data: bytes, position: int, time_ns: int) -> None:
        self.size += len(data)
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
        self.http: httpx.AsyncClient

    async def open(self) -> None:
        settings = Settings(
            _env_file=None,
            data_dir=self.system.data_dir,
            port_shift=self.system.shift,
        )
        self.http = httpx.AsyncClient(trust_env=False, timeout=15)
        await asyncio.sleep(SETTLE_S)
        self.public = await open_connection(settings, "public")
        self.service = await open_connection(settings, "service")

    async def close(self) -> None:
        await self.http.aclose()
        await self.public.close()
        await self.service.close()

    async def run(self, bodies: Sequence[bytes], *, rate: float = 0, kill: bool = False) -> Story:
        """Publish, wait until all is decided, and read what the log says about it."""
        js = self.service.jetstream()
        start = (await js.stream_info(EVENTS)).state.last_seq
        used = {} if kill else await asyncio.to_thread(cpu.seconds, self.system)
        publishing = asyncio.create_task(self._publish(bodies, rate))
        if kill:
            await self._reach(len(bodies) // 3)
            for name in GROUPS:
                os.kill(int(self.system.leader(name)["pid"]), signal.SIGKILL)
        await publishing
        await self._quiet(len(bodies))
        if kill:  # the dead take their times with them
            return await self._read(start)
        after = await asyncio.to_thread(cpu.seconds, self.system)
        story = await self._read(start)
        story.cpu_s = cpu.difference(used, after)
        return story

    async def _publish(self, bodies: Sequence[bytes], rate: float) -> None:
        writer = await StreamWriter(self.public).start()
        waiting: set[asyncio.Future[Ack]] = set()
        began = time.monotonic()
        for number, body in enumerate(bodies):
            if rate and (ahead := number / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
            elif len(waiting) >= 1000:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting.add(writer.send([Message("intents.submit", body)]))
        await asyncio.gather(*waiting)
        await writer.close()

    async def _decided(self) -> int:
        """Decisions since the start, as the leader of governance counts them."""
        with contextlib.suppress(httpx.HTTPError):  # it may just have been killed
            url = self.system.url("governance", "/governance/decisions")
            answer = await self.http.get(url, params={"limit": 1})
            if answer.status_code == httpx.codes.OK:
                return int(answer.json()["total"]) - self.before
        return -1

    before = 0

    async def _reach(self, count: int) -> None:
        for _ in range(400):
            if await self._decided() >= count:
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(f"{count} decisions are not made in 20 s: nothing to kill in the middle")

    async def _quiet(self, count: int) -> None:
        """Wait until all is decided, or nothing has been for a while."""
        deadline = time.monotonic() + PATIENCE_S
        now, last, since = -1, -1, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < SILENCE_S:
            now = await self._decided()
            if now >= count:
                break
            if now != last:
                last, since = now, time.monotonic()
            await asyncio.sleep(LOOK_S)
        self.before += max(last, now)

    async def _read(self, start: int) -> Story:
        story = Story()
        last = (await self.service.jetstream().stream_info(EVENTS)).state.last_seq
        reader = StreamReader(self.service, EVENTS, [">"], after=start).start()
        position = start
        while position < last:
            for raw in await reader.next(500):
                position = raw.position
                if raw.subject.startswith(OURS):
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


async def measure(system: System, asked: Mapping[str, int], load: str) -> list[Figure]:
    bench = Bench(system)
    await bench.open()
    figures: list[Figure] = []
    for part, count in asked.items():
        before = os.getloadavg()[0]
        rate = GOAL / 2 if part == "paced" else 0
        story = await bench.run(messages(count, SEEDS[part]), rate=rate, kill=part == "kill")
        if part == "paced":
            name = f"{load}: {count:,} at {rate:g}/s"
            figures.append(_waits(name, story, before))
        else:
            killed = ", both leaders killed" if part == "kill" else ""
            name = f"{load}: {count:,} at once{killed}"
            figures.append(_rate(name, story, before, goal=not killed))
        figures.append(_faults(name, story))
        if story.cpu_s:
            figures.append(_cpu(name, story))
    await bench.close()
    return figures


def _rate(name: str, story: Story, load: float, *, goal: bool) -> Figure:
    rate = story.rate()
    return Figure(
        f"{name}: publish to DecisionMade",
        rate,
        "decisions/s",
        goal=">= 1000" if goal else "",
        met=rate >= GOAL if goal else None,
        detail={"slowest second": float(story.slowest_second()), "load": load},
    )


def _waits(name: str, story: Story, load: float) -> Figure:
    waits = story.waits_ms()
    p99 = waits[int(len(waits) * 0.99)]
    return Figure(
        f"{name}: publish to DecisionMade, 99th percentile",
        p99,
        "ms",
        goal="< 1000",
        met=p99 < 1000,
        detail={"p50": statistics.median(waits), "max": waits[-1], "load": load},
    )


def _faults(name: str, story: Story) -> Figure:
    return Figure(
        f"{name}: lost or done twice",
        float(story.faults()),
        f"of {len(story.sent):,} ({story.refused} refused)",
        goal="0",
        met=story.faults() == 0 and len(story.intents) + story.refused == len(story.sent),
    )


def _cpu(name: str, story: Story) -> Figure:
    """Microseconds of CPU an intent: two cores have 2,000 at the goal's rate."""
    count = len(story.sent)
    spent = {kind: used * 1_000_000 / count for kind, used in story.cpu_s.items()}
    return Figure(
        f"{name}: CPU an intent",
        sum(spent.values()),
        f"us; {story.size / count:,.0f} bytes of messages",
        goal="<= 2000",
        met=sum(spent.values()) <= 2000,
        detail=spent,
    )


def _baseline(count: int, ours: float | None) -> Figure:
    load, theirs = os.getloadavg()[0], dbos_rate(messages(count, SEEDS["dbos"]))
    ratio = ours / theirs if ours is not None else None
    return Figure(
        f"DBOS on PostgreSQL: {count:,} workflows of three steps",
        theirs,
        "decisions/s",
        against="three instances of both groups" if ratio is not None else "",
        ratio=ratio,
        goal="ours >= 10 times" if ratio is not None else "",
        met=ratio >= 10 if ratio is not None else None,
        detail={"load": load},
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped, too
    asked, add = parts_asked(BY_DEFAULT, __doc__)
    figures: list[Figure] = []
    for load, suffix in (("both groups", ""), ("all 18 instances", "18")):
        given = {part: asked[part + suffix] for part in PARTS if part + suffix in asked}
        if not given:
            continue
        folder = Path(tempfile.mkdtemp(prefix="phoenix-bench-"))
        try:
            with system(folder, everything=bool(suffix)) as running:
                figures += asyncio.run(measure(running, given, load))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if "dbos" in asked:
        known = figures + (saved(NAME) if add else [])
        ours = [f.value for f in known if f.goal == ">= 1000" and f.name.startswith("both")]
        try:
            figures.append(_baseline(asked["dbos"], ours[0] if ours else None))
        except Missing as error:
            sys.stderr.write(f"{error}\n")
    show("Publish to decision", figures)
    path = save(NAME, figures, add=add)
    sys.stdout.write(json.dumps({"saved": str(path)}) + "\n")


if __name__ == "__main__":
    main()
