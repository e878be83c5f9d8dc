"""One instance of a service over the log's in-memory twin, real SQLite views and real HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import uvicorn

from domain.event import Event
from domain.instance import InstanceReady, InstanceStarted, LeadershipTaken
from infra.clock import SystemClock
from infra.http import build_app
from infra.ports import Context, Fence, Meta, ObjectStore, Service, Term, Write
from infra.settings import Settings
from infra.trust import TRUST
from infra.views import SqliteViews
from tests.support.context import T0, Users
from tests.support.memory import MemoryLog


@dataclass
class World:
    log: MemoryLog
    ctx: Context
    service: Service
    client: httpx.AsyncClient
    users: Users
    term: Term
    url: str

    async def append(self, *events: Event, correlation_id: str = "", actor: str = "test") -> int:
        """Append the events, all at once; return the last position."""
        meta = Meta(command_id=str(uuid4()), actor=actor, correlation_id=correlation_id)
        return (await self.log.append([Write(event) for event in events], meta=meta))[-1]

    async def seen(self) -> None:
        """Wait until the views hold all that the log holds."""
        await self.ctx.views.reach(await self.log.last_position())

    async def recorded(self, subject: str, *, count: int = 1, within_s: float = 5.0) -> list[Event]:
        """The events of a subject once there are at least ``count`` of them."""
        async with asyncio.timeout(within_s):
            while True:
                found = await self.log.read(subject)
                if len(found) >= count:
                    return [recorded.event for recorded in found]
                await self.ctx.views.changed(timeout_s=0.02)

    async def get(self, path: str, *, expect: int = 200, accept: str = "", **params: Any) -> Any:
        await self.seen()
        headers = {"Accept": accept} if accept else {}
        answer = await self.client.get(path, params=params, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.text if "json" not in answer.headers["content-type"] else answer.json()

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = "", expect: int = 200
    ) -> Any:
        await self.seen()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.json()


def started(service: str, seat: int = 0, *, port: int = 8000, **changes: Any) -> InstanceStarted:
    values: dict[str, Any] = {
        "at": T0,
        "service": service,
        "instance": f"{service}-{seat}",
        "port": port + 1000 * seat,
        "pid": 100 + seat,
        "host": "here",
        "capacity": 1 if seat == 0 else 2,
        **changes,
    }
    return InstanceStarted(**values)


def ready(service: str, seat: int = 0) -> InstanceReady:
    return InstanceReady(at=T0, service=service, instance=f"{service}-{seat}", startup_s=0.4)


def leads(service: str, seat: int = 0, epoch: int = 1) -> LeadershipTaken:
    return LeadershipTaken(
        at=T0, service=service, instance=f"{service}-{seat}", epoch=epoch, reason="first start"
    )


@contextlib.asynccontextmanager
async def running(
    create: Callable[[Context], Service],
    directory: Path,
    *,
    lead: bool = False,
    everywhere: bool = False,
    **settings: Any,
) -> AsyncIterator[World]:
    """The service, served over HTTP on a free port.

    ``everywhere``: it answers on that port for every port it may ask (its own and others').
    """
    log, users = MemoryLog(), Users()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ctx = Context(
            service="tested",
            instance="tested-0",
            data_dir=str(directory),
            port_shift=0,
            settings=Settings(_env_file=None, **settings),
            log=log,
            views=cast(Any, None),
            objects=cast(ObjectStore, None),
            clock=SystemClock(),
            auth=users,
            ready=True,
        )
        if everywhere:
            ctx.host_url = lambda port: url
        service = create(ctx)
        ctx.service = service.name
        views = SqliteViews(directory / "views", service.tables)
        ctx.views = views
        (position,) = await log.append(
            [Write(leads(service.name))], meta=Meta(command_id="lead", actor="test")
        )
        term = Term(Fence(service.name, position, 1))
        config = uvicorn.Config(cast(Any, build_app(service, ctx)), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        tasks = [
            asyncio.create_task(views.follow(log)),
            asyncio.create_task(server._serve([listener])),
        ]
        if lead:
            tasks.append(asyncio.create_task(service.lead(term)))
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=TRUST) as client:
            yield World(log, ctx, service, client, users, term, url)
        term.ended.set()
        server.should_exit = True
        server.force_exit = True
        await tasks[1]
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        views.close()
    for result in results:
        if isinstance(result, Exception):
            raise result
