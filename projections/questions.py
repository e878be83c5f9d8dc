"""What a person needs to see to judge an intent: its newest assessment and decision, in full.

Source      ``events.governance.>``; the key is the intent's id.
Rebuild     fold from position 0.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.governance_events import (
    AlignmentAssessed,
    Assessment,
    ConditionValue,
    Decision,
    DecisionMade,
    Mode,
)
from domain.recorded import Recorded
from domain.view import Table, updated


class Question(BaseModel):
    """``decision`` is None between the assessment and the decision on it."""

    model_config = ConfigDict(frozen=True)

    intent_id: str
    attempt: int
    assessment: Assessment
    blueprint_digest: str
    decision_id: str = ""
    decision: Decision | None = None
    policy_applied: str = ""
    conditions: tuple[ConditionValue, ...] = ()
    mode: Mode | None = None
    reasoning: str = ""
    bundle_digest: str = ""
    decided_at: AwareDatetime | None = None
    position: int


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.intent_id,)


def _fold(row: Question | None, recorded: Recorded[Any], key: str) -> Question | None:
    event = recorded.event
    if isinstance(event, AlignmentAssessed):
        return Question(
            intent_id=key,
            attempt=event.attempt,
            assessment=event.assessment,
            blueprint_digest=event.blueprint_digest,
            position=recorded.position,
        )
    if row is None:
        return None
    return updated(
        row,
        {
            "decision_id": event.decision_id,
            "decision": event.decision,
            "policy_applied": event.policy_applied,
            "conditions": event.conditions,
            "mode": event.mode,
            "reasoning": event.reasoning,
            "bundle_digest": event.bundle_digest,
            "decided_at": event.at,
            "position": recorded.position,
        },
    )


QUESTIONS = Table(
    name="questions",
    version=1,
    subjects=("events.governance.>",),
    row=Question,
    events=(AlignmentAssessed, DecisionMade),
    keys=_keys,
    fold=_fold,
)
