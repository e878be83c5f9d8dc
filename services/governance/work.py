"""The leader's work: put the first rules on the record, decide what is open, end what expired.

Delivery    every step is fenced and has a deterministic command id: done twice, it is there once.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import structlog

from domain.emergency import Escalate, escalate
from domain.errors import TransientError
from domain.event import Event
from domain.governance import Expire, decide_approval
from domain.governance_events import ModeChanged, PolicyAdopted
from domain.policy import Bundle
from infra.cel import shipped
from infra.commands import execute
from infra.ports import Context, Meta, Term
from infra.vouching import vouched
from infra.work import Worker
from infra.worklist import WorkList
from projections.governance import APPROVALS, UNDECIDED, ApprovalRow, Undecided
from services.governance.config import Config
from services.governance.people import People
from services.governance.record import meta_of, record
from services.governance.step import Step

_EXPIRY_LOOK_S = 1.0
_EXPIRY_BATCH = 100
_NEVER = float("inf")
_log = structlog.get_logger(__name__)


async def put_first_rules(ctx: Context, config: Config, term: Term) -> int:
    """Record the first mode and the shipped policies where the log has none; return the position.

    From then on the log decides: a later version of this product changes nothing by itself.
    """
    at = ctx.clock.now()
    mode = ModeChanged(
        at=at, mode=config.first_mode, by="settings", reason="first start", user_present=False
    )
    await _unless_there(ctx, (mode,), term)
    return await _unless_there(ctx, _adoptions(ctx, shipped(), at), term)


def _adoptions(ctx: Context, bundle: Bundle, at: datetime) -> tuple[PolicyAdopted, ...]:
    so_far = Bundle(policies=())
    events = []
    for policy in bundle.policies:
        so_far = so_far.with_policy(policy)
        adopted = PolicyAdopted(at=at, policy=policy, bundle_digest=so_far.digest, by="shipped")
        events.append(vouched(adopted, ctx.data_dir))
    return tuple(events)


async def _unless_there(ctx: Context, events: Sequence[Event], term: Term) -> int:
    """Append the events if their subject is empty; return the subject's last position."""
    subject = events[0].subject
    meta = Meta(command_id=f"first/{subject}", actor=ctx.service, source=ctx.service)
    done = await execute(
        ctx.log,
        subject,
        initial=0,
        evolve=lambda count, _: count + 1,
        decide=lambda count: () if count else events,
        meta=meta,
        fence=term.fence,
    )
    return done.position


def undecided(ctx: Context) -> WorkList[Undecided]:
    """What waits for a decision, most urgent first."""
    return WorkList(ctx.views, UNDECIDED, rank="rank")


def deciding(
    ctx: Context, step: Step, waiting: WorkList[Undecided], *, concurrency: int
) -> "Worker[Undecided]":
    """The worker that takes undecided intents, most urgent first."""
    return Worker(
        views=ctx.views,
        find=lambda: waiting.first(2 * concurrency),
        key=_key,
        step=step,
        park=step.undecidable,
        capacity=concurrency,
    )


def _key(item: Undecided) -> str:
    return f"{item.intent.intent_id}/{item.attempt}"


async def expiring(ctx: Context, people: People, term: Term) -> None:
    """Escalate questions at half of their time and end them at its end, within a second or so."""
    escalations, ends = _Due(ctx, "escalates_ts"), _Due(ctx, "expires_ts")
    with (
        ctx.views.watching(APPROVALS, escalations.seen),
        ctx.views.watching(APPROVALS, ends.seen),
    ):
        while not term.ended.is_set():
            try:
                for row in escalations.now():
                    if not row.escalated_to:
                        await _escalate(ctx, row, await people.approvers(), term)
                for row in ends.now():
                    await _expire(ctx, row, term)
            except TransientError as error:
                _log.warning("expiry_delayed", error=str(error))
            await asyncio.sleep(_EXPIRY_LOOK_S)


class _Due:
    """Open questions whose time has come. Asks the views only when there is one: it watches them
    for the next moment."""

    def __init__(self, ctx: Context, column: Literal["escalates_ts", "expires_ts"]) -> None:
        self._ctx = ctx
        self._column = column
        self._next = 0.0  # seconds of the epoch; none of them is due before

    def seen(self, _: str, row: ApprovalRow | None) -> None:
        """A question has changed."""
        if row is not None and row.status == "pending":
            self._next = min(self._next, getattr(row, self._column))

    def now(self) -> list[ApprovalRow]:
        """Those that are due, the oldest first, so many at a time."""
        now = self._ctx.clock.now().timestamp()
        if now < self._next:
            return []
        rows = self._ctx.views.page(
            APPROVALS, where={"status": "pending"}, order=self._column, limit=_EXPIRY_BATCH
        ).rows
        self._next = min((getattr(row, self._column) for row in rows), default=_NEVER)
        return [row for row in rows if getattr(row, self._column) <= now]


async def _escalate(ctx: Context, row: ApprovalRow, approvers: Sequence[str], term: Term) -> None:
    command = Escalate(
        intent_id=row.intent_id,
        approval_id=row.approval_id,
        approvers=approvers,
        at=ctx.clock.now(),
    )
    meta = _meta(ctx, row, "escalate")
    position = await record(ctx, term, lambda state: escalate(command, state), meta=meta)
    _log.warning("approval_escalated", intent=row.intent_id, position=position)


async def _expire(ctx: Context, row: ApprovalRow, term: Term) -> None:
    command = Expire(intent_id=row.intent_id, approval_id=row.approval_id, at=ctx.clock.now())
    meta = _meta(ctx, row, "expire")
    position = await record(ctx, term, lambda state: decide_approval(command, state), meta=meta)
    _log.info("approval_expired", intent=row.intent_id, position=position)


def _meta(ctx: Context, row: ApprovalRow, what: str) -> Meta:
    return meta_of(ctx, row.intent_id, command=f"{row.approval_id}/{what}", cause=row.position)
