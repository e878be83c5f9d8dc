"""A group of the tiny service: real processes on a real nats-server, and how to ask them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.nats import setup
from infra.nats.connection import open_connection
from infra.nats.log import JetStreamLog
from infra.settings import PORT_STEP
from infra.trust import TRUST
from phoenix import sockets
from phoenix.forker import Forker
from phoenix.group import Group, Plan, Release
from phoenix.journal import Journal
from tests.support.nats import Server, settings_for
from tests.support.ports import free_base

TINY = Release(reference="tests.phoenix.tiny:create", version="1")
LEASE_S = 1.0
HEARTBEAT_S = 1.0


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within_s: float = 10.0
) -> None:
    """Wait for a condition, bounded."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)


async def answers(port: int) -> bool:
    """Whether a request on a connection of its own got its answer.

    False: the connection was made, but its instance fell before it answered.

    Raises:
        ConnectionRefusedError: nobody listens.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /who HTTP/1.1\r\nHost: tiny\r\nConnection: close\r\n\r\n")
        return (await reader.read()).startswith(b"HTTP/1.1 200")
    except ConnectionResetError:
        return False
    finally:
        writer.close()


@dataclass
class Running:
    group: Group
    forker: Forker
    log: JetStreamLog
    http: httpx.AsyncClient
    journal: Journal
    notes: list[str] = field(default_factory=list)

    @property
    def base(self) -> int:
        return self.group.plan.ports[0]

    async def health(self, slot: int = 0) -> dict[str, Any]:
        port = self.group.plan.ports[slot]
        answer = await self.http.get(f"http://127.0.0.1:{port}/health")
        body: dict[str, Any] = answer.json()
        return body

    async def events(self) -> list[Any]:
        await self.journal.flush(bound_s=5)
        return [recorded.event for recorded in await self.log.read("events.instance.tiny")]

    async def whole(self, *, within_s: float = 15.0) -> None:
        assert await self.group.wait_ready(bound_s=within_s), self.notes


def environment(server: Server) -> dict[str, str]:
    return {
        "PHOENIX_DATA_DIR": str(server.data_dir),
        "PHOENIX_PORT_SHIFT": str(settings_for(server.data_dir, server.port).port_shift),
        "PHOENIX_LEASE_S": str(LEASE_S),
        "PHOENIX_HEARTBEAT_S": str(HEARTBEAT_S),
    }


@contextlib.asynccontextmanager
async def running_group(
    server: Server, release: Release = TINY, *, whole: bool = True, **how: Any
) -> AsyncIterator[Running]:
    """The group, whole unless that is not wanted; everything is stopped at the end. ``how`` goes
    into its plan."""
    settings = settings_for(server.data_dir, server.port)
    owner = await open_connection(settings, "owner")
    await setup.ensure(owner)
    await owner.close()
    nc = await open_connection(settings, "service")
    log = JetStreamLog(nc)
    journal = Journal(log, actor="test")
    writing = asyncio.create_task(journal.run())
    forker = Forker(environment(server))
    ports = sockets.slot_ports(free_base(), 3, PORT_STEP)
    notes: list[str] = []
    plan = Plan(**{"service": "tiny", "ports": ports, "heartbeat_s": HEARTBEAT_S, **how})
    bound = sockets.bind({"tiny": ports})["tiny"]
    group = Group(plan, release, bound, forker=forker, journal=journal, changed=notes.append)
    http = httpx.AsyncClient(trust_env=False, verify=TRUST, timeout=20)
    running = Running(group, forker, log, http, journal, notes)
    try:
        forker.start()
        await group.start()
        if whole:
            await running.whole(within_s=30)
        yield running
    finally:
        await group.stop()
        await group.settled()
        group.close()
        await forker.stop()
        await http.aclose()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await log.close()
        await nc.close()
