"""Delegation: an approver who is away lets somebody else answer in their place, until a moment.

Stream      ``events.governance.delegations``
Invariants  it always ends; it is not passed on; a delegate speaks with the approver's one voice,
            so that both together never make a quorum of two.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.errors import Invalid, NotAllowed, NotFound
from domain.governance import APPROVER_ROLES
from domain.governance_events import ApprovalDelegated, DelegationEnded

SUBJECT = "events.governance.delegations"
LONGEST = timedelta(days=30)
NAME_CHARS_MAX = 64

Delegations = dict[tuple[str, str], ApprovalDelegated]  # (approver, delegate) -> the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    approver: str  # from authentication
    roles: frozenset[str]
    delegate: str
    known: Collection[str]  # everybody who can prove who they are
    until: datetime
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDelegation:
    approver: str
    delegate: str
    by: str  # from authentication
    roles: frozenset[str]
    at: datetime


def evolve(state: Delegations, event: object) -> Delegations:
    match event:
        case ApprovalDelegated():
            return {**state, (event.approver, event.delegate): event}
        case DelegationEnded():
            return {k: v for k, v in state.items() if k != (event.approver, event.delegate)}
        case _:
            return state


def fold(events: Iterable[object]) -> Delegations:
    state: Delegations = {}
    for event in events:
        state = evolve(state, event)
    return state


def active(state: Delegations, at: datetime) -> tuple[ApprovalDelegated, ...]:
    """The delegations that hold at a moment, by approver and delegate."""
    return tuple(event for _, event in sorted(state.items()) if at < event.until)


def principal(state: Delegations, person: str, at: datetime, *, approvers: Collection[str]) -> str:
    """For whom this person may answer now, "" for nobody. Only somebody who still may answer
    themselves can be stood for."""
    holding = (e.approver for e in active(state, at) if e.delegate == person)
    return next((name for name in holding if name in approvers), "")


def delegate(command: Delegate, state: Delegations) -> tuple[ApprovalDelegated, ...]:
    """Return the delegation; ``()`` when the same one stands.

    Raises:
        NotAllowed: not an approver.
        Invalid: to oneself or to nobody known, without a reason, not in the future, or for longer
            than 30 days.
    """
    if not command.roles & APPROVER_ROLES:
        raise NotAllowed("only who may approve can delegate it")
    if not command.delegate.strip() or command.delegate == command.approver:
        raise Invalid("delegate", "must be somebody else")
    if command.delegate not in command.known:
        raise Invalid("delegate", f"nobody here is called {command.delegate[:NAME_CHARS_MAX]!r}")
    if not command.reason.strip():
        raise Invalid("reason", "must say why")
    if not command.at < command.until <= command.at + LONGEST:
        raise Invalid("until", f"must lie in the next {LONGEST.days} days")
    standing = state.get((command.approver, command.delegate))
    if standing is not None and standing.until == command.until:
        return ()
    return (
        ApprovalDelegated(
            at=command.at,
            approver=command.approver,
            delegate=command.delegate,
            until=command.until,
            reason=command.reason.strip()[:2000],
        ),
    )


def end(command: EndDelegation, state: Delegations) -> tuple[DelegationEnded, ...]:
    """Return its end.

    Raises:
        NotFound: there is no such delegation.
        NotAllowed: neither the approver, nor the delegate, nor an admin.
    """
    if (command.approver, command.delegate) not in state:
        raise NotFound(f"{command.approver} has delegated nothing to {command.delegate}")
    if command.by not in (command.approver, command.delegate) and "admin" not in command.roles:
        raise NotAllowed("only the two of them or an admin can end it")
    return (
        DelegationEnded(
            at=command.at, approver=command.approver, delegate=command.delegate, by=command.by
        ),
    )
