"""The intent-queue's HTTP endpoints (CONTRACTS section 5)."""

import json
from collections.abc import Sequence
from heapq import nsmallest
from typing import Annotated, Any

from litestar import Controller, Request, Response, Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import Invalid, NotFound
from domain.event import Event
from domain.intake import OpenIntent, differing, find_duplicate, similarity, wish_of
from domain.intent import (
    Cancel,
    Command,
    IntentEvent,
    Priority,
    Reprioritize,
    Retry,
    Slug,
    State,
    Status,
    decide,
    evolve,
)
from domain.recorded import Recorded
from infra.commands import execute
from infra.http import command_id, listing, person_of
from infra.http.stream import event_stream, last_event_id
from infra.ports import Context, Meta
from projections.intents import (
    INTENT_SUBJECTS,
    INTENTS,
    OPEN,
    REFUSALS,
    TIMELINE,
    WAITING,
    IntentRow,
    intent_of,
)
from services.intent_queue.receipt import Receipt, accepted, queue_position, submit

_BODY_MAX_BYTES = 1_000_000  # the server's own limit on one message
_BATCH_MAX = 100
# Of a row: the intent and the lifecycle are shown in other words, the rest is the queue's own.
_INNER = {
    "intent",
    "entries",
    "due",
    "ending",
    "rank",
    "stream_position",
    "grants",
    "quorum",
    "open",
}
_NEAREST = 5  # shown, of so many that are compared triple by triple
_COMPARED = 50
AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PriorityChange(_Body):
    priority: Priority


class Likeness(_Body):
    """What to compare with the open intents."""

    service_name: Slug
    purpose: str = Field(min_length=10, max_length=2000)


class Many(_Body):
    intents: list[dict[str, Any]] = Field(min_length=1, max_length=_BATCH_MAX)


def routes(ctx: Context) -> Sequence[Any]:
    """Return the routes of one instance."""
    parts = (_submissions(ctx), _queries(ctx), _commands(ctx), _streams(ctx))
    return (Router("/intents", route_handlers=parts, tags=["intents"]),)


def as_json(ctx: Context, row: IntentRow) -> dict[str, Any]:
    """One intent as ``GET /intents/{id}`` answers it."""
    return {
        **row.intent.model_dump(mode="json"),
        **row.model_dump(mode="json", exclude=_INNER),
        "lifecycle": [phase.model_dump(mode="json") for phase in row.lifecycle],
        "queue_position": queue_position(ctx, row),
    }


def _respond(receipt: Receipt) -> Response[dict[str, Any]]:
    media_type = "application/problem+json" if receipt.status >= 400 else "application/json"
    return Response(receipt.body, status_code=receipt.status, media_type=media_type)


def _submissions(ctx: Context) -> type[Controller]:
    class Submissions(Controller):
        @post("/submit", status_code=202)
        async def submit(self, request: AnyRequest) -> Response[dict[str, Any]]:
            """Submit one intent. 202 queued, 200 the same again, 409 duplicate, 422 not valid."""
            body = await request.body()
            if len(body) > _BODY_MAX_BYTES:
                raise Invalid(
                    "body", f"has {len(body)} bytes, at most {_BODY_MAX_BYTES} can be read"
                )
            return _respond(await submit(ctx, body, person=person_of(request).name))

        @post("/batch", status_code=200)
        async def batch(self, data: JSONBody[Many], request: AnyRequest) -> dict[str, Any]:
            """Submit up to 100 intents; each gets an answer of its own, in their order."""
            person = person_of(request).name
            receipts = [
                await submit(ctx, json.dumps(intent).encode(), person=person)
                for intent in data.intents
            ]
            results = [{"status_code": receipt.status, **receipt.body} for receipt in receipts]
            return {"results": results, "position": max(int(r["position"]) for r in results)}

        @post("/duplicate-check", status_code=200, opt={"reads": True})
        async def duplicate_check(self, data: JSONBody[Likeness]) -> dict[str, Any]:
            """Would such an intent be refused as a duplicate? Records nothing."""
            rows = {row.intent_id: row for row in ctx.views.all(INTENTS, open=True)}
            candidates = [OpenIntent.of(row.intent) for row in rows.values()]
            wish = wish_of(data.service_name, data.purpose)
            twin = find_duplicate(data.service_name, data.purpose, candidates)
            likely = nsmallest(
                _COMPARED,
                candidates,
                key=lambda c: differing(wish, c.wish) / (wish.size + c.wish.size + 1),
            )
            nearest = [
                {
                    "intent_id": c.intent_id,
                    "service_name": c.service_name,
                    "similarity": round(similarity(wish, c.wish), 3),
                }
                for c in likely
            ]
            nearest.sort(key=lambda item: -float(str(item["similarity"])))
            existing = twin.intent_id if twin else ""
            return {
                "duplicate": twin is not None,
                "existing": existing,
                "nearest": nearest[:_NEAREST],
            }

    return Submissions


def _queries(ctx: Context) -> type[Controller]:
    class Queries(Controller):
        @get("/")
        async def listing(
            self,
            status: FromQuery[Status | None] = None,
            priority: FromQuery[Priority | None] = None,
            tier: Annotated[int | None, QueryParameter(ge=0, le=3)] = None,
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Intents, newest first."""
            where = {"status": status, "priority": priority, "tier": tier}
            return listing(
                ctx.views,
                INTENTS,
                lambda row: as_json(ctx, row),
                where=where,
                text=q,
                order="raw_position",
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

        @get("/queue")
        async def queue(self, limit: Limit = 50, cursor: FromQuery[str] = "") -> dict[str, Any]:
            """What waits for governance, in the order in which it is taken."""
            found = listing(
                ctx.views,
                INTENTS,
                lambda row: accepted(ctx, row) | {"service_name": row.service_name},
                where={"status": WAITING},
                order="rank",
                limit=limit,
                cursor=cursor,
            )
            return {
                **found,
                "capacity": ctx.settings.queue_capacity,
                "open": ctx.views.count(INTENTS, status=OPEN),
            }

        @get("/{intent_id:str}")
        async def one(self, intent_id: FromPath[str]) -> dict[str, Any]:
            """One intent with its whole life so far."""
            row = ctx.views.get(INTENTS, intent_id)
            return as_json(ctx, row) if row else _refusal(ctx, intent_id)

        @get("/{intent_id:str}/timeline")
        async def timeline(
            self, intent_id: FromPath[str], limit: Limit = 500, cursor: FromQuery[str] = ""
        ) -> dict[str, Any]:
            """Every event of one intent with its log position, oldest first."""
            _found(ctx, intent_id)
            found = listing(
                ctx.views,
                TIMELINE,
                lambda row: row.model_dump(mode="json", exclude={"intent_id"}),
                where={"intent_id": intent_id},
                limit=limit,
                cursor=cursor,
            )
            return {"intent_id": intent_id, **found}

    return Queries


def _commands(ctx: Context) -> type[Controller]:
    class Commands(Controller):
        @patch("/{intent_id:str}/priority")
        async def reprioritize(
            self, intent_id: FromPath[str], data: JSONBody[PriorityChange], request: AnyRequest
        ) -> dict[str, Any]:
            """Change the priority of an open intent."""
            at = ctx.clock.now()
            command = Reprioritize(intent_id=intent_id, priority=data.priority, at=at)
            return await _execute(ctx, command, request)

        @delete("/{intent_id:str}", status_code=200)
        async def cancel(
            self, intent_id: FromPath[str], request: AnyRequest, reason: FromQuery[str] = ""
        ) -> dict[str, Any]:
            """Cancel an open intent; what already runs stays, nothing further is started."""
            why = reason or f"cancelled by {person_of(request).name}"
            command = Cancel(intent_id=intent_id, reason=why[:500], at=ctx.clock.now())
            return await _execute(ctx, command, request)

        @post("/{intent_id:str}/retry", status_code=200)
        async def retry(self, intent_id: FromPath[str], request: AnyRequest) -> dict[str, Any]:
            """Open a failed, cancelled or expired intent again, from governance on."""
            return await _execute(ctx, Retry(intent_id=intent_id, at=ctx.clock.now()), request)

    return Commands


def _streams(ctx: Context) -> type[Controller]:
    class Streams(Controller):
        @get("/{intent_id:str}/subscribe")
        async def one(self, intent_id: FromPath[str], request: AnyRequest) -> ServerSentEvent:
            """The intent's events as they happen (SSE), from its first; ends when it ends."""
            row = _found(ctx, intent_id)
            return event_stream(
                ctx.log,
                INTENT_SUBJECTS,
                after=last_event_id(request, default=row.raw_position),
                keep=lambda recorded: intent_of(recorded) == intent_id,
                last=_ends,
            )

        @get("/queue/subscribe")
        async def queue(self, request: AnyRequest) -> ServerSentEvent:
            """Everything that happens to any intent from now on (SSE)."""
            after = last_event_id(request, default=await ctx.log.last_position())
            return event_stream(ctx.log, INTENT_SUBJECTS, after=after)

    return Streams


def _ends(recorded: Recorded[Event]) -> bool:
    names = ("IntentCompleted", "IntentFailed", "IntentCancelled")
    return recorded.event.short_type in names


def _found(ctx: Context, intent_id: str) -> IntentRow:
    row = ctx.views.get(INTENTS, intent_id)
    if row is None:
        raise NotFound(f"no intent {intent_id}")
    return row


def _refusal(ctx: Context, intent_id: str) -> dict[str, Any]:
    """A refused message that named its id can be asked for by that id."""
    refusals = ctx.views.all(REFUSALS, intent_id=intent_id)
    if not refusals:
        raise NotFound(f"no intent {intent_id}")
    refusal = refusals[-1].model_dump(mode="json")
    return {**refusal, "status": "rejected", "governance_reasoning": refusal["reason"]}


async def _execute(ctx: Context, command: Command, request: AnyRequest) -> dict[str, Any]:
    intent_id = command.intent_id

    def _decide(state: State) -> Sequence[IntentEvent]:
        return decide(command, state)

    done = await execute(
        ctx.log,
        f"events.intent.{intent_id}",
        initial=State(),
        evolve=evolve,
        decide=_decide,
        meta=Meta(
            command_id=command_id(request),
            actor=person_of(request).name,
            correlation_id=intent_id,
            source=ctx.service,
        ),
    )
    await ctx.views.reach(done.position)
    return {**accepted(ctx, _found(ctx, intent_id)), "position": done.position}
