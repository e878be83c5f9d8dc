"""What the pages and the JSON answers show, put together from this instance's views alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, get_args

from domain.build import Approvable
from domain.governance_events import Mode
from domain.intent import Status
from infra.ports import Context, Page
from projections.analytics import DAYS, Day
from projections.builds import BUILDS, BuildRow
from projections.governance import (
    APPROVALS,
    DECISIONS,
    MODE,
    MODE_KEY,
    OVERRIDES,
    POLICIES,
    ApprovalRow,
    DecisionRow,
    PolicyRow,
    with_override,
)
from projections.instances import GROUPS, Group
from projections.intents import INTENTS, OPEN, TIMELINE, IntentRow, TimelineRow
from projections.questions import QUESTIONS, Question
from projections.services import SERVICES, ServiceRow
from projections.uptime import UPTIME
from projections.uptime_report import (
    OUTAGES_SHOWN,
    Cost,
    Outage,
    Report,
    Window,
    reports,
    strip,
)

STATUSES: tuple[Status, ...] = get_args(Status)
MODES: tuple[Mode, ...] = get_args(Mode)
ENDED = ("granted", "rejected", "expired", "overridden", "withdrawn")
MODE_MEANS: dict[Mode, str] = {
    "supervised": "People decide tiers 0 and 1. Tier 2 and up goes on by itself at 0.90 and low "
    "risk.",
    "autonomous": "People decide tier 0. Tier 1 goes on at 0.90 while nobody is present, tier 2 "
    "and up at 0.85 and low risk.",
    "aggressive": "Tier 0 goes on at 0.95 and low risk, except what touches governance, policies "
    "or Phoenix; tier 1 at 0.90, tier 2 and up at 0.80.",
}
_PENDING_MAX = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question to people with everything that is needed to answer it."""

    approval: ApprovalRow
    intent: IntentRow | None
    question: Question | None
    rules_changed: bool  # a policy or the mode changed since it was asked


@dataclass(frozen=True, slots=True)
class Totals:
    pending: int
    held: int
    questions: int
    open: int
    total: int
    by_status: dict[str, int]
    today: Day
    services: int
    degraded: int

    @property
    def waiting(self) -> int:
        """Everything that waits for a person."""
        return self.pending + self.held + self.questions

    @property
    def auto_rate(self) -> float | None:
        """Of what was decided today, the part that needed nobody; None before the first."""
        return self.today.auto_approved / self.today.decided if self.today.decided else None


@dataclass(frozen=True, slots=True)
class Held:
    """A build that goes on when a person says so: its intent asked for that."""

    intent: IntentRow
    build: BuildRow
    step: Approvable


def held(ctx: Context) -> list[Held]:
    """Builds whose next step waits for a person, the longest wait first."""
    builds = [*ctx.views.all(BUILDS, status="waiting"), *ctx.views.all(BUILDS, status="packaged")]
    found = [one for build in builds if (one := _held(ctx, build)) is not None]
    return sorted(found, key=lambda one: one.build.at)


def _held(ctx: Context, build: BuildRow) -> Held | None:
    row = ctx.views.get(INTENTS, build.intent_id)
    if row is None or not row.open or row.attempt != build.attempt:
        return None
    if build.status == "waiting":
        waits = not row.intent.auto_build and "build" not in build.approved
        return Held(row, build, "build") if waits else None
    waits = not row.intent.auto_deploy and "deploy" not in build.approved
    return Held(row, build, "deploy") if waits else None


def questions(ctx: Context) -> Sequence[IntentRow]:
    """Intents that cannot be built before somebody says more, the newest first."""
    page = ctx.views.page(
        INTENTS,
        where={"status": "needs_detail"},
        order="raw_position",
        descending=True,
        limit=_PENDING_MAX,
    )
    return page.rows


def waiting(ctx: Context) -> list[Waiting]:
    """What waits for people, the most urgent tier first, then the longest wait."""
    rows = ctx.views.page(
        APPROVALS, where={"status": "pending"}, order="position", limit=_PENDING_MAX
    ).rows
    changed = _rules_changed_at(ctx)
    found = [waits(ctx, row, changed) for row in rows]
    return sorted(found, key=lambda w: (_tier(w.approval), w.approval.position))


def waits(ctx: Context, row: ApprovalRow, rules_changed_at: int | None = None) -> Waiting:
    changed = _rules_changed_at(ctx) if rules_changed_at is None else rules_changed_at
    question = ctx.views.get(QUESTIONS, row.intent_id)
    if question is not None and question.decision_id != row.decision_id:
        question = None  # of another attempt: not what is asked here
    return Waiting(row, ctx.views.get(INTENTS, row.intent_id), question, changed > row.position)


def _tier(row: ApprovalRow) -> int:
    return 9 if row.tier is None else row.tier


def _rules_changed_at(ctx: Context) -> int:
    positions = [row.position for row in ctx.views.all(POLICIES)]
    mode = ctx.views.get(MODE, MODE_KEY)
    return max([*positions, mode.last_position if mode else 0])


def totals(ctx: Context) -> Totals:
    views = ctx.views
    by_status: dict[str, int] = {status: views.count(INTENTS, status=status) for status in STATUSES}
    return Totals(
        pending=views.count(APPROVALS, status="pending"),
        held=len(held(ctx)),
        questions=by_status["needs_detail"],
        open=views.count(INTENTS, status=OPEN),
        total=sum(by_status.values()),
        by_status=by_status,
        today=day(ctx, ctx.clock.now().date()),
        services=views.count(SERVICES, registered=True),
        degraded=views.count(SERVICES, registered=True, status="degraded"),
    )


def day(ctx: Context, which: date) -> Day:
    key = which.isoformat()
    return ctx.views.get(DAYS, key) or Day(date=key)


def last_days(ctx: Context, count: int) -> list[Day]:
    """The last ``count`` days, oldest first, also those on which nothing happened."""
    today = ctx.clock.now().date()
    return [day(ctx, today - timedelta(days=ago)) for ago in reversed(range(count))]


def decisions(ctx: Context, limit: int) -> Sequence[DecisionRow]:
    """The newest decisions first, each with the override that stands above it."""
    page = ctx.views.page(DECISIONS, order="position", descending=True, limit=limit)
    return [with_override(row, ctx.views.get(OVERRIDES, row.intent_id)) for row in page.rows]


def history(ctx: Context, *, status: str = "", limit: int = 50, cursor: str = "") -> Page:
    """Questions that have ended, the newest first."""
    return ctx.views.page(
        APPROVALS,
        where={"status": status or ENDED},
        order="position",
        descending=True,
        limit=limit,
        cursor=cursor,
    )


def intents(ctx: Context, *, status: str = "", q: str = "", cursor: str = "") -> Page:
    """Intents, the newest first."""
    return ctx.views.page(
        INTENTS,
        where={"status": status} if status else {},
        text=q,
        order="raw_position",
        descending=True,
        limit=50,
        cursor=cursor,
    )


def timeline(ctx: Context, intent_id: str) -> Sequence[TimelineRow]:
    """Every event of one intent, oldest first."""
    page = ctx.views.page(TIMELINE, where={"intent_id": intent_id}, limit=500)
    return page.rows


def services(ctx: Context) -> list[tuple[ServiceRow, Group | None, str]]:
    """Every registered service with its group and its address on this host, by tier and name."""
    rows = ctx.views.all(SERVICES, registered=True)
    return [
        (row, ctx.views.get(GROUPS, row.name), _address(ctx, row))
        for row in sorted(rows, key=lambda row: (row.tier, row.name))
    ]


def _address(ctx: Context, row: ServiceRow) -> str:
    return row.url if row.external else ctx.host_url(row.port + ctx.port_shift)


@dataclass(frozen=True, slots=True)
class ServiceUptime:
    """One service's window; ``strip`` is (kind, start, length) of what was not up."""

    report: Report
    cost: Cost
    strip: list[tuple[str, float, float]]


def uptime(ctx: Context, window: Window) -> list[ServiceUptime]:
    """Every service that ran within the window, by name."""
    views, now = ctx.views, ctx.clock.now()
    rows = {row.service: row for row in views.all(UPTIME)}
    groups = {group.service: group for group in views.all(GROUPS)}
    price = ctx.settings.instance_price_usd
    return [
        ServiceUptime(found, spent, strip(rows[found.service], now, window))
        for found, spent in reports(rows.values(), groups, now, window, price_usd=price)
    ]


def last_outages(found: Sequence[ServiceUptime]) -> list[tuple[str, Outage]]:
    """The newest outages of all services."""
    every = [(one.report.service, out) for one in found for out in one.report.last_outages]
    return sorted(every, key=lambda pair: pair[1].start, reverse=True)[:OUTAGES_SHOWN]


def policies(ctx: Context) -> list[PolicyRow]:
    """Policies in force by priority, then the retired ones."""
    rows = ctx.views.all(POLICIES)
    return sorted(rows, key=lambda r: (r.retired, -r.policy.priority, r.policy.policy_id))


def mode(ctx: Context) -> dict[str, Any]:
    """The mode in force, as ``GET /governance/mode`` answers it."""
    row = ctx.views.get(MODE, MODE_KEY)
    if row is None:
        return {
            "mode": ctx.settings.mode,
            "user_present": False,
            "by": "settings",
            "reason": "",
            "since": None,
        }
    return row.model_dump(mode="json", exclude={"last_position"})


def as_json(found: Waiting) -> dict[str, Any]:
    """One question as the API answers it."""
    row, question, intent = found.approval, found.question, found.intent
    return {
        **row.model_dump(mode="json", exclude={"expires_ts"}),
        "rules_changed": found.rules_changed,
        "intent": intent.intent.model_dump(mode="json") if intent else None,
        "intent_status": intent.status if intent else "",
        "policy_applied": question.policy_applied if question else "",
        "conditions": [c.model_dump(mode="json") for c in question.conditions] if question else [],
        "assessment": question.assessment.model_dump(mode="json") if question else None,
    }


def day_as_json(one: Day) -> dict[str, Any]:
    mean = round(one.score_sum / one.assessed, 4) if one.assessed else None
    rate = round(one.auto_approved / one.decided, 4) if one.decided else None
    return {
        **one.model_dump(exclude={"score_sum"}),
        "decided": one.decided,
        "mean_alignment_score": mean,
        "auto_approval_rate": rate,
    }
