"""How quick a generated service is: ``python -m benchmarks.generated [--quick]``.

One instance, mounted as the instance host mounts it (UDC, metrics, identity), in a process held to
one core; the client has the other. Reads: one record, a filtered list, a report over 2,000 rows.
Commands: creates and changes, each answered once this instance's tables hold the result. The log is
in memory, so that the service is measured; then on JetStream with ``sync_interval: always``, beside
what the platform's own log takes from as many writers on as many cores, with nothing around it.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Figure, save, show
from domain.delivery_events import ServiceDegraded
from domain.spec import sample
from domain.spec.model import Spec, read_spec
from infra.generator import generate
from infra.nats import setup
from infra.nats.connection import open_connection, read_credentials
from infra.nats.embedded import EmbeddedServer
from infra.nats.log import JetStreamLog
from infra.ports import Meta, Write
from infra.settings import NATS_PORT, Settings
from infra.spec_cel import judge
from tests.support.ports import free_port

EXAMPLE = Path(__file__).parents[1] / "examples" / "revenue-analytics.json"
RECORDS = 2000
CLIENTS = 16
GOAL_READS = 1000.0
LIMIT = "versioned appends, the log alone"
AT = datetime(2030, 1, 1, tzinfo=UTC)

Once = Callable[["Client", int], Awaitable[None]]


class Client:
    """One keep-alive connection that does as little as it can."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> "Client":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        content = await self._reader.readexactly(int(length))
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return content

    def close(self) -> None:
        self._writer.close()


async def load(port: int, seconds: float, once: Once) -> tuple[float, float, float]:
    """Return calls a second, and the median and 99th percentile of one call in milliseconds."""
    took: list[float] = []
    clients = [await Client(port).open() for _ in range(CLIENTS)]
    began = time.perf_counter()

    async def work(client: Client, number: int) -> None:
        while (start := time.perf_counter()) < began + seconds:
            await once(client, number)
            took.append(time.perf_counter() - start)
            number += CLIENTS

    await asyncio.gather(*(work(client, number) for number, client in enumerate(clients)))
    rate = len(took) / (time.perf_counter() - began)
    for client in clients:
        client.close()
    ordered = sorted(took)
    return rate, statistics.median(took) * 1000, ordered[int(len(ordered) * 0.99)] * 1000


def body(spec: Spec, number: int) -> bytes:
    """A record that the SPEC's own rules allow."""
    found = sample.body(spec, spec.records[0], number % 500 + 1, judge)
    return json.dumps(found).encode()


SERVE = """
import asyncio, importlib, os, sys
from pathlib import Path
import uvicorn
from infra.clock import SystemClock
from infra.http.app import build_app
from infra.ports import Context
from infra.settings import Settings
from infra.views import SqliteViews

class Nobody:
    async def person(self, token): return None
    async def people(self, *roles): return ()

class NoLog:
    async def last_position(self): return 0

package, port, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
os.sched_setaffinity(0, {0})
ctx = Context(service=package, instance="i1", data_dir=str(directory), port_shift=0,
    settings=Settings(_env_file=None, data_dir=directory), log=NoLog(),
    views=SqliteViews(directory / "none", ()), objects=None, clock=SystemClock(), auth=Nobody(),
    ready=True)
service = importlib.import_module(package + ".service").create(ctx)
uvicorn.run(build_app(service, ctx), port=port, log_level="error", access_log=False)
"""


class Running:
    """The service's process."""

    def __init__(self, spec: Spec, directory: Path, env: dict[str, str]) -> None:
        project = generate(spec, version="1.0.0")
        for path, data in project.files.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        self.port = free_port()
        command = [sys.executable, "-c", SERVE, project.package, str(self.port), str(directory)]
        paths = f"{Path(__file__).parents[1]}{os.pathsep}{directory}"
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths, **env})

    async def ready(self) -> None:
        for _ in range(200):
            try:
                client = await Client(self.port).open()
            except OSError:
                await asyncio.sleep(0.05)
            else:
                client.close()
                return
        raise RuntimeError("the service does not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


async def measure(running: Running, spec: Spec, seconds: float, log: str) -> list[Figure]:
    """Every figure of one running service."""
    await running.ready()
    port, ids, path = running.port, list[str](), f"/{spec.records[0].plural}"
    bodies = [body(spec, number) for number in range(500)]
    field = next(field.name for field in spec.records[0].fields if field.type == "decimal")

    async def create(client: Client, number: int) -> None:
        ids.append(json.loads(await client.call("POST", path, bodies[number % 500]))["id"])

    async def change(client: Client, number: int) -> None:
        one = f"{path}/{ids[number % len(ids)]}"
        change = json.dumps({field: f"{number % 900 + 1}.50"}).encode()
        await client.call("PATCH", one, change)

    async def one(client: Client, number: int) -> None:
        await client.call("GET", f"{path}/{ids[number % len(ids)]}")

    async def listing(client: Client, number: int) -> None:
        await client.call("GET", f"{path}?limit=20&cursor={number % 1000}")

    async def report(client: Client, number: int) -> None:
        await client.call("GET", path_of_report)

    path_of_report = f"/reports/{spec.reports[0].name}"
    figures = [await figure(f"create, {log}", port, seconds, create)]
    client = await Client(port).open()
    while len(ids) < RECORDS:
        await create(client, len(ids))
    client.close()
    figures += [
        await figure(f"change, {log}", port, seconds, change),
        await figure(f"read one, {log}", port, seconds, one, goal=GOAL_READS),
        await figure(f"read a list of 20, {log}", port, seconds, listing),
        await figure(f"a report over {len(ids)} rows, {log}", port, seconds, report),
    ]
    return figures


async def figure(
    name: str, port: int, seconds: float, once: Once, goal: float | None = None
) -> Figure:
    rate, median, worst = await load(port, seconds, once)
    return Figure(
        name,
        rate,
        "/s",
        goal=f">= {goal:,.0f}" if goal else "",
        met=rate >= goal if goal else None,
        detail={"ms": median, "99th": worst},
    )


def document() -> dict[str, object]:
    found = json.loads(EXAMPLE.read_text())
    return {**found["spec"], "service_name": found["service_name"], "purpose": found["purpose"]}


async def run(seconds: float) -> list[Figure]:
    spec = read_spec(document())
    with tempfile.TemporaryDirectory() as directory:
        memory = {"PERSISTENCE_MODULE": "eventsourcing.popo"}
        figures = await measured(spec, Path(directory), memory, seconds, "log in memory")
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory) / "data"
        settings = Settings(data_dir=data_dir, port_shift=free_port() - NATS_PORT)
        server = EmbeddedServer(data_dir, settings.nats_port, sync="always")
        await server.start()
        try:
            password = read_credentials(data_dir)["app"]
            jetstream = {
                "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
                "NATS_URL": f"nats://app:{password}@127.0.0.1:{settings.nats_port}",
            }
            name = "JetStream, durable"
            durable = await measured(spec, Path(directory), jetstream, seconds, name)
            limit = await log_alone(settings, seconds)
            figures += [against(limit, figure) for figure in durable] + [limit]
        finally:
            await server.stop()
    return figures


async def log_alone(settings: Settings, seconds: float) -> Figure:
    """As many writers as there are clients, an aggregate each, held to the service's core."""
    owner = await open_connection(settings, "owner")
    await setup.ensure(owner, 1)
    await owner.close()
    nc = await open_connection(settings, "service")
    log, took, cores = JetStreamLog(nc), list[float](), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    began = time.perf_counter()

    async def write(number: int) -> None:
        name, position = f"limit-{number}", 0
        while (start := time.perf_counter()) < began + seconds:
            event = ServiceDegraded(name=name, at=AT, reason=f"measured {position}")
            command = Meta(command_id=f"{name}/{position}", actor="bench", correlation_id="bench")
            (position,) = await log.append([Write(event, position)], meta=command)
            took.append(time.perf_counter() - start)

    try:
        await asyncio.gather(*(write(number) for number in range(CLIENTS)))
    finally:
        os.sched_setaffinity(0, cores)
        await nc.close()
    rate = len(took) / (time.perf_counter() - began)
    return Figure(LIMIT, rate, "/s", detail={"ms": statistics.median(took) * 1000})


def against(limit: Figure, figure: Figure) -> Figure:
    """A command beside the log alone; reads as they are."""
    if not figure.name.startswith(("create", "change")):
        return figure
    return replace(figure, against=LIMIT, ratio=figure.value / limit.value)


async def measured(
    spec: Spec, directory: Path, env: dict[str, str], seconds: float, log: str
) -> list[Figure]:
    running = Running(spec, directory / "project", env)
    try:
        return await measure(running, spec, seconds, log)
    finally:
        running.stop()


def main() -> None:
    figures = asyncio.run(run(1.0 if "--quick" in sys.argv else 4.0))
    show("A generated service, one core", figures)
    save("generated", figures)


if __name__ == "__main__":
    main()
