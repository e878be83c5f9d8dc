"""The registry's answers as JSON, from its views alone."""

from typing import Any

from infra.ports import Context, Views
from projections.instances import GROUPS, Group, Member
from projections.services import SERVICES, ServiceRow


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


def phoenix(views: Views) -> dict[str, Any]:
    """Every group under the Phoenix Protocol."""
    groups = [of_group(group) for group in views.all(GROUPS) if _alive(group)]
    return {
        "position": views.position,
        "groups": groups,
        "instances_ready": sum(group["ready"] for group in groups),
        "whole": all(group["whole"] for group in groups),
    }


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


def _time(at: Any) -> str | None:
    return at.isoformat() if at is not None else None
