"""What every page has in common, and the two pages that a refused form shows again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from litestar import Request, Response

from domain.delegation import LONGEST
from domain.errors import NotFound
from domain.governance import APPROVER_ROLES
from domain.governance_events import ApprovalDelegated
from infra.ports import Context, Person
from projections.governance import APPROVALS
from projections.intents import INTENTS
from projections.questions import QUESTIONS
from services.approval_dashboard import present
from services.approval_dashboard.render import page
from services.approval_dashboard.session import Session, Sessions

AnyRequest = Request[Any, Any, Any]
_RECENT = 8
_USUAL = timedelta(days=7)  # of a delegation, until a person says otherwise
_EXAMPLE = {
    "records": [
        {
            "name": "booking",
            "fields": [
                {"name": "title", "type": "text", "required": True},
                {"name": "day", "type": "date", "required": True},
            ],
        }
    ]
}


_TRIAL = {
    "policy_id": "weekends_ask",
    "conditions": ["weekday in ['saturday', 'sunday']", "tier <= 2"],
    "outcome": "requires_approval",
    "priority": 20,
}


class View:
    """What every page needs: who looks, what the menu shows, the moment it was made."""

    def __init__(self, ctx: Context, sessions: Sessions) -> None:
        self._ctx = ctx
        self._sessions = sessions

    def session(self, request: AnyRequest) -> Session | None:
        return self._sessions.of(request)

    def page(
        self, request: AnyRequest, name: str, /, *, code: int = 200, **values: Any
    ) -> Response[str]:
        """Return a page with the common values and its own."""
        ctx, session = self._ctx, self.session(request)
        user = request.scope.get("user")
        common = {
            "now": ctx.clock.now(),
            "person": user if isinstance(user, Person) else None,
            "csrf": session.csrf if session else "",
            "mode": present.mode(ctx),
            "position": ctx.views.position,
            "pending": present.totals(ctx).waiting,
            "instance": ctx.instance,
            "path": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "error": "",
            "notice": "",
        }
        return page(name, {**common, **values}, status=code)

    def intent(
        self,
        request: AnyRequest,
        intent_id: str,
        *,
        code: int = 200,
        error: str = "",
        notice: str = "",
        typed: str | None = None,
        without_custom: bool = False,
    ) -> Response[str]:
        """The page of one intent; ``typed`` and ``without_custom`` are an answer that was refused.

        Raises:
            NotFound: there is no such intent.
        """
        ctx = self._ctx
        row = ctx.views.get(INTENTS, intent_id)
        if row is None:
            raise NotFound(f"There is no intent {intent_id}.")
        approval = ctx.views.get(APPROVALS, intent_id)
        wants_code = bool(row.intent.metadata.get("custom"))
        return self.page(
            request,
            "intent.html",
            code=code,
            error=error,
            notice=notice,
            typed=typed,
            without_custom=without_custom,
            wants_code=wants_code,
            # Who only gives up the code that a model was to write has nothing to add.
            example={} if wants_code else _EXAMPLE,
            row=row,
            waits=present.waits(ctx, approval) if approval else None,
            held=next((one for one in present.held(ctx) if one.intent == row), None),
            question=ctx.views.get(QUESTIONS, intent_id),
            timeline=present.timeline(ctx, intent_id),
        )

    def policies(
        self,
        request: AnyRequest,
        vouched: Mapping[str, dict[str, Any]],
        *,
        code: int = 200,
        error: str = "",
        typed: str | None = None,
        found: Mapping[str, Any] | None = None,
    ) -> Response[str]:
        """The policies, and who vouches for each; ``found`` is what those that were ``typed``
        would change."""
        return self.page(
            request,
            "policies.html",
            code=code,
            error=error,
            policies=present.policies(self._ctx),
            modes=present.MODE_MEANS,
            unsound={id: found["why"] for id, found in vouched.items() if not found["verified"]},
            typed=typed,
            trial=_TRIAL,
            found=found,
        )

    def delegations(
        self,
        request: AnyRequest,
        found: Sequence[ApprovalDelegated],
        *,
        code: int = 200,
        error: str = "",
        notice: str = "",
        typed: Mapping[str, str] | None = None,
    ) -> Response[str]:
        """Who answers in whose place; ``typed`` is a form that was refused."""
        now, user = self._ctx.clock.now(), request.scope.get("user")
        return self.page(
            request,
            "delegations.html",
            code=code,
            error=error,
            notice=notice,
            found=found,
            typed=typed or {"delegate": "", "until": "", "reason": ""},
            approver=isinstance(user, Person) and bool(user.roles & APPROVER_ROLES),
            latest=now + LONGEST,
            usual=(now + _USUAL).replace(minute=0),
        )

    def home(
        self, request: AnyRequest, *, code: int = 200, error: str = "", notice: str = ""
    ) -> Response[str]:
        """The first page: everything that waits for a person."""
        ctx = self._ctx
        return self.page(
            request,
            "approvals.html",
            code=code,
            error=error,
            notice=notice,
            waiting=present.waiting(ctx),
            held=present.held(ctx),
            questions=present.questions(ctx),
            totals=present.totals(ctx),
            decisions=present.decisions(ctx, _RECENT),
            modes=present.MODE_MEANS,
        )
