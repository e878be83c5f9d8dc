"""What the instance host starts: views, routes and the leader's work of the build-executor."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from infra.ports import Context, Term
from infra.sandbox import best_level, sweep
from infra.settings import WrongSetting
from projections.builds import BUILDS
from projections.deployments import DEPLOYMENTS, PORTS
from projections.specs import PIPELINES, SPECS
from services.build_executor.api import routes
from services.build_executor.work import Step, building


class BuildExecutor:
    name = "build-executor"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Generates a service from its SPEC and runs its tests in a sandbox without a network",
        "Packages reproducible wheels with a bill of materials and signed provenance",
        "Deploys under Phoenix, proves health and UDC, goes back to the last good version",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = (BUILDS, DEPLOYMENTS, PORTS, PIPELINES, SPECS)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sandbox = ""

    def routes(self) -> Sequence[Any]:
        return routes(self._ctx)

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        return {
            "builds": views.count(BUILDS),
            "building": views.count(BUILDS, status="building"),
            "deployments": views.count(DEPLOYMENTS, status="healthy"),
            "sandbox": self._sandbox,
        }

    async def lead(self, term: Term) -> None:
        """Build and deploy what is accepted, most urgent first, until the term ends."""
        await asyncio.to_thread(sweep)
        try:
            self._sandbox = (await best_level(self._ctx.settings.sandbox)).level
        except WrongSetting as error:
            self._ctx.problem = str(error)  # builds fail with this reason; reads go on
        worker = building(self._ctx, Step(self._ctx), capacity=self._ctx.capacity)
        await worker.run(term)


def create(ctx: Context) -> BuildExecutor:
    return BuildExecutor(ctx)
