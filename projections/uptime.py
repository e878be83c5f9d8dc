"""When each service had no leader, did not answer, was stopped on purpose, or nobody watched.

Source      ``events.leadership.>`` (each new leader itself) and ``events.instance.>``: the launcher
            (a moment late, so a death may stand after the promotion that it led to) and the
            registry's checks from outside (``OutageBegan``, ``OutageEnded``).
Invariants  nothing counts before the first leader; a span never ends before it starts.
Rebuild     fold from position 0. What the spans come to is ``projections.uptime_report``.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.instance import (
    InstanceDied,
    InstancePromoted,
    InstanceReady,
    InstanceStarted,
    LeadershipReleased,
    LeadershipTaken,
    OutageBegan,
    OutageEnded,
    WatchResumed,
)
from domain.recorded import Recorded
from domain.view import Table, updated

KEPT = timedelta(days=32)  # a month's window and a little more
_SPANS_MAX = 20_000
_MOVES = frozenset(("switchover", "new version", "new version failed"))  # planned, and yet down

Kind = Literal["down", "stopped", "unknown"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Span(_Row):
    """``end`` None: it lasts."""

    kind: Kind
    start: AwareDatetime
    end: AwareDatetime | None = None
    reason: str = ""


class Recovery(_Row):
    """An unplanned change of the leader; ``took_s`` None: nobody saw the fault."""

    at: AwareDatetime
    took_s: float | None


class Uptime(_Row):
    """One service. ``leaderless`` and ``unanswered`` are open spans; they may overlap."""

    service: str
    since: AwareDatetime | None = None  # its first leader ever
    leader: str = ""
    before: str = ""  # who led before
    epoch: int = 0
    taken_at: AwareDatetime | None = None
    taken_why: str = ""
    alive: dict[str, str] = {}  # instance -> host
    leaderless: Span | None = None
    unanswered: Span | None = None
    spans: tuple[Span, ...] = ()
    failovers: tuple[Recovery, ...] = ()
    switchovers: tuple[AwareDatetime, ...] = ()
    seen_at: AwareDatetime  # the last sign of life
    position: int = 0


_EVENTS = (
    InstanceStarted,
    InstanceReady,
    InstanceDied,
    InstancePromoted,
    LeadershipReleased,
    LeadershipTaken,
    OutageBegan,
    OutageEnded,
    WatchResumed,
)


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.service,)


def _fold(row: Uptime | None, recorded: Recorded[Any], key: str) -> Uptime | None:
    event = recorded.event
    before = row or Uptime(service=key, seen_at=event.at)
    after = _changed(before, event)
    update = {"seen_at": max(before.seen_at, event.at), "position": recorded.position}
    return updated(_pruned(after, event.at), update)


def _changed(row: Uptime, event: Any) -> Uptime:
    match event:
        case LeadershipTaken():
            return _taken(row, event)
        case LeadershipReleased():
            return _released(row, event)
        case InstancePromoted():
            return _promoted(row, event)
        case InstanceStarted():
            return _started(row, event)
        case InstanceDied():
            return _died(row, event)
        case _:
            return _watched(row, event)


def _watched(row: Uptime, event: Any) -> Uptime:
    match event:
        case OutageBegan() if row.unanswered is None:
            start = min(event.since or event.at, event.at)
            return _with(row, unanswered=Span(kind="down", start=start, reason=event.reason))
        case OutageEnded():
            start = event.at - _at_most(event.duration_s)
            reason = row.unanswered.reason if row.unanswered else "did not answer"
            ended = Span(kind="down", start=start, end=event.at, reason=reason)
            return _with(row, unanswered=None, spans=(*row.spans, ended))
        case WatchResumed():
            return _resumed(row, max(event.last_seen, row.seen_at), event.at)
        case _:
            return row


def _taken(row: Uptime, event: LeadershipTaken) -> Uptime:
    if event.epoch < row.epoch:
        return row
    return _with(
        _led_again(row, event.at),
        since=row.since or event.at,
        leader=event.instance,
        before=row.leader or row.before,
        epoch=event.epoch,
        taken_at=event.at,
        taken_why=event.reason,
    )


def _released(row: Uptime, event: LeadershipReleased) -> Uptime:
    if event.epoch >= row.epoch:
        return _leaderless(_with(row, leader="", before=event.instance), event.at, event.reason)
    if event.instance == row.before and row.taken_at is not None and event.at < row.taken_at:
        # The launcher's word came after the new leader's own: the gap lies behind both.
        gap = Span(kind="down", start=event.at, end=row.taken_at, reason=event.reason)
        return _with(row, spans=(*row.spans, gap))
    return row


def _promoted(row: Uptime, event: InstancePromoted) -> Uptime:
    if event.failover_s is None and row.taken_why != "expired":
        return _with(row, switchovers=(*row.switchovers, event.at))
    fallen = Recovery(at=event.at, took_s=event.failover_s)
    row = _with(row, failovers=(*row.failovers, fallen))
    if event.failover_s is None:
        return row
    start = event.at - _at_most(event.failover_s)
    lost = Span(kind="down", start=start, end=event.at, reason=f"failover to {event.instance}")
    return _with(row, spans=(*row.spans, lost))


def _started(row: Uptime, event: InstanceStarted) -> Uptime:
    if row.alive.get(event.instance) == event.host:
        row = _resumed(row, row.seen_at, event.at)  # it ended, and nobody was there to say so
    return _with(row, alive={**row.alive, event.instance: event.host})


def _died(row: Uptime, event: InstanceDied) -> Uptime:
    row = _with(row, alive={name: h for name, h in row.alive.items() if name != event.instance})
    led = row.leader == event.instance
    if led:
        row = _leaderless(_with(row, leader="", before=event.instance), event.at, event.reason)
    if row.alive or row.leader or row.leaderless is None:
        return row
    if event.planned and event.reason not in _MOVES:
        return _with(row, leaderless=updated(row.leaderless, {"kind": "stopped"}))
    return row


def _resumed(row: Uptime, seen: datetime, at: datetime) -> Uptime:
    """Somebody watches again, from ``at``; what happened since ``seen`` is not known."""
    row = _with(row, alive={}, leader="")
    if row.since is None or (row.leaderless and row.leaderless.kind == "stopped"):
        return row
    seen = min(seen, at)
    row = _led_again(row, seen)
    if row.unanswered is not None:
        cut = _ended(row.unanswered, seen)
        row = _with(row, unanswered=None, spans=(*row.spans, cut))
    gap = Span(kind="unknown", start=seen, end=at, reason="nobody watched")
    row = _with(row, spans=(*row.spans, gap))
    return _leaderless(row, at, "started again after nobody watched")


def _leaderless(row: Uptime, at: datetime, reason: str) -> Uptime:
    if row.since is None or row.leaderless is not None:
        return row
    return _with(row, leaderless=Span(kind="down", start=at, reason=reason))


def _led_again(row: Uptime, at: datetime) -> Uptime:
    if row.leaderless is None:
        return row
    return _with(row, leaderless=None, spans=(*row.spans, _ended(row.leaderless, at)))


def _ended(span: Span, at: datetime) -> Span:
    # Two clocks wrote the two ends: the second may lie before the first.
    return updated(span, {"end": max(span.start, at)})


def _at_most(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), KEPT.total_seconds()))  # more is not kept


def _pruned(row: Uptime, at: datetime) -> Uptime:
    oldest = at - KEPT
    spans = tuple(s for s in row.spans if s.end is None or s.end >= oldest)[-_SPANS_MAX:]
    failovers = tuple(f for f in row.failovers if f.at >= oldest)[-_SPANS_MAX:]
    switchovers = tuple(s for s in row.switchovers if s >= oldest)[-_SPANS_MAX:]
    return _with(row, spans=spans, failovers=failovers, switchovers=switchovers)


def _with(row: Uptime, **changes: Any) -> Uptime:
    return updated(row, changes)


UPTIME = Table(
    name="uptime",
    version=1,
    subjects=("events.instance.>", "events.leadership.>"),
    row=Uptime,
    events=_EVENTS,
    keys=_keys,
    fold=_fold,
)
