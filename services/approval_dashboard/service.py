"""What the instance host starts: views, pages and endpoints of the dashboard. It has no own work:
people act here, and the leader's only duty is to be there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litestar import Request

from infra.ports import Context, Person, Term
from projections.analytics import DAYS
from projections.builds import BUILDS
from projections.governance import APPROVALS, DECISIONS, MODE, OVERRIDES, POLICIES
from projections.instances import GROUPS
from projections.intents import INTENTS, TIMELINE
from projections.questions import QUESTIONS
from projections.services import SERVICES
from projections.uptime import UPTIME
from services.approval_dashboard import api, pages
from services.approval_dashboard.session import Sessions

_BASE_PORT = 8214


class ApprovalDashboard:
    name = "approval-dashboard"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Pending approvals with evidence, policy conditions and digest on one page",
        "Approve with one click, reject with a reason, bound to what was shown",
        "Lets builds go on that wait for a person, and takes answers to the factory's questions",
        "Intents, services, uptime, history and policies, kept current while you look",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = (
        APPROVALS,
        INTENTS,
        TIMELINE,
        QUESTIONS,
        DECISIONS,
        OVERRIDES,
        MODE,
        POLICIES,
        DAYS,
        SERVICES,
        GROUPS,
        UPTIME,
        BUILDS,
    )

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sessions = Sessions(ctx.auth, Path(ctx.data_dir), port=_BASE_PORT + ctx.port_shift)

    async def authenticate(self, request: Request[Any, Any, Any]) -> Person | None:
        """A signed-in browser's person."""
        return await self._sessions.authenticate(request)

    def routes(self) -> Sequence[Any]:
        return (*api.routes(self._ctx), *pages.routes(self._ctx, self._sessions))

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        return {"pending_approvals": views.count(APPROVALS, status="pending")}

    async def lead(self, term: Term) -> None:
        await term.ended.wait()


def create(ctx: Context) -> ApprovalDashboard:
    return ApprovalDashboard(ctx)
