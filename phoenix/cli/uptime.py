"""``phoenix status --uptime``: the registry's report as a table for people."""

from enum import StrEnum
from typing import Any

from phoenix.cli.client import Client
from phoenix.cli.output import out, show, table
from projections.uptime_report import lasted, percent


class Window(StrEnum):
    """How far back; a month is 30 days."""

    hour = "hour"
    day = "day"
    month = "month"


_COLUMNS = {
    "service": "service",
    "state": "state",
    "availability": "availability",
    "down": "down",
    "budget": "budget left",
    "unknown": "unknown",
    "stopped": "stopped",
    "outages": "outages",
    "failovers": "failovers",
    "recovery": "recovery min/50/99/max",
    "planned": "planned",
    "cost": "a month",
}


def show_uptime(window: str, *, as_json: bool) -> None:
    """Print how each service did within the window."""
    told = Client().get("registry", "/phoenix/uptime", window=window)
    show(told, as_json=as_json, human=lambda: _print(told))


def _print(told: dict[str, Any]) -> None:
    rows = [_row(one) for one in told["services"]]
    out.print(f"The last {told['window']}, target {told['target'] * 100:.2f} %")
    table(rows, _COLUMNS, empty="No service has run in this time.")
    cost = told["cost"]
    out.print(
        f"{cost['instances']} instances at ${cost['price_usd']:g}: ${cost['month_usd']:g} a month, "
        f"${cost['extra_usd']:g} of it for more than one instance of each service"
    )


def _row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "service": one["service"],
        "state": one["state"],
        "availability": percent(one["availability"]),
        "down": lasted(one["down_s"]),
        "budget": lasted(one["budget_left_s"]) + ("" if one["within_target"] else " !"),
        "unknown": lasted(one["unknown_s"]),
        "stopped": lasted(one["stopped_s"]),
        "outages": str(one["outages"]),
        "failovers": str(one["failovers"]["count"]),
        "recovery": _recovery(one["failovers"]),
        "planned": str(one["switchovers"]),
        "cost": f"${one['cost']['month_usd']:g}",
    }


def _recovery(found: dict[str, Any]) -> str:
    values = [found[name] for name in ("min_s", "p50_s", "p99_s", "max_s")]
    if values[0] is None:
        return "-"
    return "/".join(f"{value * 1000:.0f}" for value in values) + " ms"
