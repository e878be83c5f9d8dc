"""The forms. Without a session they lead to the sign-in page; a refusal shows the page again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar import Controller, Response, post
from litestar.params import FromPath
from litestar.response import Redirect

from domain.errors import NotFound, PhoenixError
from domain.governance_events import Mode
from infra.http import command_id
from infra.ports import Context
from infra.vouching import signatures
from services.approval_dashboard import commands, present, standing_in
from services.approval_dashboard.appending import By
from services.approval_dashboard.session import matches
from services.approval_dashboard.view import AnyRequest, View


def routes(ctx: Context, view: View) -> Sequence[Any]:
    """Return the controllers of one instance."""
    return (
        _deciding(ctx, view),
        _going_on(ctx, view),
        _judging(ctx, view),
        _standing_in(ctx, view),
    )


def back(path: str) -> Redirect:
    """Lead the browser on after a form, so that a reload sends nothing again."""
    return Redirect(path, status_code=303, headers={"Cache-Control": "no-store"})


def _deciding(ctx: Context, view: View) -> type[Controller]:
    """Forms. ``reads``: they send whoever is not signed in to the sign-in page, not away."""

    class Deciding(Controller):
        include_in_schema = False
        opt = {"reads": True}  # noqa: RUF012

        @post("/approvals/{id:str}/approve")
        async def approve(self, request: AnyRequest, id: FromPath[str]) -> Response[Any]:
            async def act(form: Any, by: By) -> Redirect:
                await commands.approve(
                    ctx, id, by, digest=form.get("digest", ""), comment=form.get("comment", "")
                )
                row = await commands.find(ctx, id)
                done = "granted" if row.status == "pending" else "approved"
                return back(f"/?done={done}&about={row.intent_id}")

            return await _submitted(request, view, act)

        @post("/approvals/{id:str}/reject")
        async def reject(self, request: AnyRequest, id: FromPath[str]) -> Response[Any]:
            async def act(form: Any, by: By) -> Redirect:
                await commands.reject(
                    ctx, id, by, reason=form.get("reason", ""), digest=form.get("digest", "")
                )
                row = await commands.find(ctx, id)
                return back(f"/?done=rejected&about={row.intent_id}")

            return await _submitted(request, view, act)

        @post("/mode")
        async def mode(self, request: AnyRequest) -> Response[Any]:
            async def act(form: Any, by: By) -> Redirect:
                wanted = _mode(form.get("mode", ""))
                await commands.change_mode(
                    ctx,
                    by,
                    mode=wanted,
                    user_present=form.get("user_present") == "yes",
                    reason=form.get("reason", ""),
                )
                return back("/?done=mode")

            return await _submitted(request, view, act)

    return Deciding


def _going_on(ctx: Context, view: View) -> type[Controller]:
    """What an intent waits for after its decision."""

    class GoingOn(Controller):
        include_in_schema = False
        opt = {"reads": True}  # noqa: RUF012

        @post("/builds/{id:str}/approve")
        async def go_on(self, request: AnyRequest, id: FromPath[str]) -> Response[Any]:
            async def act(form: Any, by: By) -> Redirect:
                step = str(form.get("step", ""))
                row = await commands.go_on(ctx, id, step, by)
                return back(f"/?done={step}&about={row.intent_id}")

            return await _submitted(request, view, act)

        @post("/intents/{intent_id:str}/detail")
        async def detail(self, request: AnyRequest, intent_id: FromPath[str]) -> Response[Any]:
            session = view.session(request)
            given = await request.form()
            typed, without_custom = str(given.get("spec", "")), given.get("without_custom") == "yes"

            async def act(form: Any, by: By) -> Redirect:
                token = session.token if session else ""
                asked = await commands.tell(
                    ctx, intent_id, typed, without_custom=without_custom, token=token
                )
                return back(f"/intents/{intent_id}?done={'asked' if asked else 'accepted'}")

            def again(request: AnyRequest, *, code: int, error: str) -> Response[str]:
                return view.intent(
                    request,
                    intent_id,
                    code=code,
                    error=error,
                    typed=typed,
                    without_custom=without_custom,
                )

            return await _submitted(request, view, act, again)

    return GoingOn


def _judging(ctx: Context, view: View) -> type[Controller]:
    """Second thoughts: about one decision, or about the policies behind all of them."""

    class Judging(Controller):
        include_in_schema = False
        opt = {"reads": True}  # noqa: RUF012

        @post("/intents/{intent_id:str}/override")
        async def override(self, request: AnyRequest, intent_id: FromPath[str]) -> Response[Any]:
            async def act(form: Any, by: By) -> Redirect:
                decision, reason = str(form.get("decision", "")), str(form.get("reason", ""))
                await commands.override(ctx, intent_id, by, decision=decision, reason=reason)
                return back(f"/intents/{intent_id}?done={decision}")

            def again(request: AnyRequest, *, code: int, error: str) -> Response[str]:
                return view.intent(request, intent_id, code=code, error=error)

            return await _submitted(request, view, act, again)

        @post("/policies/simulate")
        async def simulate(self, request: AnyRequest) -> Response[Any]:
            """Nothing is recorded, so the answer is a page and no redirect."""
            session = view.session(request)
            typed = str((await request.form()).get("policies", ""))
            vouched = await signatures(ctx.log, ctx.data_dir)

            async def act(form: Any, by: By) -> Response[str]:
                token = session.token if session else ""
                found = await commands.simulate(ctx, typed, token=token)
                return view.policies(request, vouched, typed=typed, found=found)

            def again(request: AnyRequest, *, code: int, error: str) -> Response[str]:
                return view.policies(request, vouched, code=code, error=error, typed=typed)

            return await _submitted(request, view, act, again)

    return Judging


def _standing_in(ctx: Context, view: View) -> type[Controller]:
    """Who answers in whose place."""

    class StandingIn(Controller):
        include_in_schema = False
        opt = {"reads": True}  # noqa: RUF012

        @post("/delegations/new")
        async def delegate(self, request: AnyRequest) -> Response[Any]:
            given, found = await request.form(), await standing_in.standing(ctx)
            typed = {name: str(given.get(name, "")) for name in ("delegate", "until", "reason")}

            async def act(form: Any, by: By) -> Redirect:
                await standing_in.delegate(
                    ctx, by, to=typed["delegate"], until=typed["until"], reason=typed["reason"]
                )
                return back("/delegations?done=delegated")

            def again(request: AnyRequest, *, code: int, error: str) -> Response[str]:
                return view.delegations(request, found, code=code, error=error, typed=typed)

            return await _submitted(request, view, act, again)

        @post("/delegations/end")
        async def end(self, request: AnyRequest) -> Response[Any]:
            found = await standing_in.standing(ctx)

            async def act(form: Any, by: By) -> Redirect:
                approver, to = str(form.get("approver", "")), str(form.get("delegate", ""))
                await standing_in.end(ctx, by, approver=approver, to=to)
                return back("/delegations?done=ended")

            def again(request: AnyRequest, *, code: int, error: str) -> Response[str]:
                return view.delegations(request, found, code=code, error=error)

            return await _submitted(request, view, act, again)

    return StandingIn


async def _submitted(
    request: AnyRequest,
    view: View,
    act: Callable[[Any, By], Awaitable[Response[Any]]],
    again: Callable[..., Response[str]] | None = None,
) -> Response[Any]:
    """Do what a form asks for; a refusal shows its page ``again`` (the first one) with why."""
    session, again = view.session(request), again or view.home
    if session is None:
        return back("/sign-in")
    form = await request.form()
    if not matches(session, str(form.get("csrf", ""))):
        return again(request, code=403, error="This form is not from this session: try again")
    by = By(person=session.person, command_id=command_id(request))
    try:
        return await act(form, by)
    except PhoenixError as error:
        return again(request, code=commands.status_of(error), error=str(error))


def _mode(text: str) -> Mode:
    found = next((mode for mode in present.MODES if mode == text), None)
    if found is None:
        raise NotFound(f"no mode {text}")
    return found
