"""The launcher's state as data (``phoenix status --json``) and as a table for people."""

import time
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from phoenix.group import Group
from phoenix.member import Member

_SIGNS = {"ready": "ok", "up": "catching up", "starting": "starting", "stopping": "stopping"}
WIDE = 105
_COLUMNS = (
    *("instance", "port", "role", "epoch", "cap", "health", "lag", "req/s", "MB"),
    *("restarts", "last failover"),
)
_FIGURES = frozenset(("epoch", "lag", "req/s", "MB", "restarts", "last failover"))
_ONLY_WIDE = frozenset(("req/s", "MB", "restarts"))
_STYLES = {"ready": "green", "up": "yellow", "starting": "yellow", "stopping": "dim"}


def of_group(group: Group) -> dict[str, Any]:
    """One service: figures of the group and each instance, base port first."""
    now = time.monotonic()
    leader = group.leader
    ago_s = None if group.last_failover_at is None else round(now - group.last_failover_at, 1)
    return {
        "service": group.plan.service,
        "version": group.release.version,
        "port": group.plan.ports[0],
        "whole": group.whole,
        "leader": leader.spec.instance if leader else "",
        "leader_elsewhere": group.elsewhere,
        "epoch": leader.epoch if leader else 0,
        "restarts": group.restarts,
        "failovers": group.failovers,
        "last_failover_s": group.last_failover_s,
        "last_failover_ago_s": ago_s,
        "held": group.held,
        "error": group.error,
        "instances": [
            _of_member(member, group, now)
            for member in sorted(group.members.values(), key=lambda m: (not m.leads, m.seat))
        ],
    }


def _of_member(member: Member, group: Group, now: float) -> dict[str, Any]:
    return {
        "instance": member.spec.instance,
        "pid": member.pid,
        "ports": [group.plan.ports[slot] for slot in sorted(member.slots)],
        "state": member.state,
        "role": member.role,
        "epoch": member.epoch,
        "capacity": member.spec.capacity,
        "version": member.spec.version,
        "uptime_s": round(now - member.started_at, 1),
        "requests_per_s": round(member.requests_per_s, 1),
        **member.beat,
    }


def table(groups: Sequence[dict[str, Any]], *, width: int = 120) -> Table:
    """Every instance a line; words say what colours say. A narrow screen gets fewer columns."""
    columns = [name for name in _COLUMNS if width >= WIDE or name not in _ONLY_WIDE]
    view = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        view.add_column(name, no_wrap=True, justify="right" if name in _FIGURES else "left")
    for group in groups:
        for index, instance in enumerate(group["instances"]):
            row = _row(group, instance, first=index == 0)
            view.add_row(*(row[name] for name in columns))
        if not group["instances"]:
            view.add_row(group["service"], str(group["port"]), Text("nobody runs", style="red"))
    return view


def remarks(groups: Sequence[dict[str, Any]]) -> list[Text]:
    """What does not fit into a row: one line each, for below the table."""
    lines = []
    for group in groups:
        if group["leader_elsewhere"]:
            text = f"{group['service']}: led by {group['leader_elsewhere']} under another launcher"
            lines.append(Text(text, style="dim"))
        if group["error"]:
            lines.append(Text(f"! {group['service']}: {group['error']}", style="red"))
    return lines


def _row(group: dict[str, Any], instance: dict[str, Any], *, first: bool) -> dict[str, str | Text]:
    leads = instance["role"] == "active"
    return {
        "instance": instance["instance"],
        "port": " ".join(str(port) for port in instance["ports"]) or "-",
        "role": Text("active" if leads else "standby", style="bold" if leads else "dim"),
        "epoch": str(instance["epoch"] or "-"),
        "cap": f"{instance['capacity']}x",
        "health": _health(instance),
        "lag": str(instance.get("lag", "-")),
        "req/s": _figure(instance.get("requests_per_s")),
        "MB": _figure(instance.get("memory_mb")),
        "restarts": str(group["restarts"]) if first else "",
        "last failover": _failover(group) if first else "",
    }


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _health(instance: dict[str, Any]) -> Text:
    if instance.get("problem"):
        return Text(f"degraded: {instance['problem']}", style="red")
    state = instance["state"]
    return Text(_SIGNS.get(state, state), style=_STYLES.get(state, "red"))


def _failover(group: dict[str, Any]) -> str:
    if group["last_failover_s"] is None:
        return "-"
    ago = group["last_failover_ago_s"]
    when = f"{ago:.0f} s" if ago < 120 else f"{ago / 60:.0f} min"
    return f"{group['last_failover_s'] * 1000:.0f} ms, {when} ago"


def plain(groups: Sequence[dict[str, Any]]) -> list[str]:
    """One line a service, for logs and pipes."""
    lines = []
    for group in groups:
        ready = sum(i["state"] == "ready" for i in group["instances"])
        total = len(group["instances"])
        leader = group["leader"] or group["leader_elsewhere"] or "none"
        lines.append(
            f"{group['service']} port {group['port']}: {ready}/{total} ready, "
            f"leader {leader}, epoch {group['epoch']}, "
            f"restarts {group['restarts']}" + (f", {group['error']}" if group["error"] else "")
        )
    return lines
