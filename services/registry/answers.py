"""The registry's answers as JSON, from its views alone."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from infra.ports import Context, Views
from projections.instances import GROUPS, Group, Member
from projections.services import SERVICES, ServiceRow
from projections.uptime import UPTIME, Uptime
from projections.uptime_report import TARGET, WINDOWS, Window, report, reports


def registered(views: Views) -> list[ServiceRow]:
    """Every registered service, by name."""
    return views.all(SERVICES, registered=True)


def bound_port(ctx: Context, row: ServiceRow) -> int:
    """The base port as bound on this host."""
    return row.port if row.external else row.port + ctx.port_shift


def url_of(ctx: Context, row: ServiceRow) -> str:
    """Where the service answers on this host; an external one says so itself."""
    return row.url if row.external else ctx.host_url(bound_port(ctx, row))


def service(ctx: Context, views: Views, row: ServiceRow) -> dict[str, Any]:
    """One service as ``GET /services/{name}`` answers it."""
    group = views.get(GROUPS, row.name)
    return {
        "name": row.name,
        "version": row.version,
        "tier": row.tier,
        "status": row.status,
        "reason": row.reason,
        "port": bound_port(ctx, row),
        "url": url_of(ctx, row),
        "features": list(row.features),
        "dependencies": list(row.dependencies),
        "builtin": row.builtin,
        "external": row.external,
        "intent_id": row.intent_id,
        "build_id": row.build_id,
        "registered_at": _time(row.registered_at),
        "status_since": _time(row.status_since),
        "instances": instances(group),
    }


def instances(group: Group | None) -> list[dict[str, Any]]:
    """The instances of a group, by name; empty for a service that Phoenix does not run."""
    if group is None:
        return []
    return [_instance(group, member) for _, member in sorted(group.members.items())]


def _instance(group: Group, member: Member) -> dict[str, Any]:
    role = group.role(member.instance)
    return {
        "instance": member.instance,
        "port": member.port,
        "role": role,
        "status": member.state,
        "epoch": group.epoch if role == "active" else 0,
        "capacity": member.capacity,
        "version": member.version,
        "pid": member.pid,
        "host": member.host,
        "started_at": _time(member.started_at),
        "ready_at": _time(member.ready_at),
        "startup_s": member.startup_s,
        "starts": member.starts,
        "falls": member.falls,
        "last_fall": member.died_of,
    }


def groups(views: Views) -> list[dict[str, Any]]:
    """Every group under the Phoenix Protocol, by name."""
    return [of_group(group) for group in views.all(GROUPS) if _alive(group)]


def phoenix(views: Views, now: datetime) -> dict[str, Any]:
    """The groups with their uptime, and whether all is as it should be."""
    found = [
        {**group, "uptime": _brief(views.get(UPTIME, group["service"]), now)}
        for group in groups(views)
    ]
    return {
        "position": views.position,
        "groups": found,
        "instances_ready": sum(group["ready"] for group in found),
        "whole": all(group["whole"] for group in found),
    }


def ports(found: Iterable[dict[str, Any]]) -> list[int]:
    """The ports of all instances of these groups that run."""
    return [
        member["port"]
        for group in found
        for member in group["instances"]
        if member["status"] != "dead"
    ]


def _alive(group: Group) -> bool:
    return any(member.state != "dead" for member in group.members.values())


def of_group(group: Group) -> dict[str, Any]:
    ready = group.running
    return {
        "service": group.service,
        "port": group.base_port,
        "leader": group.leader,
        "epoch": group.epoch,
        "leader_since": _time(group.leader_since),
        "leader_reason": group.leader_reason,
        "ready": len(ready),
        "size": len(group.members),
        "whole": bool(group.leader) and len(ready) == len(group.members),
        "capacity_percent": 100 * sum(member.capacity for member in ready),
        "restarts": group.restarts,
        "failovers": group.failovers,
        "switchovers": group.switchovers,
        "last_failover_at": _time(group.last_failover_at),
        "last_failover_s": group.last_failover_s,
        "outage": group.outage,
        "instances": instances(group),
    }


def _brief(row: Uptime | None, now: datetime) -> dict[str, Any]:
    if row is None:
        return {}
    found = (report(row, now, window) for window in WINDOWS)
    return {one.window: one.model_dump(mode="json", include=_BRIEF) for one in found}


_BRIEF = {"state", "availability", "down_s", "unknown_s", "budget_left_s", "within_target"}


def uptime(ctx: Context, window: Window, now: datetime) -> dict[str, Any]:
    """How each service did within a window that ends now, and what its instances cost a month."""
    views, price_usd = ctx.views, ctx.settings.instance_price_usd
    groups = {group.service: group for group in views.all(GROUPS)}
    found = reports(views.all(UPTIME), groups, now, window, price_usd=price_usd)
    services = [
        {**one.model_dump(mode="json"), "cost": spent.model_dump(exclude={"service"})}
        for one, spent in found
    ]
    costs = [spent for _, spent in found]
    known = [one["availability"] for one in services if one["availability"] is not None]
    return {
        "window": window,
        "target": TARGET,
        "position": views.position,
        "end": now.isoformat(),
        "worst_availability": min(known, default=None),
        "services": services,
        "cost": {
            "instances": sum(one.instances for one in costs),
            "price_usd": price_usd,
            "month_usd": round(sum(one.month_usd for one in costs), 2),
            "extra_usd": round(sum(one.extra_usd for one in costs), 2),
        },
    }


def _time(at: Any) -> str | None:
    return at.isoformat() if at is not None else None
