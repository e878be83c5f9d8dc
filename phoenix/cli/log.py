"""What the commands that work on NATS themselves need: a connection as a service has it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from domain.errors import TransientError
from infra.clock import SystemClock
from infra.nats.connection import Role, open_connection
from infra.nats.kv import CasBucket
from infra.nats.log import JetStreamLog
from infra.nats.objects import JetStreamObjects
from infra.nats.setup import USERS
from infra.nats.users import KvUsers
from infra.settings import Settings, load
from phoenix.cli.client import NotReachable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Session:
    """One connection and what stands on it."""

    settings: Settings
    log: JetStreamLog
    objects: JetStreamObjects
    users: KvUsers
    clock: SystemClock


@asynccontextmanager
async def session(role: Role = "service") -> AsyncIterator[Session]:
    """Connect as ``role``; closed at the end.

    Raises:
        NotReachable: the server does not answer.
    """
    settings, clock = load(), SystemClock()
    try:
        nc = await open_connection(settings, role)
    except TransientError as error:
        raise NotReachable(f"{error}: is `phoenix up` running?") from None
    log = JetStreamLog(nc)
    try:
        users = KvUsers(CasBucket(nc, USERS), clock)
        yield Session(settings, log, JetStreamObjects(nc), users, clock)
    finally:
        await log.close()
        await nc.close()


def in_session(use: Callable[[Session], Awaitable[Result]], role: Role = "service") -> Result:
    """Run ``use`` in a session of its own."""

    async def run() -> Result:
        async with session(role) as opened:
            return await use(opened)

    return asyncio.run(run())
