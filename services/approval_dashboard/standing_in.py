"""Who answers in whose place: an approver lets somebody do so, and one of the two ends it early."""

from collections.abc import Callable, Collection, Sequence

from domain import delegation
from domain.delegation import Delegate, Delegations, EndDelegation
from domain.event import Event
from domain.governance import APPROVER_ROLES
from domain.governance_events import ApprovalDelegated
from domain.moment import moment_of
from infra.ports import Context, Person
from services.approval_dashboard.appending import By, append

_NOBODY: Delegations = {}


async def standing(ctx: Context) -> Sequence[ApprovalDelegated]:
    """The delegations that hold now, by approver and delegate; read from the log itself."""
    return delegation.active(await _all(ctx), ctx.clock.now())


async def principal(ctx: Context, person: Person, approvers: Collection[str]) -> str:
    """For whom a person without the role answers, by delegation; "" for nobody."""
    if person.roles & APPROVER_ROLES:
        return ""
    now = ctx.clock.now()
    return delegation.principal(await _all(ctx), person.name, now, approvers=approvers)


async def delegate(ctx: Context, by: By, *, to: str, until: str, reason: str) -> int:
    """Let somebody answer in this person's place; return the position.

    Raises:
        NotAllowed: this person is no approver.
        Invalid: field ``delegate``, ``until`` or ``reason``.
    """
    command = Delegate(
        approver=by.person.name,
        roles=by.person.roles,
        delegate=to.strip(),
        known=await ctx.auth.people(),
        until=moment_of(until, field="until"),
        reason=reason,
        at=ctx.clock.now(),
    )
    return await _record(ctx, by, lambda state: delegation.delegate(command, state))


async def end(ctx: Context, by: By, *, approver: str, to: str) -> int:
    """End a delegation before its time; return the position.

    Raises:
        NotFound: there is none.
        NotAllowed: it is of two other people, and this person is no administrator.
    """
    command = EndDelegation(
        approver=approver,
        delegate=to,
        by=by.person.name,
        roles=by.person.roles,
        at=ctx.clock.now(),
    )
    return await _record(ctx, by, lambda state: delegation.end(command, state))


async def _record(ctx: Context, by: By, decide: Callable[[Delegations], Sequence[Event]]) -> int:
    return await append(
        ctx,
        delegation.SUBJECT,
        by,
        initial=_NOBODY,
        evolve=delegation.evolve,
        decide=decide,
    )


async def _all(ctx: Context) -> Delegations:
    return delegation.fold(r.event for r in await ctx.log.read(delegation.SUBJECT))
