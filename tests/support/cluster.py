"""Three nats-servers that keep every stream three times.

``cluster``  their addresses; started once for the session
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from domain.errors import TransientError
from infra.nats import api, setup
from infra.nats.connection import connect
from infra.nats.embedded import BATCH_MAX, answers, binary
from infra.nats.log import JetStreamLog
from tests.support.ports import free_port

_CONFIG = """\
server_name: "{name}"
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


class Cluster:
    """Three servers, ``n0`` to ``n2``, that a test may kill and start again.

    ``url`` holds their addresses, separated by commas.
    """

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.ports = ports[:3]
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)
        self._configs: dict[str, Path] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
        for index in range(3):
            name = f"n{index}"
            self._configs[name] = folder / f"{name}.conf"
            self._configs[name].write_text(
                _CONFIG.format(
                    name=name,
                    port=ports[index],
                    route=ports[3 + index],
                    routes=routes,
                    store=folder / name,
                    batch=BATCH_MAX,
                )
            )

    def start(self, name: str) -> None:
        self._processes[name] = subprocess.Popen(
            [binary(), "-c", str(self._configs[name])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, name: str) -> None:
        """As a power switch would: no goodbye, nothing flushed."""
        self._processes[name].kill()
        self._processes[name].wait(10)

    def __enter__(self) -> "Cluster":
        for name in self._configs:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._processes:
            self.kill(name)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Three servers that have elected a leader."""
    for attempt in range(ATTEMPTS):
        ports = [free_port() for _ in range(6)]
        here = folder / f"{attempt}"
        here.mkdir()
        with Cluster(here, ports) as three:
            try:
                asyncio.run(_elected(three))
            except TimeoutError:
                continue
            yield three
            return
    raise RuntimeError(f"three servers did not come up in {ATTEMPTS} attempts")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as three:
        yield three.url


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


async def _elected(three: Cluster) -> None:
    async with asyncio.timeout(ELECTED_S):
        for port in three.ports:
            await answers(port)
        nc = await connect(three.url.split(","))
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
