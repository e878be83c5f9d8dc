"""Kills of NATS servers: how long writes stop, and that no leader is replaced for it.

``python -m benchmarks.server_kills [KILLS]`` (20): kill -9 of the embedded server, which its
supervisor starts again; then, a tenth as often, kill -9 of the server that leads a stream kept
three times, started again after the gap. About three minutes.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.failover import LEASE_S, Arena, arena
from benchmarks.report import Figure, save, show
from infra.nats import api, setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer, binary
from infra.settings import Settings
from tests.support.cluster import running_cluster
from tests.support.nats import free_port, settings_for

WRITES_AGAIN_S = 60.0


@dataclass
class Outcome:
    restarts_s: list[float] = field(default_factory=list)  # from the kill until it answers
    gaps_s: list[float] = field(default_factory=list)  # from the kill to the next write
    failovers: int = 0


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
    finally:
        await server.stop()
    return outcome


async def three(folder: Path, url: str, kills: int) -> Outcome:
    """Kill whichever of three servers leads the stream, and start it again after the gap."""
    outcome = Outcome()
    settings = Settings(data_dir=folder / "data", nats_url=url, replicas=3)
    nc = await open_connection(settings, "owner")
    started: list[subprocess.Popen[bytes]] = []
    try:
        await setup.ensure(nc, 3)
        async with arena(settings) as here:
            await here.settle()
            terms = len(here.took)
            for _ in range(kills):
                name = await leading(nc)
                began = time.monotonic()
                process = find(name)
                process.kill()
                await asyncio.to_thread(process.wait, 10)
                await asyncio.sleep(0.2)  # what was written before has been read by now
                outcome.gaps_s.append(await written_after(here, began) - began)
                started.append(start(folder, name))
                await asyncio.sleep(LEASE_S * 3)
            await here.settle()
            outcome.failovers = len(here.took) - terms
    finally:
        await nc.close()
        for again in started:
            again.kill()
            again.wait(10)
    return outcome


async def leading(nc: Connection) -> str:
    """The name of the server that leads the stream."""
    return str((await api.call(nc, f"STREAM.INFO.{setup.EVENTS}"))["cluster"]["leader"])


def find(name: str) -> psutil.Process:
    """Our own child that runs under this server's configuration."""
    for process in psutil.Process().children():
        if any(part.endswith(f"/{name}.conf") for part in process.cmdline()):
            return process
    raise LookupError(name)


def start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [binary(), "-c", str(folder / f"{name}.conf")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def spread(name: str, taken: Sequence[float], goal_s: float | None = None) -> Figure:
    worst = max(taken)
    return Figure(
        name,
        worst * 1000,
        "ms at most",
        goal=f"<= {goal_s * 1000:.0f} ms" if goal_s else "",
        met=worst <= goal_s if goal_s else None,
        detail={
            "min": min(taken) * 1000,
            "median": statistics.median(taken) * 1000,
            "count": len(taken),
        },
    )


def needless(name: str, outcome: Outcome) -> Figure:
    of = {"kills": float(len(outcome.gaps_s))}
    count = outcome.failovers
    return Figure(f"needless failovers, {name}", count, "", goal="0", met=count == 0, detail=of)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        one = asyncio.run(embedded(Path(folder), kills))
    lines = [
        spread("embedded server: kill -9 until it answers again", one.restarts_s, 1.0),
        spread("embedded server: kill -9 until the next write", one.gaps_s),
        needless("embedded server", one),
    ]
    save("server_kills", lines)  # the three servers may not come up on a busy machine
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as url:
        all_three = asyncio.run(three(Path(folder), url, max(2, kills // 10)))
    lines += [
        spread(
            "three servers: kill -9 of the stream's leader until the next write", all_three.gaps_s
        ),
        needless("three servers", all_three),
    ]
    show(f"Kills of NATS servers, lease {LEASE_S:g} s", lines)
    save("server_kills", lines)


if __name__ == "__main__":
    main()
