"""The single source of truth: the whole system as of one position of the log.

Now: from this instance's views. Earlier: the same tables folded again from the log up to there,
so that yesterday's answer is as exact as today's.
"""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.errors import Invalid
from infra.ports import Context, EventLog, Views
from infra.replay import position_at, replay
from projections.governance import MODE, MODE_KEY, POLICIES
from projections.instances import GROUPS
from projections.services import IN_FLIGHT, SERVICES
from services.registry import answers

TABLES = (SERVICES, GROUPS, IN_FLIGHT, MODE, POLICIES)
_IN_FLIGHT_MAX = 200


async def describe(ctx: Context, at: str) -> dict[str, Any]:
    """Return the system now (``at`` "") or as of a position or an ISO time.

    Raises:
        Invalid: field ``at``: neither a position of this log nor a time.
    """
    last = await ctx.log.last_position()
    if not at:
        await ctx.views.reach(last)
        return _document(ctx, ctx.views, position=last, as_of=ctx.clock.now())
    position = await _position(ctx.log, at, last)
    recorded = await ctx.log.get(position)
    as_of = recorded.event.at if recorded else None
    with tempfile.TemporaryDirectory(prefix="ssot-") as folder:
        views = await replay(ctx.log, TABLES, Path(folder), to=position)
        try:
            return _document(ctx, views, position=position, as_of=as_of)
        finally:
            views.close()


async def _position(log: EventLog, at: str, last: int) -> int:
    if at.isdecimal():
        position = int(at)
        if position > last:
            raise Invalid("at", f"the log ends at position {last}")
        return position
    try:
        moment = datetime.fromisoformat(at.replace(" ", "+"))  # a + in a query arrives as a space
    except ValueError:
        raise Invalid("at", "must be a log position or an ISO time") from None
    if moment.tzinfo is None:
        raise Invalid("at", "must say its time zone, for example 2030-01-01T12:00:00Z")
    return await position_at(log, moment, last)


def _document(
    ctx: Context, views: Views, *, position: int, as_of: datetime | None
) -> dict[str, Any]:
    services = [answers.service(ctx, views, row) for row in answers.registered(views)]
    mode = views.get(MODE, MODE_KEY)
    policies = [row.policy for row in views.all(POLICIES) if not row.retired]
    flight = views.page(IN_FLIGHT, order="position", limit=_IN_FLIGHT_MAX)
    return {
        "position": position,
        "as_of": as_of.isoformat() if as_of else None,
        "services": services,
        "phoenix": answers.groups(views),
        "governance": {
            "mode": mode.mode if mode else None,
            "user_present": mode.user_present if mode else False,
            "policies": [
                {
                    "policy_id": policy.policy_id,
                    "version": policy.version,
                    "outcome": policy.outcome,
                    "priority": policy.priority,
                    "conditions": list(policy.conditions),
                    "modes": list(policy.modes),
                }
                for policy in sorted(policies, key=lambda p: (-p.priority, p.policy_id))
            ],
        },
        "intents_in_flight": [row.model_dump(mode="json") for row in flight.rows],
        "totals": {
            "services": len(services),
            "degraded": sum(service["status"] == "degraded" for service in services),
            "instances_ready": sum(
                instance["status"] == "ready"
                for service in services
                for instance in service["instances"]
            ),
            "intents_in_flight": flight.total,
        },
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The same for people and for models: one page of Markdown."""
    totals = document["totals"]
    lines = [
        "# The system as it is",
        "",
        f"As of {document['as_of'] or 'the beginning'}, log position {document['position']}: "
        f"{totals['services']} services ({totals['degraded']} degraded), "
        f"{totals['instances_ready']} instances ready, "
        f"{totals['intents_in_flight']} intents in flight.",
        "",
        "## Services",
        "",
        *_table(
            ("service", "version", "tier", "status", "address", "depends on"),
            [
                (
                    s["name"],
                    s["version"],
                    s["tier"],
                    s["status"] + (f": {s['reason']}" if s["reason"] else ""),
                    s["url"],
                    ", ".join(s["dependencies"]) or "nothing",
                )
                for s in document["services"]
            ],
        ),
        "## Phoenix",
        "",
        *_table(
            ("service", "leader", "epoch", "ready", "capacity", "restarts", "last failover"),
            [
                (
                    g["service"],
                    g["leader"] or "nobody",
                    g["epoch"],
                    f"{g['ready']} of {g['size']}",
                    f"{g['capacity_percent']} %",
                    g["restarts"],
                    _failover(g),
                )
                for g in document["phoenix"]
            ],
        ),
        *_governance(document["governance"]),
        *_features(document["services"]),
        "## Intents in flight",
        "",
        *_table(
            ("intent", "service", "kind", "tier", "priority", "queued"),
            [
                (
                    i["intent_id"],
                    i["service_name"],
                    i["kind"],
                    i["tier"],
                    i["priority"],
                    i["queued_at"],
                )
                for i in document["intents_in_flight"]
            ],
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _governance(governance: Mapping[str, Any]) -> list[str]:
    present = "somebody is present" if governance["user_present"] else "nobody is present"
    rows = [
        (p["policy_id"], p["version"], p["outcome"], p["priority"], " and ".join(p["conditions"]))
        for p in governance["policies"]
    ]
    columns = ("policy", "version", "outcome", "priority", "when")
    mode = governance["mode"] or "not set yet"
    return ["## Governance", "", f"Mode: **{mode}**, {present}.", "", *_table(columns, rows)]


def _features(services: list[dict[str, Any]]) -> list[str]:
    lines = ["## What they do", ""]
    for one in services:
        lines += [f"### {one['name']}", "", *(f"- {_cell(f)}" for f in one["features"]), ""]
    return lines if services else [*lines, "Nothing is registered.", ""]


def _failover(group: Mapping[str, Any]) -> str:
    if group["last_failover_s"] is None:
        return "none"
    return f"{group['last_failover_s'] * 1000:.0f} ms, {group['last_failover_at']}"


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    if not rows:
        return ["None.", ""]
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows),
        "",
    ]


def _cell(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
