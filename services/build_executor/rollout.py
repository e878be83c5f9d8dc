"""From an artifact to a proven deployment, or back to the version before it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from domain.build import State as BuildState
from domain.component import is_component
from domain.delivery_events import (
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRolledBack,
    DeploymentStarted,
    PortReleased,
    PortReserved,
)
from domain.deployment import INITIAL, Begin, GiveUp, Prove, Retire, State, decide, evolve, fold
from domain.errors import IllegalTransition, TransientError
from domain.event import Event
from infra.commands import Done, execute
from infra.ports import Context, Term, Write
from infra.settings import BASE_PORTS
from projections.deployments import PORTS
from services.build_executor.bench import StepFailed, stopped
from services.build_executor.claims import Claim
from services.build_executor.ports import choose
from services.build_executor.proof import NotHealthy, prove

HEALTHY_S_MAX = 60.0
_LOOK_S = 0.5


class Rollout:
    def __init__(
        self, ctx: Context, claim: Claim, term: Term, *, within_s: float = HEALTHY_S_MAX
    ) -> None:
        self._ctx = ctx
        self._claim = claim
        self._term = term
        self._within_s = within_s
        self._service = claim.intent.service_name
        self._built_in = self._service in BASE_PORTS
        self._subject = f"events.deployment.{self._service}"

    async def deploy(self, build: BuildState, document: dict[str, Any]) -> int:
        """Start, prove, and record the outcome; return the last position.

        Raises:
            StepFailed: no port for it.
            TransientError: another version of this service is still being rolled out.
        """
        assert build.started is not None
        version = build.started.version
        state, position = await self._load()
        if version not in state.releases:
            await self._begin(build, document, state)
            state, position = await self._load()
        if state.rolling != version:
            return position  # proven, or given up, before a failover
        began = self._ctx.clock.monotonic()
        base = state.releases[version].port + self._ctx.port_shift
        try:
            checks = await self._proven(version, base)
        except NotHealthy as error:
            return (await self.give_up(version, str(error))).position
        healthy = DeploymentHealthy(
            service_name=self._service,
            version=version,
            intent_id=self._claim.intent_id,
            build_id=self._claim.build_id,
            at=self._ctx.clock.now(),
            url=self._ctx.host_url(base),
            checks=checks,
            duration_s=round(self._ctx.clock.monotonic() - began, 3),
        )
        done = await self._record("healthy", lambda now: decide(Prove(event=healthy), now))
        return done.position

    async def _proven(self, version: str, base: int) -> tuple[str, ...]:
        """Return what was proven.

        Raises:
            NotHealthy: not within the time, or the launcher has said that it does not come up.
        """
        proof = asyncio.create_task(
            prove(self._service, version, base, self._ctx.host_url, within_s=self._within_s)
        )
        try:
            while not proof.done():
                await asyncio.wait({proof}, timeout=_LOOK_S)
                if not proof.done() and (reason := await self._refused(version)):
                    raise NotHealthy(reason)
            return proof.result()
        finally:
            await stopped(proof)

    async def _refused(self, version: str) -> str:
        """Why the launcher did not roll this version out; "" as long as it has not said so."""
        last = await self._ctx.log.last(self._subject)
        event = last.event if last is not None else None
        if isinstance(event, DeploymentFailed) and event.version == version:
            return event.reason
        return ""

    async def give_up(self, version: str, reason: str) -> Done:
        """Go back to the version before; without one, the ports are free again."""
        command = GiveUp(
            service_name=self._service,
            version=version,
            by=self._ctx.service,
            reason=reason,
            at=self._ctx.clock.now(),
        )

        def _decide(state: State) -> Sequence[Event]:
            events: list[Event] = list(decide(command, state))
            last = events[-1] if events else None
            nothing_left = isinstance(last, DeploymentRolledBack) and not last.to_version
            if nothing_left and not self._built_in:
                events.append(self._released(state))
            return events

        return await self._record("rolled-back", _decide)

    async def retire(self) -> int:
        """End the service of a cleared retire intent; its data stays.

        Raises:
            NotFound: it is not deployed.
            StepFailed: it is a part of this system.
        """
        if self._built_in:
            raise StepFailed("retire", f"{self._service} is a part of this system")
        command = Retire(
            service_name=self._service,
            by=self._claim.intent.submitted_by,
            reason=self._claim.intent.purpose,
            at=self._ctx.clock.now(),
            intent_id=self._claim.intent_id,
        )

        def _decide(state: State) -> Sequence[Event]:
            events: list[Event] = list(decide(command, state))
            return [*events, self._released(state)] if events else []

        return (await self._record("retired", _decide)).position

    async def _begin(self, build: BuildState, document: dict[str, Any], state: State) -> None:
        assert build.started is not None
        assert build.packaged is not None
        port = BASE_PORTS[self._service] if self._built_in else state.port
        writes: list[Write] = []
        if port is None:
            port, reservation = await self._reserve(document)
            writes.append(reservation)
        event = DeploymentStarted(
            service_name=self._service,
            version=build.started.version,
            intent_id=self._claim.intent_id,
            build_id=self._claim.build_id,
            at=self._ctx.clock.now(),
            artifact_digest=build.packaged.artifact_digest,
            provenance_digest=build.packaged.provenance_digest,
            wheel=build.packaged.wheel,
            port=port,
            tier=self._claim.intent.target_tier,
            features=tuple(document.get("key_features", ())),
            dependencies=self._dependencies(document),
        )
        try:
            events = decide(Begin(event=event), state)
        except IllegalTransition as error:
            raise TransientError(str(error)) from error
        writes += [Write(event) for event in events]
        meta = self._claim.meta(self._ctx, "deploy")
        await self._ctx.log.append(writes, meta=meta, fence=self._term.fence)

    def _dependencies(self, document: dict[str, Any]) -> tuple[str, ...]:
        """As the SPEC declares them, which may be more than its intent did; a component's SPEC is
        its source and declares none."""
        if is_component(document):
            return self._claim.intent.dependencies
        return tuple(document.get("dependencies", ()))

    async def _reserve(self, document: dict[str, Any]) -> tuple[int, Write]:
        """Choose a port; the condition on its own subject keeps two services from sharing it."""
        wanted = self._claim.intent.port or document.get("port")
        reserved = [row.base for row in self._ctx.views.all(PORTS)]
        base = choose(wanted, reserved, shift=self._ctx.port_shift)
        event = PortReserved(base=base, service_name=self._service, at=self._ctx.clock.now())
        last = await self._ctx.log.last(event.subject)
        if last is not None and isinstance(last.event, PortReserved):
            raise TransientError(f"port {base} was reserved a moment ago")
        return base, Write(event, last.position if last else 0)

    def _released(self, state: State) -> PortReleased:
        port = state.port
        assert port is not None
        return PortReleased(base=port, service_name=self._service, at=self._ctx.clock.now())

    async def _load(self) -> tuple[State, int]:
        history = await self._ctx.log.read(self._subject)
        events: list[Any] = [recorded.event for recorded in history]
        return fold(events), history[-1].position if history else 0

    async def _record(self, step: str, decided: Any) -> Done:
        return await execute(
            self._ctx.log,
            self._subject,
            initial=INITIAL,
            evolve=evolve,
            decide=decided,
            meta=self._claim.meta(self._ctx, step),
            fence=self._term.fence,
        )
