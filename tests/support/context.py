"""One instance of a service for a test: the log's twin in memory, real views, real HTTP."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx

from domain.errors import NotFound
from domain.event import Event
from domain.instance import LeadershipTaken
from infra.clock import SystemClock
from infra.http import build_app
from infra.ports import Context, EventLog, Fence, Meta, Person, Service, Term, Write
from infra.settings import Settings
from infra.views import SqliteViews
from tests.support.memory import MemoryLog

T0 = datetime(2030, 1, 1, tzinfo=UTC)


class FastClock(SystemClock):
    """The system's clock, put forward by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class Users:
    """Authenticator of a fixed set of people; a token is the person's name."""

    roles: dict[str, frozenset[str]] = field(
        default_factory=lambda: {
            "ann": frozenset({"admin", "approver"}),
            "bob": frozenset({"approver"}),
            "eve": frozenset({"reader"}),
        }
    )

    async def person(self, token: str) -> Person | None:
        return Person(token, self.roles[token]) if token in self.roles else None

    async def people(self, *roles: str) -> Sequence[str]:
        return sorted(n for n, has in self.roles.items() if not roles or has.intersection(roles))


@dataclass
class MemoryObjects:
    """Objects by digest, for one test."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    async def put(self, data: bytes, *, description: str = "") -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    async def get(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise NotFound(f"no object {digest}")
        return self.blobs[digest]


@dataclass
class World:
    log: Any
    ctx: Context
    service: Service
    client: httpx.AsyncClient
    clock: FastClock
    users: Users
    term: Term

    async def append(self, *events: Event, correlation_id: str = "") -> int:
        """Write events as somebody else would; return the last position."""
        meta = Meta(command_id=str(uuid4()), actor="test", correlation_id=correlation_id)
        return int((await self.log.append([Write(event) for event in events], meta=meta))[-1])

    async def seen(self) -> None:
        """Wait until the views hold all that the log holds."""
        await self.ctx.views.reach(await self.log.last_position())

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        """Wait until a condition on the views holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self.ctx.views.changed(timeout_s=0.05)

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        expect: int = 200,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        """Send a request once the views are up to date; return its JSON."""
        await self.seen()
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        answer = await self.client.request(method, path, headers=sent, **more)
        assert answer.status_code == expect, f"{answer.status_code} {answer.text}"
        return answer.json()


@contextlib.asynccontextmanager
async def running(
    create: Callable[[Context], Service],
    directory: Path,
    *,
    lead: bool = True,
    log: EventLog | None = None,
    users: Users | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Run an instance that leads (unless ``lead`` is false) until the end of the block."""
    events, clock = log or MemoryLog(datetime.now(UTC)), FastClock()
    people = users or Users()
    ctx = Context(
        service="",
        instance="instance-1",
        data_dir=str(directory),
        port_shift=0,
        settings=Settings(_env_file=None, data_dir=directory, **settings),
        log=events,
        views=SqliteViews(directory / "none", ()),
        objects=MemoryObjects(),
        clock=clock,
        auth=people,
        ready=True,
    )
    service = create(ctx)
    ctx.service = service.name
    views = SqliteViews(directory / "views", service.tables)
    ctx.views = views
    term = await _term(events, service.name)
    tasks = [asyncio.create_task(views.follow(events))]
    if lead:
        ctx.role, ctx.epoch = "active", term.epoch
        tasks.append(asyncio.create_task(service.lead(term)))
    transport = httpx.ASGITransport(app=cast(Any, build_app(service, ctx)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            yield World(events, ctx, service, client, clock, people, term)
        finally:
            term.ended.set()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            views.close()
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _term(log: EventLog, service: str) -> Term:
    event = LeadershipTaken(
        at=T0, service=service, instance="instance-1", epoch=1, reason="first start"
    )
    meta = Meta(command_id=f"lead/{service}", actor="test")
    (position,) = await log.append([Write(event)], meta=meta)
    return Term(Fence(service, position, 1))
