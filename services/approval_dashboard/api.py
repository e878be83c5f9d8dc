"""The dashboard's JSON endpoints (CONTRACTS section 5)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Controller, Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import PhoenixError
from domain.governance_events import Mode
from infra.http import command_id, person_of
from infra.ports import Context
from services.approval_dashboard import commands, present
from services.approval_dashboard.appending import By

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]
_BATCH_MAX = 100


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Approve(_Body):
    """``digest``: refuse (409) unless exactly this is what is asked."""

    comment: str = Field(default="", max_length=2000)
    digest: str = Field(default="", max_length=64)


class Reject(_Body):
    """``digest``: refuse (409) unless exactly this was shown under the id in the address."""

    reason: str = Field(default="", max_length=2000)  # required, and refused by name when missing
    digest: str = Field(default="", max_length=64)


class Answer(_Body):
    """One answer of a batch; ``id`` is the approval's or the intent's."""

    id: str = Field(min_length=1, max_length=200)
    action: Literal["approve", "reject"]
    reason: str = Field(default="", max_length=2000)
    comment: str = Field(default="", max_length=2000)
    digest: str = Field(default="", max_length=64)


class Batch(_Body):
    """Either ``answers``, each with its own action, or one ``action`` for many ``ids``."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"answers": [{"id": "…", "action": "approve"}]},
                {"ids": ["…", "…"], "action": "reject", "reason": "not this quarter"},
            ]
        },
    )

    answers: tuple[Answer, ...] = Field(default=(), max_length=_BATCH_MAX)
    ids: tuple[str, ...] = Field(default=(), max_length=_BATCH_MAX)
    action: Literal["approve", "reject"] | None = None
    reason: str = Field(default="", max_length=2000)
    comment: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _one_way(self) -> "Batch":
        if bool(self.answers) == bool(self.ids):
            raise ValueError("give either answers or ids")
        if self.ids and self.action is None:
            raise ValueError("say which action: approve or reject")
        return self

    def all(self) -> Sequence[Answer]:
        if self.answers:
            return self.answers
        assert self.action is not None
        return [
            Answer(id=id, action=self.action, reason=self.reason, comment=self.comment)
            for id in self.ids
        ]


class ModeChange(_Body):
    mode: Mode
    user_present: bool | None = None
    reason: str = Field(default="", max_length=2000)


def routes(ctx: Context) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (_approvals(ctx), _overview(ctx))


def by_of(request: AnyRequest, *, part: str = "") -> By:
    """Who sends this request; ``part`` tells the answers of one batch apart."""
    return By(person=person_of(request), command_id=command_id(request) + part)


def _approvals(ctx: Context) -> type[Controller]:
    class Approvals(Controller):
        path = "/api/approvals"
        tags = ("approvals",)

        @get("/pending")
        async def pending(self) -> dict[str, Any]:
            """What waits for people, with the evidence, conditions and digest of each."""
            items = [present.as_json(found) for found in present.waiting(ctx)]
            return {"items": items, "total": present.totals(ctx).pending}

        @get("/history")
        async def history(
            self,
            status: FromQuery[
                Literal["granted", "rejected", "expired", "overridden", "withdrawn"] | None
            ] = None,
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """What people have answered, and what ended without them; the newest first."""
            page = present.history(ctx, status=status or "", limit=limit, cursor=cursor)
            items = [row.model_dump(mode="json", exclude={"expires_ts"}) for row in page.rows]
            return {"items": items, "cursor": page.cursor, "total": page.total}

        @get("/{id:str}")
        async def one(self, id: FromPath[str]) -> dict[str, Any]:
            """The newest question about an intent, by its id, an earlier one's or the intent's."""
            return present.as_json(present.waits(ctx, await commands.find(ctx, id)))

        @post("/{id:str}/approve", status_code=200)
        async def approve(
            self, id: FromPath[str], request: AnyRequest, data: JSONBody[Approve | None] = None
        ) -> dict[str, Any]:
            """Approve it. 409 when it has ended or what was shown is no longer what is asked."""
            body = data or Approve()
            position = await commands.approve(
                ctx, id, by_of(request), digest=body.digest, comment=body.comment
            )
            return await _answered(ctx, id, position)

        @post("/{id:str}/reject", status_code=200)
        async def reject(
            self, id: FromPath[str], request: AnyRequest, data: JSONBody[Reject | None] = None
        ) -> dict[str, Any]:
            """Reject it with a reason; 422 without one. A no also holds when changed policies have
            asked the same again since: ``approval_id`` is that of the question it ended."""
            body = data or Reject()
            position = await commands.reject(
                ctx, id, by_of(request), reason=body.reason, digest=body.digest
            )
            return await _answered(ctx, id, position)

        @post("/batch", status_code=200)
        async def batch(self, data: JSONBody[Batch], request: AnyRequest) -> dict[str, Any]:
            """Answer up to 100 questions; each has its own result, in their order."""
            results = [await _result(ctx, answer, request) for answer in data.all()]
            position = max((int(result.get("position", 0)) for result in results), default=0)
            return {"results": results, "position": position}

    return Approvals


def _overview(ctx: Context) -> type[Controller]:
    class Overview(Controller):
        path = "/api"
        tags = ("dashboard",)

        @get("/dashboard/summary")
        async def summary(self) -> dict[str, Any]:
            """Intents by status, what waits, today's decisions, the mode, the last decisions."""
            totals = present.totals(ctx)
            return {
                "pending_approvals": totals.pending,
                "pending_steps": totals.held,
                "pending_questions": totals.questions,
                "open_intents": totals.open,
                "total_intents": totals.total,
                "intents_by_status": totals.by_status,
                "today": present.day_as_json(totals.today),
                "auto_approval_rate": totals.auto_rate,
                "services": totals.services,
                "services_degraded": totals.degraded,
                "mode": present.mode(ctx)["mode"],
                "user_present": present.mode(ctx)["user_present"],
                "recent_decisions": [
                    row.model_dump(mode="json", exclude={"inputs"})
                    for row in present.decisions(ctx, 10)
                ],
                "position": ctx.views.position,
            }

        @get("/analytics/daily")
        async def daily(
            self, days: Annotated[int, QueryParameter(ge=1, le=366)] = 30
        ) -> dict[str, Any]:
            """What happened on each of the last days (UTC), oldest first."""
            return {"items": [present.day_as_json(day) for day in present.last_days(ctx, days)]}

        @get("/governance/mode")
        async def mode(self) -> dict[str, Any]:
            """The mode in force, since when and by whom."""
            return present.mode(ctx)

        @post("/governance/mode", status_code=200)
        async def change(self, data: JSONBody[ModeChange], request: AnyRequest) -> dict[str, Any]:
            """Change the mode, or whether somebody is present."""
            position = await commands.change_mode(
                ctx,
                by_of(request),
                mode=data.mode,
                user_present=data.user_present,
                reason=data.reason,
            )
            return {**present.mode(ctx), "position": position}

    return Overview


async def _answered(ctx: Context, id: str, position: int) -> dict[str, Any]:
    row = await commands.find(ctx, id)
    answer = row.model_dump(mode="json", include=_SHOWN)
    return {**answer, "granted_by": list(row.granted_by), "position": position}


_SHOWN = {"approval_id", "intent_id", "service_name", "status", "quorum", "warning", "reason"}


async def _result(ctx: Context, answer: Answer, request: AnyRequest) -> dict[str, Any]:
    by = by_of(request, part=f"/{answer.id}")
    try:
        if answer.action == "approve":
            position = await commands.approve(
                ctx, answer.id, by, digest=answer.digest, comment=answer.comment
            )
        else:
            position = await commands.reject(
                ctx, answer.id, by, reason=answer.reason, digest=answer.digest
            )
    except PhoenixError as error:
        return {"id": answer.id, "status_code": commands.status_of(error), "detail": str(error)}
    return {"id": answer.id, "status_code": 200, **await _answered(ctx, answer.id, position)}
