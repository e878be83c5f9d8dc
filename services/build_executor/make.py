"""From a claimed build to a signed artifact; what the log already has is not done again.

Tests and packaging run at the same time: the wheel depends on the tree alone. It is recorded, and
so exists for the rest of the system, only after the tests have passed.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.build import Fail, Record, Start, State, next_version
from domain.component import is_component, version_of
from domain.delivery_events import ArtifactPackaged, CodeGenerated, TestsFailed, TestsPassed
from domain.errors import NotFound
from domain.sandbox import SandboxLevel, suffices
from infra.components import platform_version, source_root
from infra.packaging import BUILD_TYPE, COMPONENT_BUILD_TYPE, Origin, Wheel, provenance
from infra.ports import Context, Term
from infra.sandbox import Limits, best_level
from infra.signing import ensure_keys, sign
from projections.builds import BUILDS
from projections.specs import SPECS
from services.build_executor.bench import Bench, StepFailed, stopped
from services.build_executor.claims import Claim, load, record
from services.build_executor.tests_run import Outcome, run_tests

COMPONENT_TESTS_S = 300.0
TEST_TOOLS = tuple(
    word
    for plugin in ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
    for word in ("-p", plugin)
)


@dataclass(frozen=True, slots=True)
class _Made:
    """What the steps before the delivery have said."""

    generated: Mapping[str, Any]
    packed: Mapping[str, Any]
    sandbox: str
    began: datetime
    recipe: "Recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a tree is made (a step of the tool and its job) and tested."""

    version: str
    spec_digest: str
    step: str
    job: Mapping[str, Any]
    build_type: str = BUILD_TYPE
    custom: tuple[Mapping[str, str], ...] = ()  # for the provenance
    arguments: tuple[str, ...] = ()  # for pytest
    limits: Limits | None = None


def recipe_of(ctx: Context, claim: Claim) -> tuple[Recipe, dict[str, Any]]:
    """Return how to build what the accepted SPEC asks for, and the SPEC.

    Raises:
        NotFound: there is no accepted SPEC.
    """
    document, spec_digest, version = spec_of(ctx, claim)
    if not is_component(document):
        job: dict[str, Any] = {"document": document}
        recipe = Recipe(
            version=version,
            spec_digest=spec_digest,
            step="generate",
            job=job,
            custom=tuple(_custom(handler) for handler in document.get("custom", ())),
        )
        return recipe, document
    job = {
        "source": str(source_root(ctx.settings)),
        "component": document["service_name"],
        "source_digest": document["source_digest"],
    }
    recipe = Recipe(
        version=version,
        spec_digest=spec_digest,
        step="collect",
        job=job,
        build_type=COMPONENT_BUILD_TYPE,
        arguments=(*TEST_TOOLS, *document["tests"]),
        limits=Limits(wall_s=COMPONENT_TESTS_S, cpu_s=int(COMPONENT_TESTS_S)),
    )
    return recipe, document


def _custom(handler: Mapping[str, Any]) -> dict[str, str]:
    """What is on record about code that a model wrote."""
    return {
        "name": handler["name"],
        "model": handler["model"],
        "prompt": f"sha256:{handler['prompt_digest']}",
        "code": f"sha256:{hashlib.sha256(handler['code'].encode()).hexdigest()}",
    }


class Maker:
    def __init__(self, ctx: Context, claim: Claim, term: Term) -> None:
        self._ctx = ctx
        self._claim = claim
        self._term = term
        self.bench = Bench(Path(ctx.settings.data_dir), claim.build_id, term.epoch)

    async def make(self, recipe: Recipe) -> State:
        """Return the build once it is packaged, or ended.

        Raises:
            StepFailed: a step says no.
            IllegalTransition: a person cancelled the build meanwhile.
        """
        claim = self._claim
        began = self._ctx.clock.now()
        start = Start(
            build_id=claim.build_id,
            intent_id=claim.intent_id,
            service_name=claim.intent.service_name,
            version=recipe.version,
            spec_digest=recipe.spec_digest,
            epoch=self._term.epoch,
            at=began,
        )
        await record(self._ctx, claim, self._term, f"start/{self._term.epoch}", start)
        state, _ = await load(self._ctx, claim)
        assert state.started is not None
        self._note(f"build of {claim.intent.service_name} {state.started.version}")
        generated = await self._generate(state, recipe)
        packing = asyncio.create_task(self.bench.tool("package"))
        try:
            sandbox = await self._test(state, recipe)
            if sandbox is not None:
                made = _Made(generated, await packing, sandbox, began, recipe)
                await self._deliver(state, made)
        finally:
            await stopped(packing)
        await asyncio.to_thread(self.bench.clear)
        return (await load(self._ctx, claim))[0]

    async def _generate(self, state: State, recipe: Recipe) -> dict[str, Any]:
        assert state.started is not None
        job = {**recipe.job, "version": state.started.version}
        done = await self.bench.tool(recipe.step, job)
        if state.generated and state.generated.tree_digest != done["tree_digest"]:
            raise StepFailed(recipe.step, "the code changed since this build was tested; retry")
        event = CodeGenerated(
            build_id=self._claim.build_id,
            intent_id=self._claim.intent_id,
            at=self._ctx.clock.now(),
            files=done["files"],
            lines=done["lines"],
            tree_digest=done["tree_digest"],
            generator_version=done["generator_version"],
            duration_s=done["duration_s"],
        )
        self._note(f"generated {event.files} files, {event.lines} lines: {event.tree_digest}")
        await record(self._ctx, self._claim, self._term, "generated", Record(event=event))
        return done

    async def _test(self, state: State, recipe: Recipe) -> str | None:
        """Return the sandbox's level; None when the tests failed, which is then recorded.

        Raises:
            StepFailed: policy demands a stronger level than this host offers, or than the one that
                a former leader used.
        """
        setting = self._ctx.settings.sandbox
        if isinstance(state.tests, TestsPassed):
            self._demand(state.tests.sandbox, "the tests ran in one")
            return state.tests.sandbox
        variant = await best_level(setting)
        self._demand(variant.level, f"PHOENIX_SANDBOX={setting} gives one here")
        outcome = await run_tests(
            self.bench.tree,
            wanted=setting,
            limits=recipe.limits,
            arguments=recipe.arguments,
        )
        self._note(f"tests in sandbox {outcome.result.level}:\n{outcome.result.output}")
        log = await asyncio.to_thread(self.bench.read_log)
        log_digest = await self._ctx.objects.put((log or "").encode(), description="build log")
        if not outcome.ok:
            await self._tests_failed(outcome, log_digest)
            return None
        passed = TestsPassed(
            build_id=self._claim.build_id,
            intent_id=self._claim.intent_id,
            at=self._ctx.clock.now(),
            passed=outcome.passed,
            sandbox=outcome.result.level,
            duration_s=outcome.result.duration_s,
            log_digest=log_digest,
        )
        await record(self._ctx, self._claim, self._term, "tested", Record(event=passed))
        return outcome.result.level

    def _demand(self, level: SandboxLevel, how: str) -> None:
        demanded = self._claim.sandbox_demanded()
        if not suffices(level, demanded):
            raise StepFailed(
                "sandbox",
                f"policy demands the sandbox level {demanded}; {how} of level {level}",
            )

    async def _tests_failed(self, outcome: Outcome, log_digest: str) -> None:
        at = self._ctx.clock.now()
        failed = TestsFailed(
            build_id=self._claim.build_id,
            intent_id=self._claim.intent_id,
            at=at,
            passed=outcome.passed,
            failed=outcome.failed,
            sandbox=outcome.result.level,
            report=outcome.report,
            duration_s=outcome.result.duration_s,
            log_digest=log_digest,
        )
        stopped = outcome.result.stopped
        why = f"stopped by its limit, {stopped}" if stopped else _failed_of(outcome)
        if not stopped and not outcome.failed:
            why = f"the test run ended with {outcome.result.exit_code}, {outcome.passed} passed"
        fail = Fail(
            build_id=self._claim.build_id,
            intent_id=self._claim.intent_id,
            step="test",
            reason=why,
            at=at,
        )
        await record(self._ctx, self._claim, self._term, "tested", Record(event=failed), fail)

    async def _deliver(self, state: State, made: "_Made") -> None:
        """Sign and store, then record: what the event names can be fetched by anybody."""
        assert state.started is not None
        ctx, claim = self._ctx, self._claim
        keys = await asyncio.to_thread(ensure_keys, ctx.settings.data_dir)
        name = made.packed["wheel"]
        data, sbom = await asyncio.to_thread(_read_dist, self.bench.dist, name)
        wheel = Wheel(name, data)
        description = f"{claim.intent.service_name} {state.started.version}"
        sbom_digest = await ctx.objects.put(sbom, description=f"{description} SBOM")
        origin = Origin(
            build_id=claim.build_id,
            intent_id=claim.intent_id,
            service_name=claim.intent.service_name,
            version=state.started.version,
            spec_digest=state.started.spec_digest,
            tree_digest=made.generated["tree_digest"],
            generator_version=made.generated["generator_version"],
            templates_digest=made.generated["templates_digest"],
            decision_digest=claim.decision_digest(),
            approval_digests=claim.approval_digests(),
            sandbox=made.sandbox,
            sbom_digest=sbom_digest,
            epoch=self._term.epoch,
            started_at=made.began,
            finished_at=ctx.clock.now(),
            build_type=made.recipe.build_type,
            custom=made.recipe.custom,
        )
        envelope = sign(provenance(wheel, origin), keys)
        event = ArtifactPackaged(
            build_id=claim.build_id,
            intent_id=claim.intent_id,
            at=ctx.clock.now(),
            artifact_digest=await ctx.objects.put(wheel.data, description=description),
            wheel=wheel.name,
            sbom_digest=sbom_digest,
            provenance_digest=await ctx.objects.put(
                envelope, description=f"{description} provenance"
            ),
            key_id=keys.key_id,
            size_bytes=len(wheel.data),
            duration_s=made.packed["duration_s"],
        )
        self._note(f"packaged {wheel.name}, {len(data)} bytes: {event.artifact_digest}")
        await record(ctx, claim, self._term, "packaged", Record(event=event))

    def _note(self, text: str) -> None:
        self.bench.note(f"[{self._ctx.clock.now().isoformat(timespec='milliseconds')}] {text}")


def _read_dist(dist: Path, wheel: str) -> tuple[bytes, bytes]:
    return (dist / wheel).read_bytes(), (dist / "sbom.cdx.json").read_bytes()


def spec_of(ctx: Context, claim: Claim) -> tuple[dict[str, Any], str, str]:
    """Return the accepted SPEC's document, digest and the version to build.

    Raises:
        NotFound: the view has no accepted SPEC of this attempt.
    """
    row = ctx.views.get(SPECS, claim.intent_id)
    if row is None or row.attempt != claim.pipeline.attempt or row.status != "accepted":
        raise NotFound(f"no accepted SPEC of {claim.intent_id}, attempt {claim.pipeline.attempt}")
    used = [
        build.version
        for build in ctx.views.all(BUILDS, service_name=row.service_name, claimed=True)
        if build.build_id != claim.build_id
    ]
    if row.version and row.version not in used:
        return row.document, row.digest, row.version
    if is_component(row.document):
        platform = platform_version(source_root(ctx.settings))
        return row.document, row.digest, version_of(platform, used)
    return row.document, row.digest, next_version(tuple(used))


def _failed_of(outcome: Outcome) -> str:
    return f"{outcome.failed} of {outcome.passed + outcome.failed} tests failed"
