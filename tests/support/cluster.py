"""Three nats-servers that keep every stream three times.

``cluster``  their addresses; started once for the session
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from domain.errors import TransientError
from infra.nats import api, setup
from infra.nats.connection import connect
from infra.nats.embedded import BATCH_MAX, answers, binary
from infra.nats.log import JetStreamLog
from tests.support.nats import free_port

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


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[str]:
    """Their addresses, separated by commas, once they have elected a leader."""
    ports: list[int] = []
    while len(ports) < 6:
        ports.append(_port_above(ports[-1] if ports else 0))
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    processes = [
        _start(folder, index, ports[index], ports[3 + index], routes) for index in range(3)
    ]
    url = ",".join(f"nats://127.0.0.1:{port}" for port in ports[:3])
    try:
        asyncio.run(_elected(url, ports[:3]))
        yield url
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


def _port_above(port: int) -> int:
    found = free_port()
    return found if found > port else port + 1


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
    async with asyncio.timeout(30):
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
