"""What a build is about: the SPEC, who let it happen, and how its steps are recorded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from domain.build import INITIAL, Command, Record, State, build_id, decide, evolve
from domain.canonical import digest
from domain.delivery_events import BuildEvent
from domain.event import Event
from domain.governance import fold
from domain.governance_events import ApprovalGranted, DecisionMade
from domain.intent import Intent
from domain.sandbox import SandboxLevel
from infra.commands import Done, execute
from infra.ports import Context, Meta, Term
from projections.specs import PipelineRow


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt of a cleared intent."""

    pipeline: PipelineRow

    @property
    def intent(self) -> Intent:
        return self.pipeline.intent

    @property
    def intent_id(self) -> str:
        return self.pipeline.intent_id

    @property
    def build_id(self) -> str:
        return build_id(self.pipeline.intent_id, self.pipeline.attempt)

    @property
    def subject(self) -> str:
        return f"events.build.{self.build_id}"

    def meta(self, ctx: Context, step: str) -> Meta:
        """The same command id after a failover, so that nothing is recorded twice."""
        return Meta(
            command_id=f"{self.build_id}/{step}",
            actor=ctx.service,
            correlation_id=self.intent_id,
            causation_id=str(self.pipeline.position),
            source=ctx.service,
        )

    def decision_digest(self) -> str:
        """Of the decision, or the override, that cleared the intent."""
        state = fold(self.pipeline.governance)
        decisive = state.override or state.decision
        return digest(decisive.model_dump(mode="json")) if decisive else ""

    def sandbox_demanded(self) -> SandboxLevel | None:
        """The weakest sandbox that the policies accept; an override lifts no demand."""
        made = [event for event in self.pipeline.governance if isinstance(event, DecisionMade)]
        return made[-1].sandbox if made else None

    def approval_digests(self) -> tuple[str, ...]:
        """Of what each approver was shown."""
        granted = [e for e in self.pipeline.governance if isinstance(e, ApprovalGranted)]
        return tuple(event.digest for event in granted)


async def load(ctx: Context, claim: Claim) -> tuple[State, int]:
    """Return the build as the log has it, and the last position on its stream."""
    history = await ctx.log.read(claim.subject)
    state = INITIAL
    for recorded in history:
        event: Any = recorded.event
        state = evolve(state, event)
    return state, history[-1].position if history else 0


async def record(
    ctx: Context, claim: Claim, term: Term, step: str, *commands: Command | Record
) -> Done:
    """Append what the commands lead to, one on top of the other, all at once.

    Raises:
        IllegalTransition: the build has ended (a person cancelled it) or the step is out of turn.
        StaleEpoch: a newer leader works.
    """

    def _decide(state: State) -> Sequence[Event]:
        events: list[BuildEvent] = []
        for command in commands:
            for event in decide(command, state):
                events.append(event)
                state = evolve(state, event)
        return events

    return await append(ctx, claim, term, step, _decide)


async def append(
    ctx: Context, claim: Claim, term: Term, step: str, decided: Callable[[State], Sequence[Event]]
) -> Done:
    return await execute(
        ctx.log,
        claim.subject,
        initial=INITIAL,
        evolve=evolve,
        decide=decided,
        meta=claim.meta(ctx, step),
        fence=term.fence,
    )
