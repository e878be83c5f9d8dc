"""The registry's HTTP endpoints (CONTRACTS section 5)."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from domain.delivery_events import ServiceRegistered
from domain.errors import NotFound
from domain.intent import Slug
from domain.registration import Deregister, Register, Report
from infra.http import command_id, listing, person_of
from infra.ports import Context, Meta
from projections.services import SERVICES, ServiceRow
from projections.uptime_report import Window
from services.registry import answers, ssot
from services.registry.live import Live, with_live
from services.registry.work import record

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]
_REPLAYS_AT_ONCE = 2  # the past is folded from the log: CPU that the present needs too
_MARKDOWN = "text/markdown"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Registration(_Body):
    """A service outside this system that wants to be found and watched."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "price-feed",
                    "version": "2.1.0",
                    "port": 9100,
                    "url": "http://127.0.0.1:9100",
                    "features": ["Prices by the minute"],
                }
            ]
        },
    )

    name: Slug
    version: str = Field(min_length=1, max_length=100)
    tier: int = Field(default=2, ge=0, le=3)
    port: int = Field(ge=1, le=65535)
    url: HttpUrl | None = None
    features: tuple[Annotated[str, Field(max_length=500)], ...] = Field(default=(), max_length=50)
    dependencies: tuple[Slug, ...] = Field(default=(), max_length=50)


class Heartbeat(_Body):
    """How a service says it is. ``problem`` counts unless the status is ``active``."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"status": "active"}]}
    )

    status: str = Field(default="active", pattern="^(active|degraded|inactive|error)$")
    problem: str = Field(default="", max_length=500)


def routes(ctx: Context) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (_services(ctx), _system(ctx))


def _services(ctx: Context) -> type[Controller]:
    class Services(Controller):
        path = "/services"
        tags = ("services",)

        @get("/")
        async def listing(
            self,
            tier: Annotated[int | None, QueryParameter(ge=0, le=3)] = None,
            status: FromQuery[str | None] = None,
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """The registered services, by name."""
            where = {"registered": True, "tier": tier, "status": status}
            return listing(
                ctx.views,
                SERVICES,
                lambda row: answers.service(ctx, ctx.views, row),
                where=where,
                text=q,
                limit=limit,
                cursor=cursor,
            )

        @get("/{name:str}")
        async def one(self, name: FromPath[str]) -> dict[str, Any]:
            """One service with its instances."""
            return answers.service(ctx, ctx.views, _found(ctx, name))

        @post("/register", status_code=201)
        async def register(
            self, data: JSONBody[Registration], request: AnyRequest
        ) -> dict[str, Any]:
            """Register a service outside this system. The same again changes nothing."""
            url = str(data.url).rstrip("/") if data.url else ctx.host_url(data.port)
            service = ServiceRegistered(
                at=ctx.clock.now(), url=url, **data.model_dump(exclude={"url"})
            )
            command = Register(service=service, by_itself=True)
            position = await _recorded(ctx, command, data.name, request)
            return {**_answer(ctx, data.name), "position": position}

        @post("/{name:str}/heartbeat", status_code=200)
        async def heartbeat(
            self, name: FromPath[str], request: AnyRequest, data: JSONBody[Heartbeat | None] = None
        ) -> dict[str, Any]:
            """A service says how it is (without a body: active); only a change is recorded."""
            data = data or Heartbeat()
            problem = "" if data.status == "active" else data.problem or f"says {data.status}"
            command = Report(name=name, problem=problem, at=ctx.clock.now())
            position = await _recorded(ctx, command, name, request)
            row = _found(ctx, name)
            return {
                "name": name,
                "status": row.status,
                "next_heartbeat_s": ctx.settings.heartbeat_s,
                "position": position,
            }

        @delete("/{name:str}", status_code=200)
        async def deregister(
            self, name: FromPath[str], request: AnyRequest, reason: FromQuery[str] = ""
        ) -> dict[str, Any]:
            """Take a service off the list; what runs keeps running."""
            command = Deregister(
                name=name,
                by=person_of(request).name,
                reason=reason[:500],
                at=ctx.clock.now(),
                by_hand=True,
            )
            position = await _recorded(ctx, command, name, request)
            return {"name": name, "status": "deregistered", "position": position}

    return Services


def _system(ctx: Context) -> type[Controller]:
    replays = asyncio.Semaphore(_REPLAYS_AT_ONCE)
    live = Live(ctx)

    class System(Controller):
        tags = ("system",)

        @get("/ssot")
        async def description(self, request: AnyRequest, at: FromQuery[str] = "") -> Response[Any]:
            """The whole system, now or ``at`` a log position or an ISO time; JSON or Markdown."""
            async with replays:
                document = await ssot.describe(ctx, at)
            if _wants_markdown(request):
                return Response(ssot.markdown(document), media_type=_MARKDOWN)
            return Response(document)

        @get("/phoenix")
        async def phoenix(self) -> dict[str, Any]:
            """Every group: instances, roles, epochs, capacity, health, lag, requests a second,
            restarts, failovers, uptime."""
            answer = answers.phoenix(ctx.views, ctx.clock.now())
            told = await live.told(answers.ports(answer["groups"]))
            return {**answer, "groups": [with_live(group, told) for group in answer["groups"]]}

        @get("/phoenix/uptime")
        async def uptime(self, window: FromQuery[Window] = "month") -> dict[str, Any]:
            """Availability against the target, error budget, outages, recoveries and cost."""
            return answers.uptime(ctx, window, ctx.clock.now())

    return System


def _wants_markdown(request: AnyRequest) -> bool:
    return "text/markdown" in request.headers.get("accept", "")


def _found(ctx: Context, name: str) -> ServiceRow:
    row = ctx.views.get(SERVICES, name)
    if row is None or not row.registered:
        raise NotFound(f"no service {name}")
    return row


def _answer(ctx: Context, name: str) -> dict[str, Any]:
    return answers.service(ctx, ctx.views, _found(ctx, name))


async def _recorded(ctx: Context, command: Any, name: str, request: AnyRequest) -> int:
    meta = Meta(command_id=command_id(request), actor=person_of(request).name, source=ctx.service)
    position = await record(ctx, command, name=name, meta=meta, term=None)
    await ctx.views.reach(position)
    return position
