"""What a service's spans come to over a window: availability, error budget, recoveries, cost.

Availability is up time over *observed* time: time in which nobody watched (unknown) and time in
which a person had stopped the service are no part of it and are shown apart. Pure functions over a
row and a moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from projections.instances import Group
from projections.uptime import Span, Uptime

Window = Literal["hour", "day", "month"]
WINDOWS: dict[Window, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=30),
}
TARGET = 0.9997  # 12.96 minutes in 30 days
OUTAGES_SHOWN = 20

State = Literal["up", "down", "stopped", "unknown", "new"]
Part = tuple[datetime, datetime]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Outage(_Answer):
    start: AwareDatetime
    end: AwareDatetime | None  # None: it lasts
    seconds: float
    reason: str


class Recoveries(_Answer):
    """Seconds from the fault to the next leader; None without a measured one."""

    count: int = 0  # with those that nobody measured
    min_s: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


class Report(_Answer):
    """``observed_s`` = ``up_s`` + ``down_s``; with ``unknown_s`` and ``stopped_s`` it is the time
    from ``start`` to ``end``. ``availability`` is None while nothing has been observed."""

    service: str
    window: Window
    start: AwareDatetime
    end: AwareDatetime
    state: State
    target: float
    availability: float | None
    observed_s: float
    up_s: float
    down_s: float
    unknown_s: float
    stopped_s: float
    budget_s: float  # of the whole window
    budget_left_s: float  # below zero: overspent
    within_target: bool
    outages: int
    longest_outage_s: float
    last_outages: tuple[Outage, ...] = Field(default=(), max_length=OUTAGES_SHOWN)
    failovers: Recoveries
    switchovers: int


class Cost(_Answer):
    """What a group costs a month. ``extra``: what more than one instance costs."""

    service: str
    instances: int
    price_usd: float
    month_usd: float
    extra_usd: float


def report(row: Uptime, now: datetime, window: Window, *, target: float = TARGET) -> Report:
    """Return what happened to one service within the window that ends now."""
    length = WINDOWS[window]
    start = min(now, max(now - length, row.since or now))
    spans = _spans(row)
    apart = _parts(spans, ("unknown", "stopped"), start, now)
    stopped = _parts(spans, ("stopped",), start, now)
    down = minus(_parts(spans, ("down",), start, now), apart)
    down_s, apart_s, stopped_s = total_s(down), total_s(apart), total_s(stopped)
    observed_s = max(0.0, (now - start).total_seconds() - apart_s)
    budget_s = length.total_seconds() * (1 - target)
    return Report(
        service=row.service,
        window=window,
        start=start,
        end=now,
        state=state(row),
        target=target,
        availability=None if observed_s == 0 else max(0.0, 1 - down_s / observed_s),
        observed_s=round(observed_s, 6),
        up_s=round(max(0.0, observed_s - down_s), 6),
        down_s=round(down_s, 6),
        unknown_s=round(apart_s - stopped_s, 6),
        stopped_s=round(stopped_s, 6),
        budget_s=round(budget_s, 6),
        budget_left_s=round(budget_s - down_s, 6),
        within_target=down_s <= budget_s,
        outages=len(down),
        longest_outage_s=round(max(((b - a).total_seconds() for a, b in down), default=0.0), 6),
        last_outages=_last(down, spans, now),
        failovers=recoveries(f.took_s for f in row.failovers if f.at >= start),
        switchovers=sum(at >= start for at in row.switchovers),
    )


def reports(
    rows: Iterable[Uptime],
    groups: Mapping[str, Group],
    now: datetime,
    window: Window,
    *,
    price_usd: float,
) -> list[tuple[Report, Cost]]:
    """Return each service that ran within the window, or runs, with its cost; by name."""
    found: list[tuple[Report, Cost]] = []
    for row in sorted(rows, key=lambda row: row.service):
        spent = cost(groups.get(row.service, Group(service=row.service)), price_usd)
        one = report(row, now, window)
        if row.since is not None and (spent.instances or one.observed_s > 0):
            found.append((one, spent))
    return found


def state(row: Uptime) -> State:
    """How the service is as far as the log says."""
    if row.since is None:
        return "new"
    if row.leaderless is not None:
        return row.leaderless.kind
    return "up" if row.unanswered is None else "down"


def recoveries(taken: Iterable[float | None]) -> Recoveries:
    """Return the nearest-rank percentiles; unmeasured ones count and nothing else."""
    every = list(taken)
    times = sorted(t for t in every if t is not None)
    if not times:
        return Recoveries(count=len(every))
    return Recoveries(
        count=len(every),
        min_s=times[0],
        p50_s=_rank(times, 0.5),
        p99_s=_rank(times, 0.99),
        max_s=times[-1],
    )


def cost(group: Group, price_usd: float) -> Cost:
    """Return what the running instances of one group cost a month."""
    count = sum(member.state != "dead" for member in group.members.values())
    return Cost(
        service=group.service,
        instances=count,
        price_usd=price_usd,
        month_usd=round(count * price_usd, 2),
        extra_usd=round(max(0, count - 1) * price_usd, 2),
    )


def percent(value: float | None) -> str:
    """Three digits after the point, never rounded up to a hundred."""
    if value is None:
        return "not observed"
    shown = f"{value * 100:.3f}"
    return f"{'99.999' if shown == '100.000' and value < 1 else shown} %"


def lasted(seconds: float) -> str:
    """Seconds as a person reads them: ``30 ms``, ``4.2 s``, ``12.96 min``, ``2.5 h``."""
    size = abs(seconds)
    if size == 0:
        return "0"
    if size < 1:
        return f"{seconds * 1000:.0f} ms"
    if size < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.2f} min" if size < 7200 else f"{seconds / 3600:.1f} h"


def strip(row: Uptime, now: datetime, window: Window) -> list[tuple[str, float, float]]:
    """The window as (kind, start, length) in parts of 1, up time left out; ``new``: before it."""
    length = WINDOWS[window]
    start, total = now - length, length.total_seconds()
    spans = _spans(row)
    stopped, unknown, down = (
        _parts(spans, (kind,), start, now) for kind in ("stopped", "unknown", "down")
    )
    parts = {
        "new": union([(start, min(now, max(start, row.since or now)))]),
        "stopped": stopped,
        "unknown": minus(unknown, stopped),
        "down": minus(down, [*unknown, *stopped]),
    }
    return [
        (kind, (a - start).total_seconds() / total, (b - a).total_seconds() / total)
        for kind, found in parts.items()
        for a, b in found
    ]


def union(parts: Iterable[Part]) -> list[Part]:
    """The same time in parts that do not overlap or touch, in order."""
    merged: list[Part] = []
    for start, end in sorted(part for part in parts if part[0] < part[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def minus(parts: Iterable[Part], without: Iterable[Part]) -> list[Part]:
    """What of ``parts`` lies in none of ``without``."""
    left = union(parts)
    for cut_start, cut_end in union(without):
        kept: list[Part] = []
        for start, end in left:
            kept.append((start, min(end, cut_start)))
            kept.append((max(start, cut_end), end))
        left = [part for part in kept if part[0] < part[1]]
    return left


def total_s(parts: Iterable[Part]) -> float:
    return sum((end - start).total_seconds() for start, end in parts)


def _spans(row: Uptime) -> list[Span]:
    return [*row.spans, *(span for span in (row.leaderless, row.unanswered) if span)]


def _parts(
    spans: Iterable[Span], kinds: Sequence[str], start: datetime, end: datetime
) -> list[Part]:
    return union(
        (max(span.start, start), min(span.end or end, end)) for span in spans if span.kind in kinds
    )


def _last(down: Sequence[Part], spans: Sequence[Span], now: datetime) -> tuple[Outage, ...]:
    newest = list(reversed(down))[:OUTAGES_SHOWN]
    return tuple(
        Outage(
            start=start,
            end=None if end == now and _lasts(spans, end) else end,
            seconds=round((end - start).total_seconds(), 6),
            reason=_reason(spans, start, end),
        )
        for start, end in newest
    )


def _lasts(spans: Iterable[Span], at: datetime) -> bool:
    return any(span.end is None and span.kind == "down" and span.start < at for span in spans)


def _reason(spans: Iterable[Span], start: datetime, end: datetime) -> str:
    """The reasons of everything that lies in an outage, in order and each once."""
    inside = [
        span
        for span in spans
        if span.kind == "down" and span.start < end and (span.end is None or span.end > start)
    ]
    return "; ".join(dict.fromkeys(s.reason for s in sorted(inside, key=lambda s: s.start)))


def _rank(ordered: Sequence[float], part: float) -> float:
    return ordered[max(0, ceil(part * len(ordered)) - 1)]
