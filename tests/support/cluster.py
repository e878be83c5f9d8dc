"""Three nats-servers that keep every stream three times.

``cluster``  their addresses; started once for the session
"""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from domain.errors import TransientError
from infra.nats import api, setup
from infra.nats.connection import connect
from infra.nats.embedded import BATCH_MAX, answers, binary
from infra.nats.log import JetStreamLog

_CONFIG = """\
server_name: "n{index}"
listen: "127.0.0.1:{port}"
jetstream {{
  store_dir: "{store}"
  limits {{ batch {{ max_msgs: {batch} }} }}
}}
cluster {{
  name: "three"
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
}}
"""


ATTEMPTS = 3  # another run may take a port between our look and the server's start
ELECTED_S = 20.0


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[str]:
    """Their addresses, separated by commas, once they have elected a leader."""
    for attempt in range(ATTEMPTS):
        ports = _free_ports(6, above=20_000 + 1_000 * (os.getpid() % 10) + 20 * attempt)
        here = folder / f"{attempt}"
        here.mkdir()
        with _servers(here, ports):
            url = ",".join(f"nats://127.0.0.1:{port}" for port in ports[:3])
            try:
                asyncio.run(_elected(url, ports[:3]))
            except TimeoutError:
                continue
            yield url
            return
    raise RuntimeError(f"three servers did not come up in {ATTEMPTS} attempts")


@contextlib.contextmanager
def _servers(folder: Path, ports: Sequence[int]) -> Iterator[None]:
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    processes = [
        _start(folder, index, ports[index], ports[3 + index], routes) for index in range(3)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@contextlib.asynccontextmanager
async def fresh_log_on_three(url: str) -> AsyncIterator[JetStreamLog]:
    """A log on an empty stream that is kept three times."""
    nc = await connect(url.split(","))
    events = JetStreamLog(nc)
    try:
        with contextlib.suppress(api.Refused):
            await api.call(nc, f"STREAM.DELETE.{setup.EVENTS}")
        await setup.ensure_stream(nc, setup.events_config(3))
        yield events
    finally:
        await events.close()
        await nc.close()


def _free_ports(count: int, *, above: int) -> list[int]:
    found: list[int] = []
    for port in range(above, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _start(
    folder: Path, index: int, port: int, route: int, routes: str
) -> "subprocess.Popen[bytes]":
    config = folder / f"n{index}.conf"
    text = _CONFIG.format(
        index=index,
        port=port,
        route=route,
        routes=routes,
        store=folder / f"n{index}",
        batch=BATCH_MAX,
    )
    config.write_text(text)
    return subprocess.Popen(
        [binary(), "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _elected(url: str, ports: list[int]) -> None:
    async with asyncio.timeout(ELECTED_S):
        for port in ports:
            await answers(port)
        nc = await connect(url.split(","))
        try:
            while True:
                with contextlib.suppress(TransientError, api.Refused):
                    config = {"name": "probe", "subjects": ["probe"], "num_replicas": 3}
                    await api.call(nc, "STREAM.CREATE.probe", config)
                    await api.call(nc, "STREAM.DELETE.probe")
                    return
                await asyncio.sleep(0.1)
        finally:
            await nc.close()
