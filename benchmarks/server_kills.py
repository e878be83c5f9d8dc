"""Kills of NATS servers: how long writes stop, and that no leader is replaced for it.

``python -m benchmarks.server_kills [--add] [PART=COUNT ...]``: ``embedded`` is kill -9 of the
embedded server, which its supervisor starts again; ``three`` is kill -9 of the server that leads a
stream kept three times, started again after the gap. Seven minutes; ``--add`` runs it in pieces.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.failover import LEASE_S, Arena, arena, checked
from benchmarks.report import Figure, Samples, none, parts_asked, save, show, spread
from domain.errors import TransientError
from infra.nats import api, setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.settings import Settings
from tests.support.cluster import Cluster, running_cluster
from tests.support.nats import settings_for
from tests.support.ports import free_port

PARTS = {"embedded": 20, "three": 20}
WRITES_AGAIN_S = 60.0


@dataclass
class Outcome:
    restarts_s: list[float] = field(default_factory=list)  # from the kill until it answers
    gaps_s: list[float] = field(default_factory=list)  # from the kill to the next write
    failovers: int = 0
    missing: int = 0
    twice: int = 0

    async def check(self, settings: Settings) -> None:
        """Compare what was acknowledged with what the log holds."""
        nc = await open_connection(settings, "service")
        self.missing, self.twice = await checked(JetStreamLog(nc))
        await nc.close()


async def written_after(here: Arena, moment: float) -> float:
    """Wait for writes that were surely made after a moment; return when the first was read."""
    async with asyncio.timeout(WRITES_AGAIN_S):
        while True:
            before = here.writes
            here.news.clear()
            await here.news.wait()
            if here.writes > before and time.monotonic() > moment:
                return time.monotonic()


async def embedded(data_dir: Path, kills: int) -> Outcome:
    """Kill the embedded server again and again under a leader that writes all the time."""
    outcome, back = Outcome(), asyncio.Event()
    server = EmbeddedServer(data_dir, free_port(), on_restart=lambda _: back.set())
    await server.start()
    settings = settings_for(data_dir, server.port)
    try:
        owner = await open_connection(settings, "owner")
        await setup.ensure(owner)
        await owner.close()
        async with arena(settings) as here:
            await here.settle()
            terms = len(here.took)
            for _ in range(kills):
                server.forgive()  # it gives up after ten a minute, and rightly so
                back.clear()
                began = time.monotonic()
                os.kill(server.pid, signal.SIGKILL)
                await back.wait()
                again = time.monotonic()
                outcome.restarts_s.append(again - began)
                outcome.gaps_s.append(await written_after(here, again) - began)
                await asyncio.sleep(LEASE_S * 1.5)  # a late take-over would show by then
            await here.settle()
            outcome.failovers = len(here.took) - terms
        await outcome.check(settings)
    finally:
        await server.stop()
    return outcome


async def three(servers: Cluster, data_dir: Path, kills: int) -> Outcome:
    """Kill whichever of three servers leads the stream, and start it again after the gap."""
    outcome = Outcome()
    settings = Settings(data_dir=data_dir, nats_url=servers.url, replicas=3)
    nc = await open_connection(settings, "owner")
    try:
        await setup.ensure(nc, 3)
        async with arena(settings) as here:
            await here.settle()
            terms = len(here.took)
            for _ in range(kills):
                name = await leading(nc)
                began = time.monotonic()
                servers.kill(name)
                await asyncio.sleep(0.2)  # what was written before has been read by now
                outcome.gaps_s.append(await written_after(here, began) - began)
                servers.start(name)
                await whole(nc)
                await asyncio.sleep(LEASE_S)  # a late take-over would show by then
            await here.settle()
            outcome.failovers = len(here.took) - terms
        await outcome.check(settings)
    finally:
        await nc.close()
    return outcome


async def leading(nc: Connection) -> str:
    """The name of the server that leads the stream."""
    return str((await api.call(nc, f"STREAM.INFO.{setup.EVENTS}"))["cluster"]["leader"])


async def whole(nc: Connection) -> None:
    """Wait until both followers of the stream have all that it holds."""
    async with asyncio.timeout(WRITES_AGAIN_S):
        while True:
            with contextlib.suppress(TransientError, api.Refused):
                cluster = (await api.call(nc, f"STREAM.INFO.{setup.EVENTS}"))["cluster"]
                others = cluster.get("replicas", ())
                if len(others) == 2 and all(other["current"] for other in others):
                    return
            await asyncio.sleep(0.1)


def keep(samples: Samples, part: str, outcome: Outcome) -> None:
    for name in ("restarts_s", "gaps_s"):
        samples.add(f"{part} {name}", getattr(outcome, name))
    for name in ("failovers", "missing", "twice"):
        samples.add(f"{part} {name}", [getattr(outcome, name)])


def figures(samples: Samples) -> list[Figure]:
    lines: list[Figure] = []
    for part, name in (("embedded", "embedded server"), ("three", "leader of three servers")):
        gaps = samples.of(f"{part} gaps_s")
        if not gaps:
            continue
        if restarts := samples.of(f"{part} restarts_s"):
            lines.append(spread(f"{name}: kill -9 until it answers again", restarts, 1.0))
        lines.append(spread(f"{name}: kill -9 until the next write", gaps))
        of = {"kills": float(len(gaps))}
        lines += [
            none(f"{name}: needless failovers", sum(samples.of(f"{part} failovers")), of),
            none(f"{name}: acknowledged writes lost", sum(samples.of(f"{part} missing")), of),
            none(f"{name}: writes done twice", sum(samples.of(f"{part} twice")), of),
        ]
    return lines


def main() -> None:
    asked, add = parts_asked(PARTS, __doc__)
    samples = Samples("server_kills", add=add)
    if "embedded" in asked:
        with tempfile.TemporaryDirectory() as folder:
            keep(samples, "embedded", asyncio.run(embedded(Path(folder), asked["embedded"])))
    if "three" in asked:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_cluster(Path(folder)) as servers,
        ):
            outcome = asyncio.run(three(servers, Path(folder) / "data", asked["three"]))
        keep(samples, "three", outcome)
    lines = figures(samples)
    show(f"Kills of NATS servers, lease {LEASE_S:g} s", lines)
    save("server_kills", lines)


if __name__ == "__main__":
    main()
