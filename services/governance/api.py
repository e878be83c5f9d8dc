"""Governance's HTTP endpoints (CONTRACTS section 5): the nine, and the three beyond them."""

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID, uuid5

from litestar import Controller, Request, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from pydantic import ValidationError

from domain.errors import DomainError, IllegalTransition, Invalid, NotAllowed, NotFound
from domain.governance import (
    APPROVER_ROLES,
    INITIAL,
    NAMESPACE,
    Override,
    decide_override,
    evolve,
)
from domain.governance_events import Decision, Mode, ModeChanged, RiskLevel
from domain.intake import first_error, settle
from domain.intent import Intent, IntentRefused, RawIntent, Submission
from domain.policy import inputs_of
from infra.commands import execute
from infra.http import command_id, listing, person_of
from infra.ports import Context, Meta, Person
from infra.vouching import signatures
from projections.governance import (
    AUDIT,
    DECISIONS,
    MODE,
    MODE_KEY,
    OVERRIDES,
    POLICIES,
    DecisionRow,
)
from services.governance import answers, people_api
from services.governance.adopt import adopt, retire
from services.governance.assess import Evaluator
from services.governance.examples import answered
from services.governance.models import (
    Adoption,
    Check,
    ModeChange,
    OverrideRequest,
    Simulation,
    ToDecide,
)
from services.governance.people import People
from services.governance.provenance import provenance
from services.governance.replay import replay, simulate
from services.governance.rulebook import Rulebook
from services.governance.surroundings import dependents

_DECIDE_WAIT_S = 10.0
AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


def routes(
    ctx: Context, rulebook: Rulebook, evaluator: Evaluator, people: People, *, first_mode: Mode
) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (
        _evaluation(ctx, rulebook, evaluator),
        _rules(ctx, rulebook, first_mode),
        _history(ctx, rulebook, evaluator),
        *people_api.routes(ctx, people),
    )


def _evaluation(ctx: Context, rulebook: Rulebook, evaluator: Evaluator) -> type[Controller]:
    class Evaluation(Controller):
        path = "/governance"
        tags = ("governance",)

        @post(
            "/check-alignment",
            status_code=200,
            opt={"reads": True},
            responses=answered("POST /governance/check-alignment"),
        )
        async def check(self, data: JSONBody[Check]) -> dict[str, Any]:
            """How an intent would be assessed and decided now. Records nothing."""
            intent = _settled(ctx, data)
            radius = dependents(ctx).of(intent.service_name)
            assessment = await evaluator.assess(intent, radius)
            rules = rulebook.current()
            at = ctx.clock.now()
            inputs = inputs_of(
                intent, assessment, mode=rules.mode, user_present=rules.user_present, at=at
            )
            outcome = rules.conditions.outcome(rules.mode, inputs)
            answer = answers.assessed(assessment, outcome, at)
            return {**answer, "mode": rules.mode, "bundle_digest": rules.conditions.digest}

        @post("/decide", status_code=200, responses=answered("POST /governance/decide"))
        async def decide(self, data: JSONBody[ToDecide], request: AnyRequest) -> dict[str, Any]:
            """The recorded decision on an intent; a new intent is submitted first."""
            if data.intent_id is not None:
                return await _decision(ctx, str(data.intent_id), 0)
            intent = dict(data.intent or {})
            own = uuid5(NAMESPACE, f"{command_id(request)}/intent")
            intent_id = str(intent.setdefault("intent_id", str(own)))
            body = json.dumps(intent).encode()
            position = await ctx.log.submit(body, person=person_of(request).name)
            return await _decision(ctx, _canonical_id(intent_id), position)

        @post("/override", status_code=200, responses=answered("POST /governance/override"))
        async def override(
            self, data: JSONBody[OverrideRequest], request: AnyRequest
        ) -> dict[str, Any]:
            """A person decides differently. The decision itself stays as it was."""
            person = _approver(request)
            intent_id = data.intent_id or _row(ctx, data.decision_id).intent_id
            command = Override(
                intent_id=intent_id,
                decision_id=data.decision_id,
                decision=data.decision,
                by=person.name,
                roles=person.roles,
                reason=data.reason,
                at=ctx.clock.now(),
            )
            done = await execute(
                ctx.log,
                f"events.governance.{intent_id}",
                initial=INITIAL,
                evolve=evolve,
                decide=lambda state: decide_override(command, state),
                meta=_meta(ctx, request, correlation_id=intent_id),
            )
            history = await ctx.log.read(f"events.governance.{intent_id}")
            answer = answers.decided(history) or {}
            return {**answer, "overridden_to": data.decision, "position": done.position}

    return Evaluation


def _rules(ctx: Context, rulebook: Rulebook, first_mode: Mode) -> type[Controller]:
    class Rules(Controller):
        path = "/governance"
        tags = ("governance",)

        @get("/mode", responses=answered("GET /governance/mode"))
        async def mode(self) -> dict[str, Any]:
            """The mode in force, since when and by whom, and whether somebody is present."""
            return _mode(ctx, first_mode)

        @post("/mode", status_code=200, responses=answered("POST /governance/mode"))
        async def change(self, data: JSONBody[ModeChange], request: AnyRequest) -> dict[str, Any]:
            """Change the mode, or who is present."""
            person = _approver(request)

            def _decide(last: ModeChanged | None) -> Sequence[ModeChanged]:
                if last and last.mode == data.mode and data.user_present in (None, present(last)):
                    return ()
                return (
                    ModeChanged(
                        at=ctx.clock.now(),
                        mode=data.mode,
                        previous=last.mode if last else None,
                        by=person.name,
                        reason=data.reason,
                        user_present=data.user_present,
                    ),
                )

            def present(_: ModeChanged) -> bool:
                return rulebook.current().user_present

            done = await execute(
                ctx.log,
                "events.governance.mode",
                initial=None,
                evolve=lambda _, event: event,
                decide=_decide,
                meta=_meta(ctx, request),
            )
            await ctx.views.reach(done.position)
            return {**_mode(ctx, first_mode), "position": done.position}

        @get("/policies", responses=answered("GET /governance/policies"))
        async def policies(self) -> dict[str, Any]:
            """The policies in force, highest priority first, and those retired."""
            return await _in_force(ctx, rulebook)

        @post("/policies", status_code=201, responses=answered("POST /governance/policies"))
        async def adopted(self, data: JSONBody[Adoption], request: AnyRequest) -> dict[str, Any]:
            """Adopt a policy or a bundle, after type check and its own tests; same id replaces."""
            person = _approver(request)
            done = await adopt(ctx, data, by=person.name, meta=_meta(ctx, request))
            await ctx.views.reach(done.position)
            return {**await _in_force(ctx, rulebook), "position": done.position}

        @delete(
            "/policies/{policy_id:str}",
            status_code=200,
            responses=answered("DELETE /governance/policies/{policy_id}"),
        )
        async def retired(
            self, policy_id: FromPath[str], request: AnyRequest, reason: FromQuery[str] = ""
        ) -> dict[str, Any]:
            """Retire a policy; the reason is kept with it."""
            person = _approver(request)
            meta = _meta(ctx, request)
            done = await retire(ctx, policy_id, by=person.name, reason=reason, meta=meta)
            await ctx.views.reach(done.position)
            return {**await _in_force(ctx, rulebook), "position": done.position}

        @post(
            "/simulate",
            status_code=200,
            opt={"reads": True},
            responses=answered("POST /governance/simulate"),
        )
        async def simulated(self, data: JSONBody[Simulation]) -> dict[str, Any]:
            """Run a candidate bundle over every recorded decision and show what would change."""
            return await simulate(ctx, rulebook.conditions().bundle, data)

    return Rules


def _history(ctx: Context, rulebook: Rulebook, evaluator: Evaluator) -> type[Controller]:
    class History(Controller):
        path = "/governance"
        tags = ("governance",)

        @get("/decisions", responses=answered("GET /governance/decisions"))
        async def decisions(
            self,
            decision: FromQuery[Decision | None] = None,
            intent_id: FromQuery[str | None] = None,
            mode: FromQuery[Mode | None] = None,
            risk_level: FromQuery[RiskLevel | None] = None,
            tier: Annotated[int | None, QueryParameter(ge=0, le=3)] = None,
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Decisions, newest first."""
            where = {
                "decision": decision,
                "intent_id": intent_id,
                "mode": mode,
                "risk_level": risk_level,
                "tier": tier,
            }
            return listing(
                ctx.views,
                DECISIONS,
                lambda row: answers.listed(row, ctx.views.get(OVERRIDES, row.intent_id)),
                where=where,
                text=q,
                order="position",
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

        @get(
            "/decisions/{decision_id:str}",
            responses=answered("GET /governance/decisions/{decision_id}"),
        )
        async def one(self, decision_id: FromPath[str]) -> dict[str, Any]:
            """One decision (by its id or its intent's) with evidence, conditions and answers."""
            row = _row(ctx, decision_id)
            history = await ctx.log.read(f"events.governance.{row.intent_id}")
            answer = answers.full(history, row.decision_id)
            if answer is None:
                raise NotFound(f"no decision {decision_id}")
            intents = await ctx.log.read(f"events.intent.{row.intent_id}", limit=1)
            intent = intents[0].event.model_dump(mode="json")["intent"] if intents else None
            return {**answer, "intent": intent}

        @post(
            "/decisions/{decision_id:str}/replay",
            status_code=200,
            opt={"reads": True},
            responses=answered("POST /governance/decisions/{decision_id}/replay"),
        )
        async def again(self, decision_id: FromPath[str]) -> dict[str, Any]:
            """Decide again from what was recorded; ``identical`` compares byte by byte."""
            return await replay(ctx, _row(ctx, decision_id), evaluator.blueprint)

        @get("/audit", responses=answered("GET /governance/audit"))
        async def audit(
            self,
            intent_id: FromQuery[str | None] = None,
            type: FromQuery[str | None] = None,
            service: FromQuery[str] = "",
            q: FromQuery[str] = "",
            limit: Limit = 50,
            cursor: FromQuery[str] = "",
        ) -> dict[str, Any]:
            """Every governance event, newest first: who decided what, why, and where in the log.

            With ``service``: why that service runs, who allowed it and with what it was made.
            """
            if service:
                return await provenance(ctx, service)
            where: dict[str, Any] = {"intent_id": intent_id}
            if type is not None:
                where["type"] = type if "." in type else f"{type}.v1"
            return listing(
                ctx.views,
                AUDIT,
                lambda row: row.model_dump(mode="json"),
                where=where,
                text=q,
                newest_first=True,
                limit=limit,
                cursor=cursor,
            )

    return History


def _settled(ctx: Context, data: Check) -> Intent:
    """The intent as the queue would settle it, were it submitted now."""
    try:
        submission = Submission.model_validate(data.intent)
    except ValidationError as error:
        field, message = first_error(error)
        raise Invalid(f"intent.{field}" if field else "intent", message) from None
    if data.blueprint_context:
        submission = submission.model_copy(update={"blueprint_context": data.blueprint_context})
    raw = RawIntent(at=ctx.clock.now(), subject_name="submit", body=b"")
    return settle(submission, raw=raw, position=0)


def _canonical_id(intent_id: str) -> str:
    try:
        return str(UUID(intent_id))
    except ValueError:
        return intent_id


async def _decision(ctx: Context, intent_id: str, raw_position: int) -> dict[str, Any]:
    """Wait for the leader's decision on an intent.

    Raises:
        NotFound: there is no such intent.
        IllegalTransition: the intent was refused at the door, or is not decided in time.
    """
    subject = f"events.governance.{intent_id}"
    deadline = time.monotonic() + _DECIDE_WAIT_S
    while True:
        answer = answers.decided(await ctx.log.read(subject))
        if answer is not None:
            return answer
        if raw_position:
            await _raise_if_refused(ctx, raw_position)
        elif await ctx.log.last(f"events.intent.{intent_id}") is None:
            raise NotFound(f"no intent {intent_id}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise IllegalTransition(f"intent {intent_id} is not decided yet; ask again")
        await ctx.views.changed(timeout_s=min(left, 0.25))


async def _raise_if_refused(ctx: Context, raw_position: int) -> None:
    found = await ctx.log.last(f"events.intent.refused-{raw_position}")
    if found is None or not isinstance(found.event, IntentRefused):
        return
    refused = found.event
    if refused.code == "repeated":
        return  # the same intent again: its decision is the answer
    if refused.field and refused.code in ("invalid", "malformed"):
        raise Invalid(f"intent.{refused.field}", refused.reason)
    raise DomainError(f"{refused.code}: {refused.reason}")


def _row(ctx: Context, decision_id: str) -> DecisionRow:
    row = ctx.views.get(DECISIONS, decision_id)
    if row is not None:
        return row
    rows = ctx.views.all(DECISIONS, intent_id=decision_id)
    if not rows:
        raise NotFound(f"no decision {decision_id}")
    return max(rows, key=lambda found: found.position)


def _approver(request: AnyRequest) -> Person:
    person = person_of(request)
    if not person.roles & APPROVER_ROLES:
        raise NotAllowed("this takes the role approver or admin")
    return person


def _meta(ctx: Context, request: AnyRequest, *, correlation_id: str = "") -> Meta:
    return Meta(
        command_id=command_id(request),
        actor=person_of(request).name,
        correlation_id=correlation_id,
        source=ctx.service,
    )


def _mode(ctx: Context, first_mode: Mode) -> dict[str, Any]:
    row = ctx.views.get(MODE, MODE_KEY)
    if row is None:
        return {
            "mode": first_mode,
            "user_present": False,
            "by": "settings",
            "reason": "",
            "since": None,
        }
    return row.model_dump(mode="json", exclude={"last_position"})


async def _in_force(ctx: Context, rulebook: Rulebook) -> dict[str, Any]:
    """The policies in force and those retired, and who vouches for each."""
    conditions = rulebook.conditions()
    answer = answers.policies(ctx.views.all(POLICIES), conditions.bundle, conditions.digest)
    vouched = await signatures(ctx.log, ctx.data_dir)
    return {**answer, "mode": rulebook.current().mode, "signatures": vouched}
