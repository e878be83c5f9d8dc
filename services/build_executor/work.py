"""The leader's work: open builds and retirements, found in the views and taken one by one."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from domain.build import Cancel, Fail, State
from domain.deployment import fold
from domain.errors import IllegalTransition, NotFound
from infra.components import NotBuildable
from infra.ports import Context, Term
from infra.settings import BASE_PORTS
from infra.work import Worker
from projections.builds import BUILDS, BuildRow
from projections.specs import PIPELINES, PipelineRow
from services.build_executor.bench import StepFailed, stopped
from services.build_executor.claims import Claim, load, record
from services.build_executor.make import Maker, recipe_of
from services.build_executor.rollout import HEALTHY_S_MAX, Rollout

_STAGES = ("spec", "build", "deploy")
_WAITING = ("waiting", "packaged")
_FOUND_MAX = 500
_LOOK_S = 0.5
Result = TypeVar("Result")


def open_work(ctx: Context) -> list[Claim]:
    """Return what the leader can do now, most urgent first."""
    page = ctx.views.page(
        PIPELINES, where={"ended": False, "stage": _STAGES}, order="rank", limit=_FOUND_MAX
    )
    ready = [claim for row in page.rows if (claim := _ready(ctx, row)) is not None]
    return [*ready, *_left_behind(ctx)]


def _left_behind(ctx: Context) -> list[Claim]:
    """Builds that wait for a person although their intent has ended: nobody will come."""
    waiting = ctx.views.page(BUILDS, where={"status": _WAITING}, limit=_FOUND_MAX)
    rows = [(build, ctx.views.get(PIPELINES, build.intent_id)) for build in waiting.rows]
    return [
        Claim(row)
        for build, row in rows
        if row is not None and row.ended and row.attempt == build.attempt
    ]


def _ready(ctx: Context, row: PipelineRow) -> Claim | None:
    claim = Claim(row)
    if not row.cleared:
        return None
    if row.intent.kind == "retire":
        return claim  # needs no SPEC
    build = ctx.views.get(BUILDS, claim.build_id)
    return claim if build is not None and may_go_on(row, build) else None


def may_go_on(row: PipelineRow, build: BuildRow) -> bool:
    """Whether a leader can take the next step, or a person must."""
    match build.status:
        case "waiting":
            return row.intent.auto_build or "build" in build.approved
        case "building" | "deploying":
            return True
        case "packaged":
            return row.intent.auto_deploy or "deploy" in build.approved
        case _:
            return False


class Step:
    """One open item. Repeated, it goes on after the last step that the log holds."""

    def __init__(self, ctx: Context, *, healthy_s: float = HEALTHY_S_MAX) -> None:
        self._ctx = ctx
        self._healthy_s = healthy_s

    async def __call__(self, claim: Claim, term: Term) -> int:
        """Return the last position written for it."""
        try:
            return await self._go_on(claim, term)
        except StepFailed as error:
            return await self._fail(claim, term, error.step, error.reason)
        except NotBuildable as error:
            return await self._fail(claim, term, "source", str(error))
        except IllegalTransition:
            return (await load(self._ctx, claim))[1]  # cancelled meanwhile: the first end counts

    async def park(self, claim: Claim, term: Term, reason: str) -> None:
        """Nothing stays half done and silent: the build fails with the reason."""
        await self._fail(claim, term, "error", reason[:1000])

    async def _go_on(self, claim: Claim, term: Term) -> int:
        if claim.intent.kind == "retire":
            return await self._retire(claim, term)
        build = self._ctx.views.get(BUILDS, claim.build_id)
        if build is not None and build.status in _WAITING:
            await self._check(claim, term)
        name = claim.intent.service_name
        if claim.intent.kind == "service" and name in BASE_PORTS:
            raise StepFailed("claim", f"{name} is a part of this system, not a generated service")
        state, position = await load(self._ctx, claim)
        if state.ended:
            return position
        recipe, document = recipe_of(self._ctx, claim)
        if state.packaged is None:
            maker = Maker(self._ctx, claim, term)
            state = await self._unless_cancelled(claim, term, maker.make(recipe))
        if state.packaged is None or not self._may_deploy(claim, state):
            return (await load(self._ctx, claim))[1]
        rollout = Rollout(self._ctx, claim, term, within_s=self._healthy_s)
        return await rollout.deploy(state, document)

    def _may_deploy(self, claim: Claim, state: State) -> bool:
        return not state.ended and (claim.intent.auto_deploy or "deploy" in state.approved)

    async def _retire(self, claim: Claim, term: Term) -> int:
        try:
            return await Rollout(self._ctx, claim, term).retire()
        except NotFound as error:
            raise StepFailed("retire", str(error)) from error

    async def _fail(self, claim: Claim, term: Term, step: str, reason: str) -> int:
        await self._give_up(claim, term, reason)
        fail = Fail(
            build_id=claim.build_id,
            intent_id=claim.intent_id,
            step=step,
            reason=reason,
            at=self._ctx.clock.now(),
        )
        return (await record(self._ctx, claim, term, "failed", fail)).position

    async def _give_up(self, claim: Claim, term: Term, reason: str) -> None:
        """A rollout that this build had begun does not stay open."""
        history = await self._ctx.log.read(f"events.deployment.{claim.intent.service_name}")
        events: list[Any] = [recorded.event for recorded in history]
        state = fold(events)
        rolling = state.releases.get(state.rolling)
        if rolling is not None and rolling.build_id == claim.build_id:
            await Rollout(self._ctx, claim, term).give_up(state.rolling, reason)

    async def _unless_cancelled(
        self, claim: Claim, term: Term, work: Coroutine[Any, Any, Result]
    ) -> Result:
        """Do the work, but stop it when the build or its intent is cancelled.

        Raises:
            IllegalTransition: it was cancelled.
        """
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_S)
                if not task.done():
                    await self._check(claim, term)
            return task.result()
        finally:
            await stopped(task)

    async def _check(self, claim: Claim, term: Term) -> None:
        row = self._ctx.views.get(PIPELINES, claim.intent_id)
        if row is not None and (row.ended or row.attempt != claim.pipeline.attempt):
            cancel = Cancel(
                build_id=claim.build_id,
                intent_id=claim.intent_id,
                by=self._ctx.service,
                reason=f"the intent has ended: {row.status}",
                at=self._ctx.clock.now(),
            )
            await record(self._ctx, claim, term, "cancelled", cancel)
            raise IllegalTransition("the intent has ended")
        build = self._ctx.views.get(BUILDS, claim.build_id)
        if build is not None and build.status == "cancelled":
            raise IllegalTransition("the build was cancelled")


def building(ctx: Context, step: Step, *, capacity: int) -> Worker[Claim]:
    """Return the worker over open builds and retirements."""

    def find() -> Sequence[Claim]:
        return open_work(ctx)

    return Worker(
        views=ctx.views,
        find=find,
        key=lambda claim: f"{claim.intent_id}/{claim.pipeline.attempt}",
        step=step,
        park=step.park,
        capacity=capacity,
    )
