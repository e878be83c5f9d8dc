"""The services' uptime and groups as Prometheus gauges, the same on every instance of the registry.

Role, epoch, lag and requests of one instance are in its own ``/metrics``.
"""

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from infra.ports import Context
from projections.instances import GROUPS, Group
from projections.uptime import UPTIME
from projections.uptime_report import WINDOWS, report

_BY_WINDOW = (
    ("availability_ratio", "Up time over observed time.", "availability"),
    ("down_seconds", "Time without a leader or without answers.", "down_s"),
    ("unknown_seconds", "Time in which nobody watched.", "unknown_s"),
    ("error_budget_left_seconds", "What is left of the error budget.", "budget_left_s"),
)

_BY_GROUP: tuple[tuple[str, str, Callable[[Group], float | None]], ...] = (
    ("epoch", "Term of the leader.", lambda group: group.epoch),
    ("led", "1 while somebody leads.", lambda group: bool(group.leader)),
    ("instances_ready", "Instances that are ready.", lambda group: len(group.running)),
    ("instances", "Seats of the group.", lambda group: len(group.members)),
    (
        "capacity",
        "Worker slots of the ready instances.",
        lambda group: sum(member.capacity for member in group.running),
    ),
    ("restarts", "Unplanned deaths of instances so far.", lambda group: group.restarts),
    ("failovers", "Unplanned changes of the leader so far.", lambda group: group.failovers),
    ("switchovers", "Planned changes of the leader so far.", lambda group: group.switchovers),
    (
        "last_failover_seconds",
        "From the last fault of a leader to the next one.",
        lambda group: group.last_failover_s,
    ),
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
    yield from _groups(ctx)


def _groups(ctx: Context) -> Iterable[Metric]:
    groups = ctx.views.all(GROUPS)
    for name, text, figure in _BY_GROUP:
        family = GaugeMetricFamily(f"phoenix_service_{name}", text, labels=("name",))
        for group in groups:
            value = figure(group)
            if value is not None:
                family.add_metric((group.service,), value)
        yield family
