"""The sovereign factory's HTTP endpoints (CONTRACTS section 5)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain import component
from domain.errors import Invalid, NotFound
from domain.event import Event
from domain.intake import settle
from domain.intent import RawIntent, Submission
from domain.spec.draft import NeedsDetail, draft
from domain.spec.model import Spec, SpecInvalid, problems_of, read_spec, spec_digest
from domain.spec.optimize import optimize
from domain.spec.parse import parse
from domain.spec.render import difference, render
from domain.spec.score import score
from infra import spec_cel
from infra.http import command_id, listing, person_of
from infra.ports import Context
from projections.specs import PIPELINES, SPECS, PipelineRow, SpecRow, Stage
from services.sovereign_factory.assembly import Assembly, errors
from services.sovereign_factory.beyond import losses
from services.sovereign_factory.step import answer

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]
RECENT = 10
UNNAMED = "unnamed-service"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Given(BaseModel):
    """A SPEC to look at: as JSON (``spec``), or as the text of a SPEC.md (``markdown``).

    ``service_name`` and ``purpose`` complete a ``spec`` that is only the object of an intent.
    """

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any] | None = None
    markdown: str | None = Field(default=None, max_length=500_000)
    service_name: str = ""
    purpose: str = ""
    gate: float | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def _one(self) -> "Given":
        if (self.spec is None) == (self.markdown is None):
            raise ValueError("give either spec or markdown")
        return self


class Detail(BaseModel):
    """A person's answer to the factory's questions: a ``spec`` object, laid over the intent's own.

    ``without_custom`` gives up the handlers that the intent asked a model to write.
    """

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any] = Field(default_factory=dict)
    without_custom: bool = False


def routes(ctx: Context, assembly: Assembly) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (_specs(ctx), _tools(ctx), _answers(ctx, assembly), _overview(ctx))


def read(given: Given) -> Spec:
    """Return the SPEC that a request carries.

    Raises:
        Invalid: it is not one; with the first place that is wrong.
    """
    try:
        if given.markdown is not None:
            return parse(given.markdown)
        document = given.spec or {}
        if "records" not in document and _INTENT_ONLY.intersection(document):
            return _of_intent(document)
        named = {"service_name": given.service_name or UNNAMED, "purpose": given.purpose}
        return read_spec({**named, **document})
    except SpecInvalid as invalid:
        raise _invalid(invalid, "spec" if given.spec is not None else "markdown") from None
    except NeedsDetail as lacking:
        raise Invalid("spec", str(lacking)) from None


_INTENT_ONLY = frozenset(("spec", "service_type", "submitted_by", "target_tier", "auto_build"))


def _of_intent(document: dict[str, Any]) -> Spec:
    """What the factory would make of an intent."""
    try:
        given = Submission.model_validate(document)
    except ValidationError as error:
        problem = problems_of(error)[0]
        raise Invalid(f"spec.{problem.path}", problem.message) from None
    raw = RawIntent(at=_ANY_TIME, subject_name="", body=b"")  # as if anyone had published it
    settled = settle(given, raw=raw, position=0)
    return draft(settled, judge=spec_cel.judge).spec


def _invalid(invalid: SpecInvalid, prefix: str) -> Invalid:
    first = invalid.problems[0]
    more = "".join(f"; {problem}" for problem in invalid.problems[1:])
    return Invalid(f"{prefix}.{first.path}".rstrip("."), f"{first.message}{more}")


def _found(ctx: Context, intent_id: str) -> SpecRow:
    row = ctx.views.get(SPECS, intent_id)
    if row is None:
        raise NotFound(f"no SPEC for intent {intent_id}")
    return row


def _summary(row: SpecRow) -> dict[str, Any]:
    return {
        "id": row.intent_id,
        **row.model_dump(mode="json", include={
            "intent_id", "attempt", "service_name", "version", "status", "digest", "drafter",
            "questions", "at", "last_position",
        }),
        "score": row.score.total if row.score else None,
        "grade": row.score.grade if row.score else None,
        "findings": len(row.score.findings) if row.score else 0,
    }  # fmt: skip


def _specs(ctx: Context) -> type[Controller]:
    class Specs(Controller):
        path = "/specs"
        tags = ("specs",)

        @get("/")
        async def listing(
            self,
            status: FromQuery[Literal["drafted", "accepted", "needs_detail"] | None] = None,
            service: FromQuery[str] = "",
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """SPECs, the one changed last first."""
            where = {"status": status, "service_name": service or None}
            return listing(
                ctx.views,
                SPECS,
                _summary,
                where=where,
                text=q,
                order="last_position",
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

        @get("/schema.json")
        async def schema(self) -> dict[str, Any]:
            """The JSON Schema of a SPEC."""
            return Spec.model_json_schema(by_alias=True)

        @get("/{intent_id:str}")
        async def one(self, intent_id: FromPath[str]) -> dict[str, Any]:
            """One SPEC with its score, findings, questions and history."""
            row = _found(ctx, intent_id)
            return {
                **_summary(row),
                "spec": row.document or None,
                "score": row.score.model_dump(mode="json") if row.score else None,
                "total": row.score.total if row.score else None,
                "notes": list(row.notes),
                "history": [step.model_dump(mode="json") for step in row.history],
            }

        @get("/{intent_id:str}/SPEC.md")
        async def markdown(self, intent_id: FromPath[str]) -> Response[str]:
            """The SPEC as Markdown."""
            row = _found(ctx, intent_id)
            if not row.document:
                raise NotFound(f"the SPEC of {intent_id} needs detail first")
            document = row.document
            known = component.is_component(document)
            text = component.render(document) if known else render(read_spec(document))
            return Response(text, media_type="text/markdown")

    return Specs


def _tools(ctx: Context) -> type[Controller]:
    class Tools(Controller):
        path = "/specs"
        tags = ("specs",)

        @post("/verify", status_code=200, opt={"reads": True})
        async def verify(self, data: JSONBody[Given]) -> dict[str, Any]:
            """Score a SPEC; records nothing."""
            spec = read(data)
            scored = score(spec, losses(spec, ctx.views))
            gate = ctx.settings.spec_gate if data.gate is None else data.gate
            return {
                "service_name": spec.service_name,
                "digest": spec_digest(spec),
                **scored.model_dump(mode="json"),
                "gate": gate,
                "passes": scored.total >= gate and not errors(scored),
            }

        @post("/optimize", status_code=200, opt={"reads": True})
        async def improve(self, data: JSONBody[Given]) -> dict[str, Any]:
            """Improve a SPEC as far as its own words allow; records nothing."""
            spec = read(data)
            gate = ctx.settings.spec_gate if data.gate is None else data.gate
            beyond = losses(spec, ctx.views)
            better = optimize(spec, gate, outside=beyond, judge=spec_cel.judge)
            return {
                "before": score(spec, beyond).total,
                "after": better.score.total,
                "score": better.score.model_dump(mode="json"),
                "gate": gate,
                "passes": better.score.total >= gate and not errors(better.score),
                "changes": list(better.changes),
                "missing": list(better.missing),
                "diff": difference(spec, better.spec),
                "spec": better.spec.document(),
                "markdown": render(better.spec),
            }

    return Tools


def _answers(ctx: Context, assembly: Assembly) -> type[Controller]:
    class Answers(Controller):
        path = "/specs"
        tags = ("specs",)

        @post("/{intent_id:str}/detail", status_code=200)
        async def detail(
            self, intent_id: FromPath[str], data: JSONBody[Detail], request: AnyRequest
        ) -> dict[str, Any]:
            """Answer the questions of a SPEC that needs detail."""
            person = person_of(request).name
            try:
                events, position = await answer(
                    ctx,
                    assembly,
                    intent_id,
                    data.spec,
                    without_custom=data.without_custom,
                    person=person,
                    command_id=command_id(request),
                )
            except SpecInvalid as invalid:
                raise _invalid(invalid, "spec") from None
            except NeedsDetail as lacking:
                raise Invalid("spec", str(lacking)) from None
            return {**_outcome(events[-1]), "intent_id": intent_id, "position": position}

    return Answers


def _outcome(event: Event) -> dict[str, Any]:
    questions = list(getattr(event, "questions", ()))
    status = "needs_detail" if questions else "accepted"
    return {"status": status, "score": getattr(event, "score", None), "questions": questions}


def _overview(ctx: Context) -> type[Controller]:
    class Overview(Controller):
        tags = ("pipelines",)

        @get("/pipelines")
        async def pipelines(
            self,
            stage: FromQuery[Stage | None] = None,
            ended: FromQuery[bool | None] = None,
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Every intent on its way to a running service, the newest first."""
            where = {"stage": stage, "ended": ended}
            return listing(
                ctx.views,
                PIPELINES,
                _pipeline,
                where=where,
                text=q,
                order="position",
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

        @get("/dashboard")
        async def dashboard(self) -> dict[str, Any]:
            """Counts, scores and the newest pipelines: what a page shows first."""
            return _dashboard(ctx)

    return Overview


def _pipeline(row: PipelineRow) -> dict[str, Any]:
    hidden = {"intent", "governance", "rank"}
    return {
        **row.model_dump(mode="json", exclude=hidden),
        "purpose": row.intent.purpose,
        "tier": row.intent.target_tier,
        "priority": row.intent.priority,
        "kind": row.intent.kind,
    }


def _dashboard(ctx: Context) -> dict[str, Any]:
    views = ctx.views
    stages = ("governance", "spec", "needs_detail", "build", "deploy", "done", "ended")
    scored = [row.total for row in views.all(SPECS) if row.total >= 0]
    newest = views.page(PIPELINES, order="position", descending=True, limit=RECENT)
    waiting = views.page(
        SPECS, where={"status": "needs_detail"}, order="last_position", limit=RECENT
    )
    return {
        "service": ctx.service,
        "gate": ctx.settings.spec_gate,
        "pipelines": {stage: views.count(PIPELINES, stage=stage) for stage in stages},
        "specs": {
            "total": views.count(SPECS),
            "accepted": views.count(SPECS, status="accepted"),
            "needs_detail": views.count(SPECS, status="needs_detail"),
            "average_score": round(sum(scored) / len(scored), 1) if scored else None,
            "best_score": max(scored, default=None),
            "worst_score": min(scored, default=None),
        },
        "needs_detail": [_summary(row) for row in waiting.rows],
        "recent": [_pipeline(row) for row in newest.rows],
        "position": views.position,
    }
