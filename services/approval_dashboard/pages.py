"""The pages. Without scripts they work as plain pages and forms; with them they stay current."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Controller, Response, get, post
from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, ServerSentEvent

from domain.errors import (
    ConflictError,
    DomainError,
    Invalid,
    NotFound,
    TransientError,
)
from infra.ports import Context
from infra.vouching import signatures
from projections.governance import APPROVALS
from projections.intents import INTENTS
from projections.uptime_report import TARGET, WINDOWS, Window
from services.approval_dashboard import commands, forms, present, standing_in
from services.approval_dashboard.assets import assets
from services.approval_dashboard.forms import back
from services.approval_dashboard.live import live
from services.approval_dashboard.render import HEADERS
from services.approval_dashboard.session import Sessions, matches
from services.approval_dashboard.view import AnyRequest, View

_SHOWN: tuple[type[Exception], ...] = (
    NotFound,
    Invalid,
    DomainError,
    ConflictError,
    TransientError,
    ValidationException,
)
_LOCAL = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9_/-]*)?")
_DONE = {
    "approved": "Approved: {} goes on.",
    "granted": "Your approval of {} is recorded; one more person has to agree.",
    "rejected": "Rejected: {} will not be built.",
    "build": "The build of {} starts.",
    "deploy": "The deployment of {} starts.",
    "mode": "The mode is now {}.",
}
_ANSWERED = {
    "accepted": "Thank you: the SPEC is accepted and goes on.",
    "asked": "Thank you. The factory asks for a little more.",
    "auto_approve": "Your decision is recorded: it goes on. The one before stays on record.",
    "blocked": "Your decision is recorded: it ends here. The one before stays on record.",
}
_STANDING_IN = {
    "delegated": "Recorded: from now on somebody may answer in your place.",
    "ended": "Recorded: the delegation has ended.",
}
_DAYS = 14
_FOREVER = "public, max-age=31536000, immutable"


def routes(ctx: Context, sessions: Sessions) -> Sequence[Any]:
    """Return the controllers of one instance."""
    view = View(ctx, sessions)
    return (
        _reading(ctx, view),
        *forms.routes(ctx, view),
        _signing(sessions, view),
        _files(ctx),
        _elsewhere(view),
    )


def _problem_page(view: View) -> Callable[[AnyRequest, Exception], Response[str]]:
    def handle(request: AnyRequest, error: Exception) -> Response[str]:
        if isinstance(error, HTTPException):
            status, text = error.status_code, error.detail
        else:
            status, text = commands.status_of(error), str(error)
        return view.page(request, "problem.html", code=status, problem=text, status_code=status)

    return handle


def _reading(ctx: Context, view: View) -> type[Controller]:
    class Reading(Controller):
        include_in_schema = False
        # Each by its own name: the nearest type wins, and all services share handlers for these.
        exception_handlers = dict.fromkeys(_SHOWN, _problem_page(view))

        @get("/")
        async def approvals(
            self, request: AnyRequest, done: FromQuery[str] = "", about: FromQuery[str] = ""
        ) -> Response[str]:
            """What waits for a person."""
            return view.home(request, notice=_notice(ctx, done, about))

        @get("/intents")
        async def intents(
            self,
            request: AnyRequest,
            status: FromQuery[str] = "",
            q: FromQuery[str] = "",
            cursor: FromQuery[str] = "",
        ) -> Response[str]:
            wanted = status if status in present.STATUSES else ""
            return view.page(
                request,
                "intents.html",
                found=present.intents(ctx, status=wanted, q=q[:200], cursor=cursor),
                totals=present.totals(ctx),
                status=wanted,
                q=q[:200],
            )

        @get("/intents/{intent_id:str}")
        async def intent(
            self, request: AnyRequest, intent_id: FromPath[str], done: FromQuery[str] = ""
        ) -> Response[str]:
            return view.intent(request, intent_id, notice=_ANSWERED.get(done, ""))

        @get("/services")
        async def services(self, request: AnyRequest) -> Response[str]:
            return view.page(request, "services.html", services=present.services(ctx))

        @get("/uptime")
        async def uptime(
            self, request: AnyRequest, window: FromQuery[str] = "day"
        ) -> Response[str]:
            wanted: Window = next((name for name in WINDOWS if name == window), "day")
            found = present.uptime(ctx, wanted)
            return view.page(
                request,
                "uptime.html",
                found=found,
                outages=present.last_outages(found),
                window=wanted,
                windows=list(WINDOWS),
                target=TARGET,
                budget_s=WINDOWS[wanted].total_seconds() * (1 - TARGET),
            )

        @get("/history")
        async def history(
            self, request: AnyRequest, status: FromQuery[str] = "", cursor: FromQuery[str] = ""
        ) -> Response[str]:
            wanted = status if status in present.ENDED else ""
            days = present.last_days(ctx, _DAYS)
            return view.page(
                request,
                "history.html",
                found=present.history(ctx, status=wanted, cursor=cursor),
                decisions=present.decisions(ctx, 50),
                days=days,
                peak=max(1, *(day.decided for day in days)),
                ended=present.ENDED,
                status=wanted,
            )

        @get("/policies")
        async def policies(self, request: AnyRequest) -> Response[str]:
            vouched = await signatures(ctx.log, ctx.data_dir)
            return view.policies(request, vouched)

        @get("/delegations")
        async def delegations(
            self, request: AnyRequest, done: FromQuery[str] = ""
        ) -> Response[str]:
            found = await standing_in.standing(ctx)
            return view.delegations(request, found, notice=_STANDING_IN.get(done, ""))

    return Reading


def _elsewhere(view: View) -> type[Controller]:
    class Elsewhere(Controller):
        include_in_schema = False
        exception_handlers = {NotFound: _problem_page(view)}  # noqa: RUF012

        @get("/{path:path}")
        async def nothing(self, request: AnyRequest, path: FromPath[str]) -> Response[str]:
            """A browser that has lost its way gets a page, a program the usual problem."""
            if "text/html" in request.headers.get("accept", ""):
                raise NotFound(f"There is no page {path}.")
            raise NotFoundException

    return Elsewhere


def _signing(sessions: Sessions, view: View) -> type[Controller]:
    class Signing(Controller):
        include_in_schema = False

        @get("/sign-in")
        async def link(
            self, request: AnyRequest, token: FromQuery[str] = "", next: FromQuery[str] = "/"
        ) -> Response[Any]:
            """With a token (the link that `phoenix up` prints) sign in; else ask for it."""
            if not token:
                return view.page(request, "sign_in.html", next=_local(next))
            return await self._enter(request, token, next)

        @post("/sign-in", opt={"reads": True})
        async def form(self, request: AnyRequest) -> Response[Any]:
            form = await request.form()
            given, where = str(form.get("token", "")), str(form.get("next", "/"))
            return await self._enter(request, given.strip(), where)

        @post("/sign-out", opt={"reads": True})
        async def leave(self, request: AnyRequest) -> Response[Any]:
            answer = back("/")
            session, form = view.session(request), await request.form()
            if session is not None and matches(session, str(form.get("csrf", ""))):
                answer.set_cookie(sessions.sign_out())
            return answer

        async def _enter(self, request: AnyRequest, token: str, where: str) -> Response[Any]:
            cookie = await sessions.sign_in(token)
            if cookie is None:
                text = "This token is not known here, or has been revoked."
                return view.page(request, "sign_in.html", code=401, error=text, next=_local(where))
            answer = back(_local(where))
            answer.set_cookie(cookie)
            return answer

    return Signing


def _files(ctx: Context) -> type[Controller]:
    class Files(Controller):
        include_in_schema = False

        @get("/live")
        async def news(self) -> ServerSentEvent:
            """``changed`` whenever the views have moved on."""
            return live(ctx)

        @get("/static/{name:str}")
        async def static(self, name: FromPath[str]) -> Response[bytes]:
            asset = assets().get(name)
            if asset is None:
                raise NotFound(f"no file {name}")
            headers = {**HEADERS, "Cache-Control": _FOREVER}
            return Response(asset.content, media_type=asset.media_type, headers=headers)

        @get("/favicon.ico")
        async def icon(self) -> Redirect:
            return Redirect("/static/icon.svg")

    return Files


def _notice(ctx: Context, done: str, about: str) -> str:
    text = _DONE.get(done, "")
    if done == "mode":
        return text.format(present.mode(ctx)["mode"])
    row = ctx.views.get(INTENTS, about) or ctx.views.get(APPROVALS, about) if text else None
    return text.format(row.service_name) if row else ""


def _local(path: str) -> str:
    """A path on this site and nothing else: a sign-in link leads nowhere else."""
    return path if _LOCAL.fullmatch(path) else "/"
