"""The build-executor's HTTP endpoints (CONTRACTS section 5)."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from litestar import Controller, MediaType, Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from domain.build import INITIAL, Approve, Cancel, Command, build_id, decide, evolve
from domain.delivery_events import BuildCancelled, BuildFailed, DeploymentHealthy
from domain.delivery_events import DeploymentRolledBack as RolledBack
from domain.deployment import INITIAL as UNDEPLOYED
from domain.deployment import GoBack
from domain.deployment import decide as decide_deployment
from domain.deployment import evolve as evolve_deployment
from domain.errors import IllegalTransition, Invalid, NotAllowed, NotFound
from domain.event import Event
from domain.governance import APPROVER_ROLES, NAMESPACE
from domain.recorded import Recorded
from infra.commands import execute
from infra.http import command_id, listing, person_of
from infra.http.stream import event_stream, last_event_id
from infra.ports import Context, Meta, Person
from infra.settings import BASE_PORTS
from projections.builds import BUILDS, BuildRow, Status
from projections.deployments import DEPLOYMENTS, DeploymentRow
from projections.specs import PIPELINES
from services.build_executor.bench import Bench

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]
_SHOWN: tuple[Status, ...] = (
    "waiting",
    "building",
    "packaged",
    "deploying",
    "healthy",
    "failed",
    "cancelled",
    "rolled_back",
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Submit(_Body):
    """A SPEC to be built (it goes the whole way, governance included), or an intent whose SPEC is
    accepted and waits for a person."""

    spec: dict[str, Any] | None = None
    intent_id: UUID | None = None
    auto_build: bool = True
    auto_deploy: bool = True


class Approval(_Body):
    step: Literal["build", "deploy"] | None = None  # None: the one it waits for


class Reason(_Body):
    reason: str = Field(default="", max_length=2000)


def routes(ctx: Context) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (_queries(ctx), _commands(ctx), _deployments(ctx))


def as_json(ctx: Context, row: BuildRow) -> dict[str, Any]:
    """One build as ``GET /builds/{id}`` answers it."""
    pipeline = ctx.views.get(PIPELINES, row.intent_id)
    waits = _waits_for(ctx, row)
    answer = row.model_dump(mode="json", exclude={"claimed"})
    if pipeline is not None and not row.service_name:
        answer["service_name"] = pipeline.service_name
    return {**answer, "waits_for_approval": waits}


def _waits_for(ctx: Context, row: BuildRow) -> Literal["", "build", "deploy"]:
    pipeline = ctx.views.get(PIPELINES, row.intent_id)
    if pipeline is None or pipeline.ended:
        return ""
    if row.status == "waiting" and not pipeline.intent.auto_build and "build" not in row.approved:
        return "build"
    if row.status == "packaged" and not pipeline.intent.auto_deploy:
        return "" if "deploy" in row.approved else "deploy"
    return ""


def _row(ctx: Context, build: str) -> BuildRow:
    row = ctx.views.get(BUILDS, build)
    if row is None or row.status == "specified":
        raise NotFound(f"no build {build}")
    return row


def _queries(ctx: Context) -> type[Controller]:
    class Queries(Controller):
        path = "/builds"
        tags = ("builds",)

        @get("/")
        async def listing(
            self,
            status: FromQuery[str | None] = None,
            service: FromQuery[str | None] = None,
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Builds, the newest first."""
            if status is not None and status not in _SHOWN:
                raise Invalid("status", f"must be one of {', '.join(_SHOWN)}")
            where = {"status": (status,) if status else _SHOWN, "service_name": service or None}
            return listing(
                ctx.views,
                BUILDS,
                lambda row: as_json(ctx, row),
                where=where,
                order="position",
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

        @get("/{build:str}")
        async def one(self, build: FromPath[str]) -> dict[str, Any]:
            """One build with each of its steps."""
            return as_json(ctx, _row(ctx, build))

        @get("/{build:str}/log", media_type=MediaType.TEXT)
        async def log(self, build: FromPath[str]) -> str:
            """What the build wrote: this host's file, or what was stored after the tests."""
            return await _log_of(ctx, _row(ctx, build))

        @get("/{build:str}/stream")
        async def stream(self, build: FromPath[str], request: AnyRequest) -> ServerSentEvent:
            """The build's events as they happen, from its first on."""
            row = _row(ctx, build)
            return _followed(ctx, row, last_event_id(request, default=row.position - 1))

    return Queries


def _commands(ctx: Context) -> type[Controller]:
    class Commands(Controller):
        path = "/builds"
        tags = ("builds",)

        @post("/submit", status_code=202)
        async def submit(
            self, data: JSONBody[Submit], request: AnyRequest
        ) -> Response[dict[str, Any]]:
            """Submit a SPEC, or let the build of an intent start."""
            if (data.spec is None) == (data.intent_id is None):
                raise Invalid("spec", "send either a spec or an intent_id")
            if data.spec is not None:
                return Response(await _submitted(ctx, data, request), status_code=202)
            return await _let_start(ctx, str(data.intent_id), request)

        @post("/{build:str}/approve", status_code=200)
        async def approve(
            self, build: FromPath[str], data: JSONBody[Approval], request: AnyRequest
        ) -> dict[str, Any]:
            """Let a build go on that waits for a person."""
            row = _row(ctx, build)
            step = data.step or _waits_for(ctx, row)
            if not step:
                raise IllegalTransition(f"the build does not wait: it is {row.status}")
            return await _approved(ctx, row, step, request)

        @post("/{build:str}/cancel", status_code=200)
        async def cancel(
            self, build: FromPath[str], data: JSONBody[Reason], request: AnyRequest
        ) -> dict[str, Any]:
            """Stop a build that is not deployed yet."""
            return await _cancelled(ctx, _row(ctx, build), data.reason, request)

        @post("/{build:str}/rollback", status_code=200)
        async def rollback(
            self, build: FromPath[str], data: JSONBody[Reason], request: AnyRequest
        ) -> dict[str, Any]:
            """Give a deployed version up and run the one before it again."""
            return await _rolled_back(ctx, _row(ctx, build), data.reason, request)

    return Commands


def _deployments(ctx: Context) -> type[Controller]:
    class Deployments(Controller):
        path = "/deployments"
        tags = ("deployments",)

        @get("/")
        async def listing(
            self,
            status: FromQuery[str | None] = None,
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Every deployed service: the version that runs, its port and its releases."""
            return listing(
                ctx.views,
                DEPLOYMENTS,
                lambda row: _deployment(ctx, row),
                where={"status": status or None},
                limit=limit,
                cursor=cursor,
            )

        @get("/{name:str}")
        async def one(self, name: FromPath[str]) -> dict[str, Any]:
            """One service's deployment."""
            row = ctx.views.get(DEPLOYMENTS, name)
            if row is None:
                raise NotFound(f"{name} was never deployed")
            return _deployment(ctx, row)

    return Deployments


def _deployment(ctx: Context, row: DeploymentRow) -> dict[str, Any]:
    """``port`` as bound on this host."""
    port = row.port + ctx.port_shift if row.port is not None else None
    return {**row.model_dump(mode="json"), "port": port}


async def _submitted(ctx: Context, data: Submit, request: AnyRequest) -> dict[str, Any]:
    """Publish the SPEC as an intent of this person: nothing is built past governance."""
    spec = dict(data.spec or {})
    intent_id = str(uuid5(NAMESPACE, f"{command_id(request)}/build"))
    intent = {
        "intent_id": intent_id,
        "service_name": spec.get("service_name"),
        "purpose": spec.get("purpose"),
        "key_features": spec.get("key_features", []),
        "dependencies": spec.get("dependencies", []),
        "source": "api",
        "auto_build": data.auto_build,
        "auto_deploy": data.auto_deploy,
        "spec": spec,
    }
    body = json.dumps(intent).encode()
    position = await ctx.log.submit(body, person=person_of(request).name, message_id=intent_id)
    return {"intent_id": intent_id, "build_id": build_id(intent_id, 1), "position": position}


async def _approved(
    ctx: Context, row: BuildRow, step: Literal["build", "deploy"], request: AnyRequest
) -> dict[str, Any]:
    person = person_of(request)
    _approver(person)
    command = Approve(
        build_id=row.build_id,
        intent_id=row.intent_id,
        by=person.name,
        step=step,
        at=ctx.clock.now(),
    )
    return await _recorded(ctx, row, command, request)


async def _recorded(
    ctx: Context, row: BuildRow, command: Command, request: AnyRequest
) -> dict[str, Any]:
    done = await execute(
        ctx.log,
        f"events.build.{row.build_id}",
        initial=INITIAL,
        evolve=evolve,
        decide=lambda state: decide(command, state),
        meta=_meta(ctx, row, request),
    )
    await ctx.views.reach(done.position)
    return {**as_json(ctx, _row(ctx, row.build_id)), "position": done.position}


def _meta(ctx: Context, row: BuildRow, request: AnyRequest) -> Meta:
    return Meta(
        command_id=command_id(request),
        actor=person_of(request).name,
        correlation_id=row.intent_id,
        causation_id=str(row.position),
        source=ctx.service,
    )


def _approver(person: Person) -> None:
    if not person.roles & APPROVER_ROLES:
        raise NotAllowed(f"{person.name} is not an approver")


async def _log_of(ctx: Context, row: BuildRow) -> str:
    bench = Bench(Path(ctx.settings.data_dir), row.build_id)
    text = await asyncio.to_thread(bench.read_log)
    if text is not None:
        return text
    if not row.log_digest:
        return ""
    return (await ctx.objects.get(row.log_digest)).decode(errors="replace")


def _followed(ctx: Context, row: BuildRow, after: int) -> ServerSentEvent:
    def mine(recorded: Recorded[Event]) -> bool:
        return getattr(recorded.event, "build_id", "") == row.build_id

    def last(recorded: Recorded[Event]) -> bool:
        ends = BuildFailed | BuildCancelled | DeploymentHealthy | RolledBack
        return isinstance(recorded.event, ends)

    subjects = (f"events.build.{row.build_id}", "events.deployment.>")
    return event_stream(ctx.log, subjects, after=after, keep=mine, last=last)


async def _let_start(ctx: Context, intent_id: str, request: AnyRequest) -> Response[dict[str, Any]]:
    pipeline = ctx.views.get(PIPELINES, intent_id)
    if pipeline is None:
        raise NotFound(f"no intent {intent_id}")
    row = _row(ctx, build_id(pipeline.intent_id, pipeline.attempt))
    if _waits_for(ctx, row) == "build":
        return Response(await _approved(ctx, row, "build", request), status_code=202)
    return Response({**as_json(ctx, row), "position": ctx.views.position}, status_code=200)


async def _cancelled(
    ctx: Context, row: BuildRow, reason: str, request: AnyRequest
) -> dict[str, Any]:
    person = person_of(request)
    pipeline = ctx.views.get(PIPELINES, row.intent_id)
    if pipeline is None or pipeline.intent.submitted_by != person.name:
        _approver(person)
    if row.status in ("deploying", "healthy"):
        raise IllegalTransition(f"the build is {row.status}: roll it back instead")
    command = Cancel(
        build_id=row.build_id,
        intent_id=row.intent_id,
        by=person.name,
        reason=reason or "no reason given",
        at=ctx.clock.now(),
    )
    return await _recorded(ctx, row, command, request)


async def _rolled_back(
    ctx: Context, row: BuildRow, reason: str, request: AnyRequest
) -> dict[str, Any]:
    person = person_of(request)
    _approver(person)
    if not row.version or row.port is None:
        raise IllegalTransition(f"the build is {row.status}: there is nothing to roll back")
    command = GoBack(
        service_name=row.service_name,
        version=row.version,
        by=person.name,
        reason=reason or "no reason given",
        at=ctx.clock.now(),
        built_in=row.service_name in BASE_PORTS,
    )
    done = await execute(
        ctx.log,
        f"events.deployment.{row.service_name}",
        initial=UNDEPLOYED,
        evolve=evolve_deployment,
        decide=lambda state: decide_deployment(command, state),
        meta=_meta(ctx, row, request),
    )
    back = next((e.to_version for e in done.events if isinstance(e, RolledBack)), "")
    return {
        "build_id": row.build_id,
        "service_name": row.service_name,
        "version": row.version,
        "to_version": back,
        "position": done.position,
    }
