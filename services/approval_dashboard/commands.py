"""What people do here, each as one append under the version of what it is about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain import governance
from domain.errors import ConflictError, DomainError, Invalid, NotAllowed, NotFound, TransientError
from domain.governance import APPROVER_ROLES, ApprovalEvent, Grant, Reject
from domain.governance_events import Mode, ModeChanged
from domain.intent import IntentQueued
from infra.commands import execute
from infra.ports import Context, Meta, Person
from projections.governance import APPROVALS, ApprovalRow

_REASON_CHARS_MAX = 2000
_Decide = Callable[[governance.State], Sequence[ApprovalEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who sends a command, and the id that makes its repeat harmless."""

    person: Person
    command_id: str


async def find(ctx: Context, id: str) -> ApprovalRow:
    """The newest question to people with this approval id or about this intent.

    Raises:
        NotFound: there is none.
    """
    row = _row(ctx, id)
    if row is None:
        # It may have been asked a moment ago, so that another instance already shows it.
        await ctx.views.reach(await ctx.log.last_position())
        row = _row(ctx, id)
    if row is None:
        raise NotFound(f"no approval {id}")
    return row


def _row(ctx: Context, id: str) -> ApprovalRow | None:
    row = ctx.views.get(APPROVALS, id)
    if row is not None:
        return row
    return next(iter(ctx.views.all(APPROVALS, approval_id=id)), None)


async def approve(ctx: Context, id: str, by: By, *, digest: str = "", comment: str = "") -> int:
    """Grant it; return the position. Without a digest, what this instance shows now is meant.

    Raises:
        NotFound: there is no such approval.
        NotAllowed: this person may not approve it.
        IllegalTransition: it has ended, or what was shown is no longer what is asked.
    """
    row = await find(ctx, id)
    approvers = await _approvers(ctx)
    intent_id = row.intent_id
    queued = await _newest_question(ctx, intent_id)

    def decide(state: governance.State) -> Sequence[ApprovalEvent]:
        asked = state.decision
        current = governance.shown_digest(queued.intent, asked) if queued and asked else ""
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
        )
        return governance.decide_approval(command, state)

    return await _answer(ctx, intent_id, decide, by)


async def reject(ctx: Context, id: str, by: By, *, reason: str, digest: str = "") -> int:
    """Reject it; return the position.

    Raises:
        Invalid: field ``reason``: a rejection says why.
        NotFound, NotAllowed, IllegalTransition: as ``approve``.
    """
    if not reason.strip():
        raise Invalid("reason", "must say why")
    row = await find(ctx, id)

    def decide(state: governance.State) -> Sequence[ApprovalEvent]:
        command = Reject(
            intent_id=row.intent_id,
            approval_id=row.approval_id,
            digest=digest or row.digest,
            approver=by.person.name,
            roles=by.person.roles,
            reason=reason,
            at=ctx.clock.now(),
        )
        return governance.decide_approval(command, state)

    return await _answer(ctx, row.intent_id, decide, by)


async def _answer(ctx: Context, intent_id: str, decide: _Decide, by: By) -> int:
    done = await execute(
        ctx.log,
        f"events.governance.{intent_id}",
        initial=governance.INITIAL,
        evolve=governance.evolve,
        decide=decide,
        meta=_meta(ctx, by, correlation_id=intent_id),
    )
    await _shown(ctx, done.position)
    return done.position


async def _newest_question(ctx: Context, intent_id: str) -> IntentQueued | None:
    history = await ctx.log.read(f"events.intent.{intent_id}")
    queued = [r.event for r in history if isinstance(r.event, IntentQueued)]
    return queued[-1] if queued else None


async def _approvers(ctx: Context) -> frozenset[str]:
    names: set[str] = set()
    for role in sorted(APPROVER_ROLES):
        names.update(await ctx.auth.people(role))
    return frozenset(names)


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
    if not by.person.roles & APPROVER_ROLES:
        raise NotAllowed("this takes the role approver or admin")
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

    done = await execute(
        ctx.log,
        "events.governance.mode",
        initial=_ModeState(),
        evolve=_mode_after,
        decide=decide,
        meta=_meta(ctx, by),
    )
    await _shown(ctx, done.position)
    return done.position


async def _shown(ctx: Context, position: int) -> None:
    """Wait for the view, so that the answer shows what was done; it is done in any case."""
    try:
        await ctx.views.reach(position)
    except TransientError:
        return


def _meta(ctx: Context, by: By, *, correlation_id: str = "") -> Meta:
    return Meta(
        command_id=by.command_id,
        actor=by.person.name,
        correlation_id=correlation_id,
        source=ctx.service,
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
