"""The services' uptime as Prometheus gauges; every instance of the registry has the same."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from infra.ports import Context
from projections.instances import GROUPS
from projections.uptime import UPTIME
from projections.uptime_report import WINDOWS, report

_BY_WINDOW = (
    ("availability_ratio", "Up time over observed time.", "availability"),
    ("down_seconds", "Time without a leader or without answers.", "down_s"),
    ("unknown_seconds", "Time in which nobody watched.", "unknown_s"),
    ("error_budget_left_seconds", "What is left of the error budget.", "budget_left_s"),
)


def gauges(ctx: Context) -> Iterable[Metric]:
    """Return the families as of now."""
    views, now = ctx.views, ctx.clock.now()
    rows = views.all(UPTIME)
    found = [report(row, now, window) for row in rows for window in WINDOWS]
    for name, text, field in _BY_WINDOW:
        family = GaugeMetricFamily(f"phoenix_service_{name}", text, labels=("name", "window"))
        for one in found:
            value = getattr(one, field)
            if value is not None:
                family.add_metric((one.service, one.window), value)
        yield family
    up = GaugeMetricFamily("phoenix_service_up", "1 while it is led and answers.", labels=("name",))
    for one in found:
        if one.window == "hour":
            up.add_metric((one.service,), float(one.state == "up"))
    yield up
    yield _failovers(ctx)


def _failovers(ctx: Context) -> Metric:
    family = GaugeMetricFamily(
        "phoenix_service_last_failover_seconds",
        "From the last fault of a leader to the next one.",
        labels=("name",),
    )
    for group in ctx.views.all(GROUPS):
        if group.last_failover_s is not None:
            family.add_metric((group.service,), group.last_failover_s)
    return family
