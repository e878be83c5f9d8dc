"""Decide one attempt of an intent: assess, apply the policies, append all of it at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.dependents import Dependents
from domain.errors import ConflictError
from domain.governance import INITIAL, Decide, Decided, State, decide
from domain.governance_events import Assessment
from domain.policy import Inputs, Outcome, inputs_of
from infra.ports import Context, Meta, Term, Write
from projections.governance import Undecided
from services.governance.assess import Evaluator, intent_digest, with_context
from services.governance.people import People
from services.governance.record import meta_of, record
from services.governance.rulebook import Rulebook, Rules


class Step:
    """One decision. A repeat finds the first one's events and appends nothing."""

    def __init__(
        self,
        ctx: Context,
        *,
        rulebook: Rulebook,
        evaluator: Evaluator,
        dependents: Dependents,
        people: People,
        approval_ttl: timedelta,
    ) -> None:
        self._ctx = ctx
        self._rulebook = rulebook
        self._evaluator = evaluator
        self._dependents = dependents
        self._people = people
        self._ttl = approval_ttl

    async def __call__(self, item: Undecided, term: Term) -> int:
        """Decide it and return the position of the last event of the decision."""
        radius = self._dependents.of(item.intent.service_name)
        assessment = await self._evaluator.assess(item.intent, radius)
        rules, at = self._rulebook.current(), self._ctx.clock.now()
        inputs = inputs_of(
            item.intent, assessment, mode=rules.mode, user_present=rules.user_present, at=at
        )
        outcome = rules.conditions.outcome(rules.mode, inputs)
        return await self._record(item, term, assessment, outcome, rules, inputs, at)

    async def undecidable(self, item: Undecided, term: Term, reason: str) -> None:
        """Hand an intent that cannot be assessed to a person: an error never approves."""
        text = f"could not be assessed: {reason}"[:2000]
        assessment = Assessment(
            alignment_score=0.0,
            aligned=False,
            risk_level="critical",
            risk_factors=(text,),
            reasoning=text,
            tier=0,
            claimed_tier=item.intent.target_tier,
            evaluator="rubric",
            rubric_version="",
        )
        rules, at = self._rulebook.current(), self._ctx.clock.now()
        inputs = inputs_of(
            item.intent, assessment, mode=rules.mode, user_present=rules.user_present, at=at
        )
        outcome = Outcome("requires_approval", "", (), text)
        await self._record(item, term, assessment, outcome, rules, inputs, at)

    async def _record(
        self,
        item: Undecided,
        term: Term,
        assessment: Assessment,
        outcome: Outcome,
        rules: Rules,
        inputs: Inputs,
        at: datetime,
    ) -> int:
        intent, blueprint = item.intent, self._evaluator.blueprint
        command = Decide(
            intent=intent,
            attempt=item.attempt,
            assessment=assessment,
            outcome=outcome,
            inputs=inputs,
            mode=rules.mode,
            bundle_digest=rules.conditions.digest,
            blueprint_digest=with_context(blueprint, intent.blueprint_context),
            intent_digest=intent_digest(intent),
            approvers=await self._people.approvers(),
            approval_ttl=self._ttl,
            at=at,
        )
        meta = meta_of(
            self._ctx,
            intent.intent_id,
            command=f"{intent.intent_id}/{item.attempt}/decide",
            cause=item.position,
        )
        if item.attempt == 1:
            position = await self._first(command, meta, term)
            if position is not None:
                return position
        return await self._again(command, meta, term)

    async def _first(self, command: Decide, meta: Meta, term: Term) -> int | None:
        """The usual case, without reading: nothing stands on this subject yet. None if it does."""
        events = decide(command, INITIAL)
        writes = [Write(events[0], 0), *(Write(event) for event in events[1:])]
        try:
            return (await self._ctx.log.append(writes, meta=meta, fence=term.fence))[-1]
        except ConflictError:
            return None

    async def _again(self, command: Decide, meta: Meta, term: Term) -> int:
        def _decide(state: State) -> Sequence[Decided]:
            return decide(command, state)

        return await record(self._ctx, term, _decide, meta=meta)
