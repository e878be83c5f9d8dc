"""What people may do beside deciding: break-glass with its review, and delegation."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from domain import delegation
from domain.delegation import Delegate, EndDelegation
from domain.emergency import BreakGlass, Review, break_glass, review
from domain.event import Event
from domain.governance import INITIAL, State, evolve
from infra.commands import execute
from infra.http import command_id, listing, person_of
from infra.ports import Context, Meta
from projections.governance import GLASS
from services.governance.examples import answered
from services.governance.models import BreakGlassRequest, DelegationRequest, ReviewRequest
from services.governance.people import People

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


def routes(ctx: Context, people: People) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (_emergencies(ctx, people), _delegations(ctx, people))


def _emergencies(ctx: Context, people: People) -> type[Controller]:
    class Emergencies(Controller):
        path = "/governance"
        tags = ("governance",)

        @post("/break-glass", status_code=200, responses=answered("POST /governance/break-glass"))
        async def broken(
            self, data: JSONBody[BreakGlassRequest], request: AnyRequest
        ) -> dict[str, Any]:
            """Let an intent go on at once, in an emergency; somebody else must review it."""
            person = person_of(request)
            command = BreakGlass(
                intent_id=data.intent_id,
                by=person.name,
                roles=person.roles,
                reason=data.reason,
                at=ctx.clock.now(),
            )
            return await self._append(request, data.intent_id, lambda s: break_glass(command, s))

        @get("/reviews", responses=answered("GET /governance/reviews"))
        async def reviews(self, open: FromQuery[bool] = True, limit: Limit = 50) -> dict[str, Any]:
            """Uses of break-glass that somebody still has to review (or all), newest first."""
            return listing(
                ctx.views,
                GLASS,
                lambda row: {
                    **row.model_dump(mode="json"),
                    "overdue": row.open and _past(ctx, row.review_by),
                },
                where={"open": open or None},
                order="position",
                newest_first=True,
                limit=limit,
            )

        @post(
            "/reviews/{intent_id:str}",
            status_code=200,
            responses=answered("POST /governance/reviews/{intent_id}"),
        )
        async def reviewed(
            self, intent_id: FromPath[str], data: JSONBody[ReviewRequest], request: AnyRequest
        ) -> dict[str, Any]:
            """Say whether a use of break-glass was justified, and why."""
            person = person_of(request)
            command = Review(
                intent_id=intent_id,
                by=person.name,
                roles=person.roles,
                approvers=await people.approvers(),
                justified=data.justified,
                comment=data.comment,
                at=ctx.clock.now(),
            )
            return await self._append(request, intent_id, lambda s: review(command, s))

        async def _append(self, request: AnyRequest, intent_id: str, decide: Any) -> dict[str, Any]:
            done = await execute(
                ctx.log,
                f"events.governance.{intent_id}",
                initial=INITIAL,
                evolve=evolve,
                decide=lambda state: _decided(decide, state),
                meta=_meta(ctx, request, correlation_id=intent_id),
            )
            await ctx.views.reach(done.position)
            row = ctx.views.get(GLASS, intent_id)
            found = row.model_dump(mode="json") if row else {}
            return {**found, "position": done.position}

    return Emergencies


def _decided(decide: Any, state: State) -> Sequence[Event]:
    events: Sequence[Event] = decide(state)
    return events


def _delegations(ctx: Context, people: People) -> type[Controller]:
    class Delegations(Controller):
        path = "/governance/delegations"
        tags = ("governance",)

        @get("/", responses=answered("GET /governance/delegations"))
        async def standing(self) -> dict[str, Any]:
            """Who may answer for whom, and until when."""
            return await _standing(ctx)

        @post("/", status_code=201, responses=answered("POST /governance/delegations"))
        async def delegated(
            self, data: JSONBody[DelegationRequest], request: AnyRequest
        ) -> dict[str, Any]:
            """Let somebody answer in your place until a moment (at most 30 days)."""
            person = person_of(request)
            command = Delegate(
                approver=person.name,
                roles=person.roles,
                delegate=data.delegate,
                known=await ctx.auth.people(),
                until=data.until,
                reason=data.reason,
                at=ctx.clock.now(),
            )
            return await self._append(request, lambda s: delegation.delegate(command, s))

        @delete(
            "/{approver:str}/{delegate:str}",
            status_code=200,
            responses=answered("DELETE /governance/delegations/{approver}/{delegate}"),
        )
        async def ended(
            self, approver: FromPath[str], delegate: FromPath[str], request: AnyRequest
        ) -> dict[str, Any]:
            """End a delegation before its time."""
            person = person_of(request)
            command = EndDelegation(
                approver=approver,
                delegate=delegate,
                by=person.name,
                roles=person.roles,
                at=ctx.clock.now(),
            )
            return await self._append(request, lambda s: delegation.end(command, s))

        async def _append(self, request: AnyRequest, decide: Any) -> dict[str, Any]:
            initial: delegation.Delegations = {}
            done = await execute(
                ctx.log,
                delegation.SUBJECT,
                initial=initial,
                evolve=delegation.evolve,
                decide=decide,
                meta=_meta(ctx, request),
            )
            return {**await _standing(ctx), "position": done.position}

    return Delegations


async def _standing(ctx: Context) -> dict[str, Any]:
    history = await ctx.log.read(delegation.SUBJECT)
    state = delegation.fold(recorded.event for recorded in history)
    active = delegation.active(state, ctx.clock.now())
    return {
        "items": [event.model_dump(mode="json", exclude={"type", "stream"}) for event in active]
    }


def _past(ctx: Context, moment: Any) -> bool:
    return bool(moment < ctx.clock.now())


def _meta(ctx: Context, request: AnyRequest, *, correlation_id: str = "") -> Meta:
    return Meta(
        command_id=command_id(request),
        actor=person_of(request).name,
        correlation_id=correlation_id,
        source=ctx.service,
    )
