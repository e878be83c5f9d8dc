"""A governance instance that leads, over the log's in-memory twin and real SQLite views."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx

from domain.event import Event
from domain.instance import LeadershipTaken
from domain.intake import settle
from domain.intent import Intent, IntentQueued, RawIntent, Submission
from infra.http import build_app
from infra.ports import Context, EventLog, Fence, Meta, ObjectStore, Term, Write
from infra.settings import Settings
from infra.views import SqliteViews
from services.governance.service import Governance, create
from tests.support.context import T0, FastClock, Users
from tests.support.memory import MemoryLog


@dataclass
class World:
    log: EventLog
    ctx: Context
    service: Governance
    client: httpx.AsyncClient
    clock: FastClock
    users: Users
    term: Term
    leading: "asyncio.Task[None] | None"
    expected_end: bool = False

    async def queue(self, purpose: str, **fields: Any) -> Intent:
        """Put an intent where the intent-queue would put it."""
        intent = intent_of(purpose, **fields)
        await self.append(
            IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0)
        )
        return intent

    async def append(self, *events: Event) -> int:
        meta = Meta(command_id=str(uuid4()), actor="test")
        return (await self.log.append([Write(event) for event in events], meta=meta))[-1]

    async def decided(self, intent: Intent, *, count: int = 2) -> list[Event]:
        """The governance events of an intent once there are at least ``count`` of them."""
        async with asyncio.timeout(4):
            while True:
                found = await self.log.read(f"events.governance.{intent.intent_id}")
                if len(found) >= count:
                    return [recorded.event for recorded in found]
                await self.ctx.views.changed(timeout_s=0.05)

    async def deposed(self) -> BaseException | None:
        """Wait for the leader's work to end by itself; return what ended it."""
        assert self.leading is not None
        async with asyncio.timeout(10):
            await asyncio.wait({self.leading})
        self.expected_end = True
        return self.leading.exception()

    async def seen(self) -> None:
        """Wait until the views hold all that the log holds."""
        await self.ctx.views.reach(await self.log.last_position())

    async def get(self, path: str, **params: Any) -> Any:
        await self.seen()
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, *, token: str = "", expect: int = 200) -> Any:
        await self.seen()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.client.post(path, json=body, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.json()


def intent_of(purpose: str, **fields: Any) -> Intent:
    """An intent as the queue settles it."""
    body = {"service_name": "some-service", "purpose": purpose, "source": "cli", **fields}
    body.setdefault("intent_id", str(uuid4()))
    submission = Submission.model_validate_json(json.dumps(body))
    raw = RawIntent(at=T0, subject_name="submit", body=b"")
    return settle(submission, raw=raw, position=1)


@contextlib.asynccontextmanager
async def governance(
    directory: Path,
    *,
    lead: bool = True,
    users: Users | None = None,
    log: EventLog | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    log, clock = log or MemoryLog(), FastClock()
    users = users or Users(
        {"ann": frozenset({"admin"}), "bob": frozenset({"approver"}), "eve": frozenset({"reader"})}
    )
    ctx = Context(
        service="governance",
        instance="governance-1",
        data_dir=str(directory),
        port_shift=0,
        settings=Settings(_env_file=None, **settings),
        log=log,
        views=cast(Any, None),
        objects=cast(ObjectStore, None),
        clock=clock,
        auth=users,
    )
    service = create(ctx)
    views = SqliteViews(directory / "views", service.tables)
    ctx.views = views
    taken = LeadershipTaken(
        at=T0, service="governance", instance="governance-1", epoch=1, reason="first start"
    )
    meta = Meta(command_id="lead", actor="test")
    (position,) = await log.append([Write(taken)], meta=meta)
    term = Term(Fence("governance", position, 1))
    tasks = [asyncio.create_task(views.follow(log))]
    leading = asyncio.create_task(service.lead(term)) if lead else None
    if leading is not None:
        tasks.append(leading)
    app = build_app(service, ctx)
    transport = httpx.ASGITransport(app=cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        world = World(log, ctx, service, client, clock, users, term, leading)
        yield world
    term.ended.set()
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    views.close()
    for result in results:
        if isinstance(result, Exception) and not world.expected_end:
            raise result
