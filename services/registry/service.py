"""What the instance host starts: views, routes and the leader's work of the registry."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import Metric

from infra.ports import Context, Term
from infra.together import until_first
from projections.instances import GROUPS
from projections.services import SERVICES
from projections.uptime import UPTIME
from services.registry import asyncapi
from services.registry.api import routes
from services.registry.metrics import gauges
from services.registry.ssot import TABLES
from services.registry.work import Checks, registering


class Registry:
    name = "registry"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Every service with its address, instances, roles and health",
        "The whole system as of now or of any earlier moment",
        "Checks services from outside and records when one is degraded or well again",
        "Availability, error budget, outages, failovers and cost of each service from the log",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = (*TABLES, UPTIME)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def routes(self) -> Sequence[Any]:
        return (*routes(self._ctx), *asyncapi.routes(self.version))

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        return {
            "services": views.count(SERVICES, registered=True),
            "services_degraded": views.count(SERVICES, registered=True, status="degraded"),
            "groups": views.count(GROUPS),
        }

    def metrics(self) -> Iterable[Metric]:
        """Uptime of every service, for Prometheus."""
        return gauges(self._ctx)

    async def lead(self, term: Term) -> None:
        """Register and check services until the term ends."""
        await until_first(registering(self._ctx).run(term), Checks(self._ctx).run(term))


def create(ctx: Context) -> Registry:
    return Registry(ctx)
