"""A real nats-server for tests: one for the session on a free port, fresh streams for each test.

``log``      a JetStreamLog with a service's rights on empty streams
``nc``       its connection; ``owner`` a connection that may change and delete streams
``settings`` settings that lead to the server (data directory, port)
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.nats import api, setup
from infra.nats.connection import Connection, Role, open_connection
from infra.nats.embedded import answers, binary, write_config
from infra.nats.log import JetStreamLog
from infra.settings import NATS_PORT, Settings
from tests.support.ports import free_port

_NO_STORE = 10049  # "error creating store for stream"


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return when the condition holds; fail with ``TimeoutError`` if it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


def settings_for(data_dir: Path, port: int) -> Settings:
    return Settings(data_dir=data_dir, port_shift=port - NATS_PORT)


@dataclass
class Server:
    """A nats-server that the test may kill and start again."""

    data_dir: Path
    port: int
    sync: str = "always"
    limits: str = ""  # of JetStream, as in the server's configuration
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.data_dir.absolute() / "nats" / "server.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        write_config(self.data_dir, self.port, sync=self.sync, limits=self.limits)
        self.process = subprocess.Popen(
            [binary(), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """As a power switch would: no goodbye, nothing flushed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def running_server(data_dir: Path, *, sync: str = "always", limits: str = "") -> Iterator[Server]:
    """A server of one's own, for tests that kill it or fill its disk."""
    server = Server(data_dir, free_port(), sync=sync, limits=limits)
    server.start()
    try:
        asyncio.run(asyncio.wait_for(answers(server.port), 20))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def settings(nats_server: Server) -> Settings:
    return settings_for(nats_server.data_dir, nats_server.port)


@contextlib.asynccontextmanager
async def empty_streams(settings: Settings) -> AsyncIterator[Connection]:
    """The owner's connection, after making every stream and bucket anew."""
    nc = await open_connection(settings, "owner")
    try:
        for name in (await api.call(nc, "STREAM.NAMES"))["streams"] or ():
            await api.call(nc, f"STREAM.DELETE.{name}")
        await _made(nc)
        yield nc
    finally:
        await nc.close()


async def _made(nc: Connection) -> None:
    """Make what was deleted a moment ago: a busy server may still be removing its folder."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await setup.ensure(nc)
            except api.Refused as error:
                if error.code != _NO_STORE:
                    raise
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def connected(settings: Settings, role: Role = "service") -> AsyncIterator[Connection]:
    nc = await open_connection(settings, role)
    try:
        yield nc
    finally:
        await nc.close()


@contextlib.asynccontextmanager
async def fresh_log(settings: Settings) -> AsyncIterator[JetStreamLog]:
    """A log on empty streams, with a service's rights."""
    async with empty_streams(settings), connected(settings) as nc:
        events = JetStreamLog(nc)
        try:
            yield events
        finally:
            await events.close()


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator[Connection]:
    async with empty_streams(settings) as nc:
        yield nc


@pytest.fixture
async def nc(settings: Settings, owner: Connection) -> AsyncIterator[Connection]:
    async with connected(settings) as connection:
        yield connection


@pytest.fixture
async def log(nc: Connection) -> AsyncIterator[JetStreamLog]:
    events = JetStreamLog(nc)
    yield events
    await events.close()
