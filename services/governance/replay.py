"""Time travel: make a recorded decision again, and try other policies on all of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from domain.canonical import canonical
from domain.errors import NotFound
from domain.governance_events import (
    AlignmentAssessed,
    DecisionMade,
    PolicyAdopted,
    PolicyRetired,
)
from domain.intent import IntentQueued
from domain.policy import NEXT_ACTION, Bundle, decide_by, typed
from domain.recorded import Recorded
from domain.rubric import RUBRIC_VERSION, Blueprint, evaluate
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
    outcome = decide_by(conditions, inputs, mode=made.mode)
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
    for recorded in await ctx.log.read("events.governance.policies"):
        event = recorded.event
        if isinstance(event, PolicyAdopted):
            bundle = bundle.with_policy(event.policy)
        elif isinstance(event, PolicyRetired):
            bundle = bundle.without(event.policy_id)
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
    if recorded.evaluator != "rubric" or recorded.rubric_version != RUBRIC_VERSION:
        return {"repeatable": False, "why": f"made by {recorded.evaluator}, not by this rubric"}
    if not queued.intent.blueprint_context and found.blueprint_digest != blueprint.digest:
        return {"repeatable": False, "why": "the blueprint has changed"}
    again = evaluate(queued.intent, blueprint).model_copy(update={"usage": recorded.usage})
    same = canonical(again.model_dump(mode="json")) == canonical(recorded.model_dump(mode="json"))
    return {"repeatable": True, "identical": same}


def _of_attempt(history: list[Recorded[Any]], kind: type[Any], attempt: int) -> Any:
    for recorded in history:
        if isinstance(recorded.event, kind) and recorded.event.attempt == attempt:
            return recorded.event
    return None


def simulate(ctx: Context, in_force: Bundle, wanted: Simulation) -> dict[str, Any]:
    """What a candidate bundle would have decided on everything recorded, and what would change.

    Raises:
        Invalid: a condition of the candidate does not compile.
    """
    candidate = in_force if wanted.extend else Bundle(policies=())
    for policy in wanted.policies:
        candidate = candidate.with_policy(policy)
    for policy_id in wanted.retire:
        candidate = candidate.without(policy_id)
    conditions = CelConditions(candidate)
    counts: Counter[tuple[str, str]] = Counter()
    changes: list[dict[str, Any]] = []
    for row in _every(ctx):
        mode = wanted.mode or row.mode
        inputs = {**typed(row.inputs), "mode": mode}
        if wanted.user_present is not None:
            inputs["user_present"] = wanted.user_present
        outcome = decide_by(conditions, inputs, mode=mode)
        counts[(row.decision, outcome.decision)] += 1
        if outcome.decision != row.decision and len(changes) < wanted.limit:
            changes.append(
                {
                    "decision_id": row.decision_id,
                    "intent_id": row.intent_id,
                    "service_name": row.service_name,
                    "was": row.decision,
                    "would_be": outcome.decision,
                    "policy_applied": outcome.policy_applied,
                    "reasoning": outcome.reasoning,
                }
            )
    return {
        "bundle_digest": conditions.digest,
        "evaluated": sum(counts.values()),
        "changed": sum(n for (was, now), n in counts.items() if was != now),
        "counts": [
            {"was": was, "would_be": now, "decisions": n}
            for (was, now), n in sorted(counts.items())
        ],
        "changes": changes,
    }


def _every(ctx: Context) -> Iterator[DecisionRow]:
    cursor = ""
    while True:
        page = ctx.views.page(DECISIONS, order="position", limit=_PAGE, cursor=cursor)
        yield from page.rows
        cursor = page.cursor
        if not cursor:
            return
