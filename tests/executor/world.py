"""An executor that leads, and a launcher that runs what it deploys (or does not)."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import uvicorn

from domain.build import build_id
from domain.delivery_events import (
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    Score,
    SpecAccepted,
    SpecDrafted,
    SpecVerified,
)
from domain.event import Event
from domain.governance_events import DecisionMade
from domain.intake import settle
from domain.intent import Intent, IntentQueued, RawIntent, Submission
from domain.sandbox import SandboxLevel
from domain.spec.model import read_spec, spec_digest
from infra.artifacts import install
from infra.http import build_app
from infra.ports import Context, Term
from infra.settings import BASE_PORTS, PORT_STEP
from infra.signing import public_key
from services.build_executor.service import BuildExecutor
from services.build_executor.work import Step, building
from tests.support.context import World, running
from tests.support.ports import free_shift

T0 = datetime(2030, 1, 1, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "service_name": "parking-lots",
    "purpose": "Know which parking lots there are and how many cars fit on them",
    "records": [
        {
            "name": "lot",
            "fields": [
                {"name": "street", "type": "text", "required": True},
                {"name": "places", "type": "int", "required": True, "min": "1", "max": "5000"},
            ],
        }
    ],
}


class Deployed:
    """What answers on a deployed service's ports."""

    tier = 2
    features: Sequence[str] = ()
    dependencies: Sequence[str] = ()
    tables: Sequence[Any] = ()
    open_writes = True

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version

    def routes(self) -> Sequence[Any]:
        return ()

    def figures(self) -> dict[str, object]:
        return {}

    async def lead(self, term: Term) -> None:
        await term.ended.wait()


@dataclass
class Launcher:
    """Follows deployments as Phoenix does: verify, unpack, three instances on three ports."""

    world: World
    folder: Path
    broken: set[str] = field(default_factory=set)  # versions that never come up
    installed: list[Path] = field(default_factory=list)
    _groups: dict[str, list[tuple[uvicorn.Server, "asyncio.Task[None]"]]] = field(
        default_factory=dict
    )
    _releases: dict[str, DeploymentStarted] = field(default_factory=dict)

    async def run(self) -> None:
        async for batch in self.world.log.follow(["events.deployment.>"]):
            for recorded in batch.events:
                await self._handle(recorded.event)

    async def _handle(self, event: Event) -> None:
        match event:
            case DeploymentStarted():
                self._releases[event.version] = event
                await self._start(event)
            case DeploymentRolledBack(service_name=name, to_version=back):
                await self.stop(name)
                if back:
                    await self._start(self._releases[back])
            case DeploymentRetired(service_name=name):
                await self.stop(name)

    async def _start(self, event: DeploymentStarted) -> None:
        await self.stop(event.service_name)
        key = public_key(self.world.ctx.settings.data_dir)
        objects = self.world.ctx.objects
        self.installed.append(await install(objects, event, self.folder, key))
        if event.version not in self.broken:
            self._groups[event.service_name] = [self._serve(event, n) for n in range(3)]

    def _serve(
        self, event: DeploymentStarted, number: int
    ) -> tuple[uvicorn.Server, "asyncio.Task[None]"]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = event.port + PORT_STEP * number + self.world.ctx.port_shift
        listener.bind(("127.0.0.1", port))
        role = "active" if number == 0 else "standby"
        ctx = replace(self.world.ctx, role=role, instance=f"{event.service_name}-{number}")
        app = build_app(cast(Any, Deployed(event.service_name, event.version)), ctx)
        server = uvicorn.Server(uvicorn.Config(cast(Any, app), log_config=None, lifespan="off"))

        async def serve() -> None:
            with listener:
                await server._serve([listener])

        return server, asyncio.create_task(serve())

    async def stop(self, service: str) -> None:
        for server, task in self._groups.pop(service, []):
            server.should_exit = server.force_exit = True
            await task

    async def close(self) -> None:
        for service in list(self._groups):
            await self.stop(service)


@dataclass
class Site:
    world: World
    launcher: Launcher

    async def accept(
        self,
        spec: dict[str, Any] | None = None,
        *,
        attempt: int = 1,
        sandbox: SandboxLevel | None = None,
        **fields: Any,
    ) -> str:
        """Write a cleared intent with its accepted SPEC; return the build's id. ``sandbox``: what
        the policies demand."""
        document = {**SPEC, **(spec or {})}
        intent = _intent(document, **fields)
        model = read_spec(document)
        digest = spec_digest(model)
        score = Score(
            total=95, completeness=95, clarity=95, udc=95, readiness=95,
            grade="excellent", scorer_version="1",
        )  # fmt: skip
        spec_ids: dict[str, Any] = {"intent_id": intent.intent_id, "at": T0, "attempt": attempt}
        await self.clear(intent, attempt=attempt, sandbox=sandbox)
        await self.world.append(
            SpecDrafted(**spec_ids, document=model.document(), digest=digest, drafter="submitted"),
            SpecVerified(**spec_ids, digest=digest, score=score),
            SpecAccepted(**spec_ids, digest=digest, score=95, gate=90),
            correlation_id=intent.intent_id,
        )
        return build_id(intent.intent_id, attempt)

    async def clear(
        self, intent: Intent, *, attempt: int = 1, sandbox: SandboxLevel | None = None
    ) -> None:
        decision = DecisionMade(
            intent_id=intent.intent_id,
            at=T0,
            decision_id="d",
            decision="auto_approve",
            policy_applied="auto_approve_tier2_aligned",
            conditions=(),
            inputs={},
            mode="autonomous",
            bundle_digest="b",
            reasoning="aligned",
            next_action="forward_to_spec_assembly",
            attempt=attempt,
            sandbox=sandbox,
        )
        queued = IntentQueued(
            intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0, attempt=attempt
        )
        await self.world.append(queued, decision, correlation_id=intent.intent_id)

    async def build(self, build: str, *statuses: str, timeout_s: float = 40.0) -> dict[str, Any]:
        """The build as the API shows it once it has one of these states."""
        async with asyncio.timeout(timeout_s):
            while True:
                await self.world.seen()
                answer = await self.world.client.get(f"/builds/{build}")
                if answer.status_code == 200 and answer.json()["status"] in statuses:
                    return cast(dict[str, Any], answer.json())
                await self.world.ctx.views.changed(timeout_s=0.1)

    async def events(self, subject: str) -> list[str]:
        found = await self.world.log.read(subject)
        return [recorded.event.short_type for recorded in found]


def _intent(document: dict[str, Any], **fields: Any) -> Intent:
    body = {
        "intent_id": str(uuid4()),
        "service_name": document["service_name"],
        "purpose": document["purpose"],
        "source": "cli",
        "submitted_by": "ann",
        **fields,
    }
    submission = Submission.model_validate_json(json.dumps(body))
    raw = RawIntent(at=T0, subject_name="submit", body=b"")
    return settle(submission, raw=raw, position=1)


intent_of = _intent


@contextlib.asynccontextmanager
async def executor(
    directory: Path, *, lead: bool = True, healthy_s: float = 20.0, **settings: Any
) -> AsyncIterator[Site]:
    shift = free_shift()

    class Tested(BuildExecutor):
        """The service itself, with a shorter patience for what never comes up."""

        async def lead(self, term: Term) -> None:
            await building(self._ctx, Step(self._ctx, healthy_s=healthy_s), capacity=2).run(term)

    def create(ctx: Context) -> BuildExecutor:
        ctx.port_shift = shift
        return Tested(ctx)

    async with running(create, directory, lead=lead, **settings) as world:
        launcher = Launcher(world, directory / "run")
        task = asyncio.create_task(launcher.run())
        try:
            yield Site(world, launcher)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await launcher.close()


__all__ = ["BASE_PORTS", "SPEC", "Launcher", "Site", "executor", "intent_of"]
