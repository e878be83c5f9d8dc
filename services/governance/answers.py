"""Governance's answers as JSON: what CONTRACTS fixes, and the parts they share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.governance import State, fold, standing
from domain.governance_events import (
    AlignmentAssessed,
    Assessment,
    ConditionValue,
    DecisionMade,
)
from domain.policy import Bundle, Outcome
from domain.recorded import Recorded
from projections.governance import DecisionRow, Overrides, PolicyRow, with_override


def assessed(assessment: Assessment, outcome: Outcome, at: datetime) -> dict[str, Any]:
    """The answer of ``check-alignment``."""
    return {
        "aligned": assessment.aligned,
        "alignment_score": assessment.alignment_score,
        "reasoning": assessment.reasoning,
        "decision": outcome.decision,
        "decision_reasoning": outcome.reasoning,
        "policy_applied": outcome.policy_applied,
        "risk_level": assessment.risk_level,
        "risk_factors": list(assessment.risk_factors),
        "recommendations": list(assessment.recommendations),
        "evaluator": assessment.evaluator,
        "rubric_version": assessment.rubric_version,
        "evidence": [line.model_dump(mode="json") for line in assessment.evidence],
        "usage": assessment.usage.model_dump(mode="json") if assessment.usage else None,
        "conditions": conditions(outcome.conditions),
        "shadow_decision": outcome.shadow,
        "sandbox": outcome.sandbox,
        "tier": assessment.tier,
        "claimed_tier": assessment.claimed_tier,
        "self_reference": assessment.self_reference,
        "effects": list(assessment.effects),
        "blast_radius": assessment.blast_radius.model_dump(mode="json")
        if assessment.blast_radius
        else None,
        "timestamp": at.isoformat(),
    }


def conditions(values: Sequence[ConditionValue]) -> list[dict[str, Any]]:
    return [
        {"policy_id": v.policy_id, "expression": v.expression, "value": v.value}
        | ({"error": v.error} if v.error else {})
        for v in values
    ]


def decided(history: Sequence[Recorded[Any]]) -> dict[str, Any] | None:
    """The answer of ``decide`` from one intent's events; None while nothing is decided."""
    state = fold(recorded.event for recorded in history)
    if state.decision is None or state.assessed is None:
        return None
    made = state.decision
    outcome = Outcome(
        made.decision,
        made.policy_applied,
        made.conditions,
        made.reasoning,
        made.shadow_decision,
        made.sandbox,
    )
    return {
        "intent_id": made.intent_id,
        "decision_id": made.decision_id,
        "attempt": made.attempt,
        "mode": made.mode,
        "bundle_digest": made.bundle_digest,
        **assessed(state.assessed.assessment, outcome, made.at),
        "next_action": made.next_action,
        "standing": standing(state),
        "position": history[-1].position,
    }


def full(history: Sequence[Recorded[Any]], decision_id: str) -> dict[str, Any] | None:
    """One decision with all that belongs to it: assessment, questions, answers, override."""
    until = _until_next(history, decision_id)
    answer = decided(until)
    if answer is None:
        return None
    state = fold(recorded.event for recorded in until)
    return {
        **answer,
        "inputs": dict(state.decision.inputs) if state.decision else {},
        "approvals": _approvals(state),
        "override": state.override.model_dump(mode="json") if state.override else None,
        "events": [
            {
                "position": recorded.position,
                "type": recorded.event.type,
                "at": recorded.event.at.isoformat(),
                "actor": recorded.actor,
                "epoch": recorded.epoch,
            }
            for recorded in until
        ],
    }


def _until_next(history: Sequence[Recorded[Any]], decision_id: str) -> list[Recorded[Any]]:
    """The events up to the end of what one decision led to: before the next assessment, or the
    next decision on the same one."""
    kept: list[Recorded[Any]] = []
    found = False
    for recorded in history:
        event = recorded.event
        if found and (
            isinstance(event, AlignmentAssessed)
            or (isinstance(event, DecisionMade) and event.decision_id != decision_id)
        ):
            break
        kept.append(recorded)
        found = found or getattr(event, "decision_id", "") == decision_id
    return kept


def _approvals(state: State) -> list[dict[str, Any]]:
    return [
        {
            **approval.request.model_dump(mode="json", exclude={"type"}),
            "status": approval.status,
            "granted_by": list(approval.granted_by),
            "rejected_by": approval.rejected.approver if approval.rejected else "",
            "reason": approval.rejected.reason if approval.rejected else "",
        }
        for approval in state.approvals
    ]


def listed(row: DecisionRow, overrides: Overrides | None) -> dict[str, Any]:
    """One line of the list of decisions, with the override that stands above it."""
    return with_override(row, overrides).model_dump(mode="json", exclude={"inputs"})


def policies(rows: Sequence[PolicyRow], bundle: Bundle, digest: str) -> dict[str, Any]:
    """The bundle in force, highest priority first, then what was retired."""
    known = {row.policy.policy_id: row for row in rows}
    in_force = sorted(bundle.policies, key=lambda policy: (-policy.priority, policy.policy_id))
    items = [
        {
            **policy.model_dump(mode="json"),
            "condition": " && ".join(policy.conditions),
            "by": known[policy.policy_id].by if policy.policy_id in known else "shipped",
        }
        for policy in in_force
    ]
    retired = [
        {
            **row.policy.model_dump(mode="json"),
            "by": row.by,
            "reason": row.reason,
            "since": row.since.isoformat(),
        }
        for row in rows
        if row.retired
    ]
    return {"policies": items, "retired": retired, "bundle_digest": digest}
