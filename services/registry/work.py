"""The leader's work: register what was deployed or built in, remove what was retired, check health.

Delivery    every append is fenced and has a command id taken from what led to it, so a repeat
            after a failover appends nothing twice.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from domain.delivery_events import ServiceRegistered
from domain.errors import ConflictError, NotFound, TransientError
from domain.registration import (
    INITIAL,
    Command,
    Deregister,
    Register,
    RegistrationEvent,
    Report,
    State,
    decide,
    evolve,
)
from infra.commands import execute
from infra.ports import Context, Meta, Term
from infra.settings import BASE_PORTS
from infra.trust import TRUST
from infra.work import Worker
from projections.instances import GROUPS, Group
from projections.services import SERVICES, ServiceRow
from services.registry.answers import registered, url_of
from services.registry.outages import Outages

_CHECKS_AT_ONCE = 16
_MISSES = 2  # checks in a row without an answer before a service is degraded
_SOON_S = 0.25  # between looks at a service that has just failed one
_log = structlog.get_logger(__name__)


async def record(
    ctx: Context, command: Command, *, name: str, meta: Meta, term: Term | None
) -> int:
    """Decide the command on the service's own stream and append; return the position."""

    def _decide(state: State) -> Sequence[RegistrationEvent]:
        return decide(command, state)

    done = await execute(
        ctx.log,
        f"events.service.{name}",
        initial=INITIAL,
        evolve=evolve,
        decide=_decide,
        meta=meta,
        fence=term.fence if term else None,
    )
    return done.position


@dataclass(frozen=True, slots=True)
class Due:
    """Something to register or to remove. ``cause`` is the position of what led to it."""

    name: str
    cause: int
    row: ServiceRow | None = None  # a deployed service
    group: Group | None = None  # a built-in one


def registering(ctx: Context) -> "Worker[Due]":
    """The worker that keeps the registry equal to what was deployed and what is built in."""

    def find() -> Iterable[Due]:
        for row in ctx.views.all(SERVICES, due=True):
            cause = row.wanted.position if row.wanted else row.retired_position
            yield Due(row.name, cause, row=row)
        yield from _builtin(ctx)

    async def park(item: Due, _: Term, reason: str) -> None:
        _log.error("registration_given_up", service=item.name, reason=reason)

    return Worker(
        views=ctx.views,
        find=find,
        key=lambda item: f"{item.name}/{item.cause}",
        step=lambda item, term: _step(ctx, item, term),
        park=park,
        capacity=4 * ctx.capacity,
    )


def _builtin(ctx: Context) -> Iterable[Due]:
    for name in BASE_PORTS:
        group = ctx.views.get(GROUPS, name)
        if group is None or not group.running:
            continue
        row = ctx.views.get(SERVICES, name)
        deployed = row is not None and row.wanted is not None
        if not deployed and (row is None or not row.registered or _changed(row, group)):
            cause = max(group.fence, row.stream_position if row else 0)
            yield Due(name, cause, group=group)


def _changed(row: ServiceRow, group: Group) -> bool:
    """Every running instance is of another version than the registered one."""
    versions = {member.version for member in group.running if member.version}
    return bool(versions) and row.version not in versions


async def _step(ctx: Context, item: Due, term: Term) -> int:
    if item.group is not None:
        return await _register_builtin(ctx, item, item.group, term)
    assert item.row is not None
    wanted = item.row.wanted
    meta = _meta(ctx, item, item.row.intent_id)
    if wanted is None:
        command = Deregister(name=item.name, by=ctx.service, reason="retired", at=ctx.clock.now())
        return await record(ctx, command, name=item.name, meta=meta, term=term)
    service = ServiceRegistered(
        name=item.name,
        at=ctx.clock.now(),
        version=wanted.version,
        tier=wanted.tier,
        port=wanted.port,
        url=ctx.host_url(wanted.port + ctx.port_shift),
        features=wanted.features,
        dependencies=wanted.dependencies,
        builtin=item.name in BASE_PORTS,
        intent_id=wanted.intent_id,
        build_id=wanted.build_id,
    )
    meta = _meta(ctx, item, wanted.intent_id)
    return await record(ctx, Register(service=service), name=item.name, meta=meta, term=term)


async def _register_builtin(ctx: Context, item: Due, group: Group, term: Term) -> int:
    """A built-in service tells what it is itself (UDC ``/capabilities``).

    Raises:
        TransientError: it does not answer yet.
    """
    port = BASE_PORTS[item.name]
    url = ctx.host_url(port + ctx.port_shift)
    told = await _capabilities(url)
    versions = {member.version for member in group.running if member.version}
    version = str(told["version"])
    service = ServiceRegistered(
        name=item.name,
        at=ctx.clock.now(),
        version=version if version in versions or not versions else max(versions),
        tier=told["metadata"]["tier"],
        port=port,
        url=url,
        features=tuple(told["features"]),
        dependencies=tuple(told["dependencies"]),
        builtin=True,
    )
    command = Register(service=service)
    return await record(ctx, command, name=item.name, meta=_meta(ctx, item, ""), term=term)


async def _capabilities(url: str) -> dict[str, Any]:
    try:
        async with httpx.AsyncClient(verify=TRUST, timeout=2.0, trust_env=False) as client:
            answer = await client.get(f"{url}/capabilities")
            answer.raise_for_status()
            told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise TransientError(f"{url}/capabilities: {type(error).__name__} {error}") from error
    return told


def _meta(ctx: Context, item: Due, intent_id: str) -> Meta:
    return Meta(
        command_id=f"{item.name}/{item.cause}/registry",
        actor=ctx.service,
        correlation_id=intent_id,
        causation_id=str(item.cause),
        source=ctx.service,
    )


class Checks:
    """Asks every registered service for its health and records what changed."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._misses: dict[str, int] = {}
        self._outages = Outages(ctx, fresh_s=3 * ctx.settings.heartbeat_s)
        self.last: dict[str, str] = {}  # what this leader found last: "" is well

    async def run(self, term: Term) -> None:
        """Check every ``heartbeat_s`` until the term ends, and what failed again soon."""
        every_s = self._ctx.settings.heartbeat_s
        limits = httpx.Limits(max_connections=_CHECKS_AT_ONCE)
        timeout = min(every_s / 2, 2.0)
        async with httpx.AsyncClient(
            verify=TRUST, timeout=timeout, limits=limits, trust_env=False
        ) as client:
            while not term.ended.is_set():
                end = time.monotonic() + every_s
                rows = registered(self._ctx.views)
                await asyncio.gather(*(self._check(client, row, term) for row in rows))
                self._forget({row.name for row in rows})
                while self._outages.suspects and time.monotonic() < end and not term.ended.is_set():
                    await _pause(term, _SOON_S)
                    await self._look_again(client, term)
                await _pause(term, end - time.monotonic())

    async def _look_again(self, client: httpx.AsyncClient, term: Term) -> None:
        suspects = self._outages.suspects
        rows = [row for row in registered(self._ctx.views) if row.name in suspects]
        for row in rows:
            _, problem = await _ask(client, url_of(self._ctx, row))
            await self._outages.looked(row.name, problem, term)

    async def _check(self, client: httpx.AsyncClient, row: ServiceRow, term: Term) -> None:
        answered, problem = await _ask(client, url_of(self._ctx, row))
        await self._outages.looked(row.name, problem, term)
        misses = 0 if answered else self._misses.get(row.name, 0) + 1
        self._misses[row.name] = misses
        if 0 < misses < _MISSES:
            return  # one lost answer is no outage
        self.last[row.name] = problem
        if bool(problem) == (row.status == "degraded"):
            return
        report = Report(name=row.name, problem=problem, at=self._ctx.clock.now())
        meta = Meta(
            command_id=f"{row.name}/{row.stream_position}/health/{term.epoch}",
            actor=self._ctx.service,
            correlation_id=row.intent_id,
            causation_id=str(row.stream_position),
            source=self._ctx.service,
        )
        try:
            await record(self._ctx, report, name=row.name, meta=meta, term=term)
        except (NotFound, ConflictError, TransientError) as error:
            _log.info("health_not_recorded", service=row.name, reason=str(error))

    def _forget(self, names: set[str]) -> None:
        for known in (self._misses, self.last):
            for name in known.keys() - names:
                del known[name]
        for name in self._outages.suspects - names:
            self._outages.forget(name)


async def _ask(client: httpx.AsyncClient, url: str) -> tuple[bool, str]:
    """Return whether it answered, and what is wrong with it ("" when it is well)."""
    try:
        answer = await client.get(f"{url}/health")
        told = answer.json()
    except httpx.HTTPError as error:
        return False, f"no answer at {url} ({type(error).__name__})"
    except ValueError:
        return False, f"{url}/health does not answer with JSON"
    return True, _problem(answer.status_code, told)


def _problem(status: int, told: Any) -> str:
    found: Mapping[str, Any] = told if isinstance(told, dict) else {}
    if status >= 400:
        return f"/health answers with {status}"
    if found.get("status") == "active":
        return ""
    return f"{found.get('status', 'no status')}: {found.get('problem') or 'it does not say why'}"


async def _pause(term: Term, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await term.ended.wait()
    except TimeoutError:
        return
