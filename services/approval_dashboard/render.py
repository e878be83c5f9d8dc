"""Templates to pages: autoescaped, strict about names, with a policy that runs no inline script."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Response

from domain.governance_events import ConditionValue
from projections.uptime_report import lasted, percent
from services.approval_dashboard.assets import address

_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: that would hide the origin which every write must name.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
_MARKS = {
    "completed": "✓",
    "granted": "✓",
    "auto_approve": "✓",
    "active": "✓",
    "ready": "✓",
    "failed": "✕",
    "rejected": "✕",
    "blocked": "✕",
    "dead": "✕",
    "cancelled": "□",
    "withdrawn": "□",
    "expired": "○",
    "awaiting_approval": "◆",
    "requires_approval": "◆",
    "pending": "◆",
    "needs_detail": "?",
    "overridden": "↷",
    "degraded": "!",
    "up": "✓",
    "down": "✕",
    "unknown": "?",
    "stopped": "□",
}
_TONES = {
    "good": {"completed", "granted", "auto_approve", "active", "ready", "low", "up"},
    "bad": {"failed", "rejected", "blocked", "dead", "degraded", "critical", "high", "down"},
    "wait": {
        "awaiting_approval",
        "requires_approval",
        "pending",
        "needs_detail",
        "medium",
        "unknown",
    },
}


def page(name: str, values: Mapping[str, Any], *, status: int = 200) -> Response[str]:
    """Return a rendered page."""
    text = _environment.get_template(name).render(**values)
    return Response(text, status_code=status, media_type=MediaType.HTML, headers=dict(HEADERS))


def words(value: Any) -> str:
    """``awaiting_approval`` as people write it."""
    return str(value).replace("_", " ")


def span(seconds: float) -> str:
    """A duration in its largest fitting unit: ``3 min``, ``2 d``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def until(at: datetime, now: datetime) -> str:
    left = at - now
    return "expired" if left <= timedelta() else f"in {span(left.total_seconds())}"


def clock(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


def mark(status: str) -> str:
    """A sign beside the word, so that colour is never the only one."""
    return _MARKS.get(status, "●")


def tone(status: str) -> str:
    return next((name for name, of in _TONES.items() if status in of), "plain")


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def by_policy(
    conditions: Sequence[ConditionValue], applied: str
) -> list[tuple[str, list[ConditionValue]]]:
    """The conditions of each policy together; the policy that decided comes first."""
    groups: dict[str, list[ConditionValue]] = {applied: []} if applied else {}
    for condition in conditions:
        groups.setdefault(condition.policy_id, []).append(condition)
    return [(policy, group) for policy, group in groups.items() if group]


def _new_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words, ago, until, clock, mark, tone, pretty, span, by_policy, lasted, percent)
    environment.filters.update({f.__name__: f for f in filters})
    environment.globals["asset"] = address
    return environment


_environment = _new_environment()
