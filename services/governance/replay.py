"""Time travel: make a recorded decision again, and try other policies on all of them."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from domain.canonical import canonical
from domain.errors import NotFound
from domain.governance_events import AlignmentAssessed, DecisionMade, Mode
from domain.intent import IntentQueued
from domain.policy import (
    NEXT_ACTION,
    POLICIES_SUBJECT,
    Bundle,
    Outcome,
    bundle_after,
    typed,
)
from domain.recorded import Recorded
from domain.rubric import VERSIONS, Blueprint, evaluate
from infra.cel import CelConditions
from infra.ports import Context
from projections.governance import DECISIONS, DecisionRow
from services.governance.models import Simulation

_PAGE = 500


async def replay(ctx: Context, row: DecisionRow, blueprint: Blueprint) -> dict[str, Any]:
    """Decide again from what was recorded and compare byte by byte.

    The assessment is repeated too where it can be: made by this rubric, on this blueprint.

    Raises:
        NotFound: the log does not hold the decision any more, or not its policies.
    """
    recorded = await ctx.log.get(row.position)
    if recorded is None or not isinstance(recorded.event, DecisionMade):
        raise NotFound(f"no decision at position {row.position}")
    made = recorded.event
    conditions = CelConditions(await _bundle_at(ctx, made, row.position))
    inputs = typed(made.inputs)
    outcome = conditions.outcome(made.mode, inputs)
    again = made.model_copy(
        update={
            "decision": outcome.decision,
            "policy_applied": outcome.policy_applied,
            "conditions": outcome.conditions,
            "reasoning": outcome.reasoning,
            "next_action": NEXT_ACTION[outcome.decision],
            "inputs": inputs,
            "bundle_digest": conditions.digest,
            "shadow_decision": outcome.shadow,
            "sandbox": outcome.sandbox,
        }
    )
    before, after = made.model_dump(mode="json"), again.model_dump(mode="json")
    return {
        "decision_id": made.decision_id,
        "identical": canonical(before) == canonical(after),
        "differences": sorted(name for name in before if before[name] != after[name]),
        "recorded": before,
        "replayed": after,
        "assessment": await _assessment_again(ctx, made, blueprint),
        "position": row.position,
    }


async def _bundle_at(ctx: Context, made: DecisionMade, position: int) -> Bundle:
    """The policies as they stood: those whose digest the decision names."""
    bundle = Bundle(policies=())
    for recorded in await ctx.log.read(POLICIES_SUBJECT):
        bundle = bundle_after(bundle, recorded.event)
        if recorded.position < position and bundle.digest == made.bundle_digest:
            return bundle
    raise NotFound(f"no bundle {made.bundle_digest} in the log")


async def _assessment_again(
    ctx: Context, made: DecisionMade, blueprint: Blueprint
) -> dict[str, Any]:
    """Whether the rubric still says the same; ``repeatable`` is false where it cannot be asked."""
    history = await ctx.log.read(made.subject)
    found = _of_attempt(history, AlignmentAssessed, made.attempt)
    intents = await ctx.log.read(f"events.intent.{made.intent_id}")
    queued = _of_attempt(intents, IntentQueued, made.attempt)
    if found is None or queued is None:
        return {"repeatable": False, "why": "the intent or its assessment is not in the log"}
    recorded = found.assessment
    if recorded.evaluator != "rubric" or recorded.rubric_version not in VERSIONS:
        return {"repeatable": False, "why": f"made by {recorded.evaluator}, not by this rubric"}
    if not queued.intent.blueprint_context and found.blueprint_digest != blueprint.digest:
        return {"repeatable": False, "why": "the blueprint has changed"}
    version = recorded.rubric_version
    again = evaluate(queued.intent, blueprint, recorded.blast_radius, version=version)
    again = again.model_copy(update={"usage": recorded.usage})
    same = canonical(again.model_dump(mode="json")) == canonical(recorded.model_dump(mode="json"))
    return {"repeatable": True, "identical": same}


def _of_attempt(history: list[Recorded[Any]], kind: type[Any], attempt: int) -> Any:
    for recorded in history:
        if isinstance(recorded.event, kind) and recorded.event.attempt == attempt:
            return recorded.event
    return None


async def simulate(ctx: Context, in_force: Bundle, wanted: Simulation) -> dict[str, Any]:
    """What a candidate bundle would have decided on everything recorded, and what would change.

    Rows are read in bounded pages, and the other tasks of this process have their turn after each:
    a long history must not cost a leader its lease.

    Raises:
        Invalid: a condition of the candidate does not compile.
    """
    trial = _Trial(_candidate(in_force, wanted), wanted)
    counts: Counter[tuple[str, str]] = Counter()
    changes: list[dict[str, Any]] = []
    above = 0
    while page := ctx.views.bodies(DECISIONS, order="position", above=above, limit=_PAGE):
        above = page[-1][0]
        for _, body in page:
            row = from_json(body)
            outcome = trial.outcome(row)
            was = row["decision"]
            counts[was, outcome.decision] += 1
            if outcome.decision != was and len(changes) < wanted.limit:
                changes.append(_change(row, outcome))
        await asyncio.sleep(0)
    return {
        "bundle_digest": trial.digest,
        "evaluated": sum(counts.values()),
        "changed": sum(n for (was, now), n in counts.items() if was != now),
        "counts": [
            {"was": was, "would_be": now, "decisions": n}
            for (was, now), n in sorted(counts.items())
        ],
        "changes": changes,
    }


def _candidate(in_force: Bundle, wanted: Simulation) -> Bundle:
    candidate = in_force if wanted.extend else Bundle(policies=())
    for policy in wanted.policies:
        candidate = candidate.with_policy(policy)
    for policy_id in wanted.retire:
        candidate = candidate.without(policy_id)
    return candidate


class _Trial:
    """A candidate bundle at work. Of a row it reads only what the conditions may read."""

    def __init__(self, candidate: Bundle, wanted: Simulation) -> None:
        self._conditions = CelConditions(candidate)
        self._mode = wanted.mode
        self._present = wanted.user_present

    @property
    def digest(self) -> str:
        return self._conditions.digest

    def outcome(self, row: Mapping[str, Any]) -> Outcome:
        """The decision on a recorded one's inputs (``row`` as its JSON says)."""
        mode: Mode = self._mode or row["mode"]
        recorded = row["inputs"]
        names = self._conditions.names(mode)
        inputs = typed({name: recorded[name] for name in names if name in recorded})
        inputs["mode"] = mode
        if self._present is not None:
            inputs["user_present"] = self._present
        return self._conditions.outcome(mode, inputs)


def _change(row: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    named = {name: row[name] for name in ("decision_id", "intent_id", "service_name")}
    return {
        **named,
        "was": row["decision"],
        "would_be": outcome.decision,
        "policy_applied": outcome.policy_applied,
        "reasoning": outcome.reasoning,
    }
