"""Outages as a client would see them: from the last success to the first one after it.

A success is an answer of ``/health`` that says ``active``. Two failures in a row begin an outage,
so that one lost answer is none; the second look comes soon after the first.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog

from domain.errors import ConflictError, TransientError
from domain.instance import OutageBegan, OutageEnded
from infra.ports import Context, Meta, Term, Write
from projections.instances import GROUPS

FAILURES = 2
REASON_CHARS_MAX = 500
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Looks:
    """What this leader has seen of one service."""

    success_at: datetime | None = None
    failed_at: datetime | None = None  # the first failure since
    failures: int = 0
    open_since: datetime | None = None  # an outage is on record since then


class Outages:
    """``suspects`` are the services that a next look should not keep waiting."""

    def __init__(self, ctx: Context, *, fresh_s: float) -> None:
        self._ctx = ctx
        self._fresh_s = fresh_s  # a success longer ago says nothing about the time since
        self._looks: dict[str, _Looks] = {}

    @property
    def suspects(self) -> frozenset[str]:
        return frozenset(name for name, looks in self._looks.items() if looks.failures)

    async def looked(self, name: str, problem: str, term: Term) -> None:
        """Take a look's result ("": a success) and record what it begins or ends."""
        group = self._ctx.views.get(GROUPS, name)
        if group is None or not any(m.state != "dead" for m in group.members.values()):
            self.forget(name)
            return  # not run by Phoenix, or stopped on purpose
        looks = self._looks.get(name)
        if looks is None:
            looks = self._looks[name] = _Looks(open_since=group.outage_since)
        now = self._ctx.clock.now()
        if problem:
            await self._failed(name, problem, looks, now, term)
        else:
            await self._succeeded(name, looks, now, term)

    def forget(self, name: str) -> None:
        self._looks.pop(name, None)

    async def _failed(
        self, name: str, problem: str, looks: _Looks, now: datetime, term: Term
    ) -> None:
        looks.failures += 1
        looks.failed_at = looks.failed_at or now
        if looks.failures < FAILURES or looks.open_since is not None:
            return
        since = looks.failed_at
        success = looks.success_at
        if success is not None and (since - success).total_seconds() <= self._fresh_s:
            since = success
        event = OutageBegan(
            at=now, service=name, instance="", reason=problem[:REASON_CHARS_MAX], since=since
        )
        if await self._record(event, since, term):
            looks.open_since = since

    async def _succeeded(self, name: str, looks: _Looks, now: datetime, term: Term) -> None:
        looks.failures, looks.failed_at, looks.success_at = 0, None, now
        if looks.open_since is None:
            return
        lasted_s = max(0.0, (now - looks.open_since).total_seconds())
        event = OutageEnded(at=now, service=name, instance="", duration_s=round(lasted_s, 3))
        if await self._record(event, looks.open_since, term):
            looks.open_since = None

    async def _record(self, event: OutageBegan | OutageEnded, since: datetime, term: Term) -> bool:
        """Append under the fence; False when the log is away: the next look tries again."""
        ctx = self._ctx
        meta = Meta(
            command_id=f"{event.service}/{event.type}/{since.isoformat()}",
            actor=ctx.service,
            source=ctx.service,
        )
        try:
            await ctx.log.append([Write(event)], meta=meta, fence=term.fence)
        except (ConflictError, TransientError) as error:
            _log.info("outage_not_recorded", service=event.service, reason=str(error))
            return False
        return True
