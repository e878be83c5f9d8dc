"""What people do here, each as one append under the version of what it is about."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, get_args
from urllib.parse import quote

import httpx

from domain import build, governance
from domain.build import Approvable
from domain.errors import (
    ConflictError,
    DomainError,
    IllegalTransition,
    Invalid,
    NotAllowed,
    NotFound,
    TransientError,
)
from domain.event import Event
from domain.governance import APPROVER_ROLES, Grant, Reject
from domain.governance_events import ApprovalBound, Mode, ModeChanged
from domain.intent import IntentQueued
from domain.policy import POLICIES_SUBJECT, Bundle, bundle_after
from infra.ports import Context, Guard, Person
from infra.settings import BASE_PORTS
from infra.trust import TRUST
from projections.builds import BUILDS, BuildRow
from projections.governance import APPROVALS, ApprovalRow
from services.approval_dashboard.appending import By, append, shown
from services.approval_dashboard.standing_in import principal

_REASON_CHARS_MAX = 2000
_POLICY_CHANGES_MAX = 5  # so often they may change while one approval is recorded
_ANSWER_S = 30.0  # the factory may have a model read it; governance may have a long history
_OVERRIDES: tuple[Literal["auto_approve", "blocked"], ...] = ("auto_approve", "blocked")
_Decide = Callable[[governance.State], Sequence[Event]]


async def find(ctx: Context, id: str) -> ApprovalRow:
    """The newest question to people about the intent that this id is of, or that a question with
    this id is or was about.

    Raises:
        NotFound: there is none.
    """
    row = _row(ctx, id)
    if row is None:
        # It may have been asked a moment ago, so that another instance already shows it.
        await ctx.views.reach(await ctx.log.last_position())
        row = _row(ctx, id) or _replaced(ctx, id)
    if row is None:
        raise NotFound(f"no approval {id}")
    return row


def _row(ctx: Context, id: str) -> ApprovalRow | None:
    row = ctx.views.get(APPROVALS, id)
    if row is not None:
        return row
    return next(iter(ctx.views.all(APPROVALS, approval_id=id)), None)


def _replaced(ctx: Context, id: str) -> ApprovalRow | None:
    rows: Sequence[ApprovalRow] = ctx.views.page(APPROVALS, text=id, limit=10).rows
    return next((row for row in rows if any(a.approval_id == id for a in row.earlier)), None)


async def approve(ctx: Context, id: str, by: By, *, digest: str = "", comment: str = "") -> int:
    """Grant it; return the position. Without a digest, what was asked under this id is meant.

    Raises:
        NotFound: there is no such approval.
        NotAllowed: this person may not approve it.
        IllegalTransition: it has ended, another question has replaced it, or what was shown is no
            longer what is asked; or only the intent was named, and it was asked about repeatedly.
    """
    row = await find(ctx, id)
    if not digest and id == row.intent_id and row.earlier:
        text = "it was asked more than once: name the question or its digest"
        raise IllegalTransition(f"{text}; the newest is {row.approval_id}")
    if id not in (row.intent_id, row.approval_id):
        raise IllegalTransition(f"it was asked again since, as {row.approval_id}: look at it again")
    for _ in range(_POLICY_CHANGES_MAX):
        try:
            return await _grant(ctx, row, by, digest=digest, comment=comment)
        except ConflictError as error:
            if error.subject != POLICIES_SUBJECT:
                raise
    raise ConflictError(POLICIES_SUBJECT)


async def _grant(ctx: Context, row: ApprovalRow, by: By, *, digest: str, comment: str) -> int:
    """Raises ConflictError on the policies' subject: they were changed between look and append."""
    approvers = await _approvers(ctx)
    intent_id = row.intent_id
    queued = await _newest_question(ctx, intent_id)
    stands_for = await principal(ctx, by.person, approvers)
    recent = _recent(ctx, by.person)
    in_force, changed_at = await _policies(ctx)

    def decide(state: governance.State) -> Sequence[Event]:
        asked = state.decision
        current = (
            governance.shown_digest(queued.intent, asked, bundle_digest=in_force)
            if queued and asked
            else ""
        )
        command = Grant(
            intent_id=intent_id,
            approval_id=row.approval_id,
            digest=digest or row.digest,
            approver=by.person.name,
            roles=by.person.roles,
            approvers=approvers,
            submitted_by=row.submitted_by,
            at=ctx.clock.now(),
            current=current if row.subject_type == "intent" else "",
            comment=comment,
            on_behalf_of=stands_for,
            recent=recent,
        )
        granted = governance.decide_approval(command, state)
        bound = ApprovalBound(
            intent_id=intent_id,
            at=command.at,
            approval_id=row.approval_id,
            approver=command.approver,
            bundle_digest=in_force,
            policies=changed_at,
        )
        return (*granted, bound) if granted else ()

    guard = Guard(POLICIES_SUBJECT, changed_at)
    return await _answer(ctx, intent_id, decide, by, guard=guard)


async def reject(ctx: Context, id: str, by: By, *, reason: str, digest: str = "") -> int:
    """Reject it, also when changed policies have asked it again since; return the position.

    ``digest`` is of the question that ``id`` names; without one, exactly that question is meant.

    Raises:
        Invalid: field ``reason``: a rejection says why.
        NotFound, NotAllowed: as ``approve``.
        IllegalTransition: it has ended, is about an earlier attempt, or another digest was given.
    """
    if not reason.strip():
        raise Invalid("reason", "must say why")
    row = await find(ctx, id)
    named = row.approval_id if id == row.intent_id else id
    stands_for = await principal(ctx, by.person, await _approvers(ctx))

    def decide(state: governance.State) -> Sequence[Event]:
        shown = state.approval(named)
        command = Reject(
            intent_id=row.intent_id,
            approval_id=named,
            digest=digest or (shown.request.digest if shown else ""),
            approver=by.person.name,
            roles=by.person.roles,
            reason=reason,
            at=ctx.clock.now(),
            on_behalf_of=stands_for,
        )
        return governance.decide_approval(command, state)

    return await _answer(ctx, row.intent_id, decide, by)


def _recent(ctx: Context, person: Person) -> int:
    """How many questions this person has let pass within the time that fatigue is about, in
    their own place or somebody else's."""
    page = ctx.views.page(
        APPROVALS, where={"status": "granted"}, order="position", descending=True, limit=200
    )
    since = ctx.clock.now() - governance.FATIGUE_WITHIN
    return sum(
        person.name in row.hands and row.ended_at is not None and row.ended_at > since
        for row in page.rows
    )


async def _answer(
    ctx: Context, intent_id: str, decide: _Decide, by: By, *, guard: Guard | None = None
) -> int:
    return await append(
        ctx,
        f"events.governance.{intent_id}",
        by,
        initial=governance.INITIAL,
        evolve=governance.evolve,
        decide=decide,
        correlation_id=intent_id,
        guard=guard,
    )


async def override(ctx: Context, intent_id: str, by: By, *, decision: str, reason: str) -> None:
    """Decide an intent differently than it was decided; by the decider of governance itself.

    Raises:
        NotFound: nothing is decided for this intent.
        NotAllowed: this person is no approver.
        Invalid: field ``reason`` or ``decision``.
    """
    wanted = next((name for name in _OVERRIDES if name == decision), None)
    if wanted is None:
        raise Invalid("decision", f"must be one of {', '.join(_OVERRIDES)}")
    command = governance.Override(
        intent_id=intent_id,
        decision_id="",
        decision=wanted,
        by=by.person.name,
        roles=by.person.roles,
        reason=reason,
        at=ctx.clock.now(),
    )
    await _answer(ctx, intent_id, lambda state: governance.decide_override(command, state), by)


async def go_on(ctx: Context, id: str, step: str, by: By) -> BuildRow:
    """Let a build's next step start; return the build. The event is what the build-executor's own
    ``POST /builds/{id}/approve`` appends, by the same decider.

    Raises:
        NotFound: there is no such build.
        NotAllowed: this person is no approver.
        IllegalTransition: the build has ended, or does not wait.
    """
    _approver(by.person)
    row = ctx.views.get(BUILDS, id)
    wanted = next((name for name in get_args(Approvable) if name == step), None)
    if row is None or wanted is None:
        raise NotFound(f"no build {id} that waits for a step {step!r}")
    command = build.Approve(
        build_id=id, intent_id=row.intent_id, by=by.person.name, step=wanted, at=ctx.clock.now()
    )
    await append(
        ctx,
        f"events.build.{id}",
        by,
        initial=build.INITIAL,
        evolve=build.evolve,
        decide=lambda state: build.decide(command, state),
        correlation_id=row.intent_id,
    )
    return row


async def tell(
    ctx: Context, intent_id: str, text: str, *, without_custom: bool, token: str
) -> Sequence[str]:
    """Answer the factory's questions with a ``spec`` (JSON text); return what it still asks.

    ``without_custom`` gives up the code that the intent wanted a model to write.

    The factory judges the answer, so it goes to the factory itself, in this person's name.

    Raises:
        Invalid: this is no SPEC; the message names the first wrong place.
        NotFound, NotAllowed, IllegalTransition: as the factory refuses it.
        TransientError: the factory does not answer.
    """
    path = f"/specs/{quote(intent_id, safe='')}/detail"
    body = {"spec": _json(text, "spec"), "without_custom": without_custom}
    told = await _ask(ctx, "sovereign-factory", path, body, token=token, field="spec")
    await shown(ctx, int(told["position"]))
    return list(told["questions"])


async def simulate(ctx: Context, text: str, *, token: str) -> Mapping[str, Any]:
    """What the policy or bundle in ``text`` (JSON) would change of all recorded decisions.

    Governance holds them all and the policies in force, so it is asked.

    Raises:
        Invalid: this is no policy; the message names the first wrong place.
        TransientError: governance does not answer.
    """
    given = _json(text, "policies")
    body = given if isinstance(given, dict) and "policies" in given else {"policies": [given]}
    path = "/governance/simulate"
    return await _ask(ctx, "governance", path, body, token=token, field="policies")


def _json(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Invalid(field, f"is not JSON: {error}") from None


async def _ask(
    ctx: Context, service: str, path: str, body: Mapping[str, Any], *, token: str, field: str
) -> Mapping[str, Any]:
    """Another service's answer to this person; its refusals are raised as our own errors."""
    url = ctx.host_url(BASE_PORTS[service] + ctx.port_shift)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(verify=TRUST, timeout=_ANSWER_S, trust_env=False) as client:
            answer = await client.post(f"{url}{path}", json=body, headers=headers)
            told: Mapping[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        reason = type(error).__name__
        raise TransientError(f"the {service} service does not answer: {reason}") from error
    if answer.is_error:
        raise _refusal(answer.status_code, told, service=service, field=field)
    return told


def _refusal(status: int, problem: Mapping[str, Any], *, service: str, field: str) -> Exception:
    text = str(problem.get("detail") or f"the {service} service answers with {status}")
    match status:
        case 404:
            return NotFound(text)
        case 401 | 403:
            return NotAllowed(text)
        case 409:
            return IllegalTransition(text)
        case 400 | 422:
            named = str(problem.get("field") or field)
            return Invalid(named, text.removeprefix(f"{named}: "))
        case _:
            return TransientError(text)


def _approver(person: Person) -> None:
    if not person.roles & APPROVER_ROLES:
        raise NotAllowed("this takes the role approver or admin")


async def _newest_question(ctx: Context, intent_id: str) -> IntentQueued | None:
    history = await ctx.log.read(f"events.intent.{intent_id}")
    queued = [r.event for r in history if isinstance(r.event, IntentQueued)]
    return queued[-1] if queued else None


async def _policies(ctx: Context) -> tuple[str, int]:
    """Digest of the policies in force and the position of their newest change; "" and 0 while none
    are on the record."""
    history = await ctx.log.read(POLICIES_SUBJECT)
    if not history:
        return "", 0
    events = (recorded.event for recorded in history)
    return reduce(bundle_after, events, Bundle(policies=())).digest, history[-1].position


async def _approvers(ctx: Context) -> frozenset[str]:
    return frozenset(await ctx.auth.people(*APPROVER_ROLES))


@dataclass(frozen=True, slots=True)
class _ModeState:
    mode: Mode | None = None
    user_present: bool = False


def _mode_after(state: _ModeState, event: ModeChanged) -> _ModeState:
    present = state.user_present if event.user_present is None else event.user_present
    return _ModeState(event.mode, present)


async def change_mode(
    ctx: Context, by: By, *, mode: Mode, user_present: bool | None = None, reason: str = ""
) -> int:
    """Change the mode, or whether somebody is present; return the position.

    Raises:
        NotAllowed: this person is no approver.
        Invalid: the reason is too long.
    """
    _approver(by.person)
    if len(reason) > _REASON_CHARS_MAX:
        raise Invalid("reason", f"must have at most {_REASON_CHARS_MAX} characters")

    def decide(state: _ModeState) -> Sequence[ModeChanged]:
        if state.mode == mode and user_present in (None, state.user_present):
            return ()
        event = ModeChanged(
            at=ctx.clock.now(),
            mode=mode,
            previous=state.mode,
            by=by.person.name,
            reason=reason.strip(),
            user_present=user_present,
        )
        return (event,)

    return await append(
        ctx,
        "events.governance.mode",
        by,
        initial=_ModeState(),
        evolve=_mode_after,
        decide=decide,
    )


def status_of(error: Exception) -> int:
    """The HTTP status of a refused command, as the problem handlers have it."""
    match error:
        case NotFound():
            return 404
        case Invalid():
            return 422
        case NotAllowed():
            return 403
        case DomainError() | ConflictError():
            return 409
        case _:
            return 503
