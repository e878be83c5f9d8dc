"""What happened on each day (UTC): intents, decisions, answers of people, builds, deployments.

Source      ``events.intent.>``, ``.governance.>``, ``.build.>`` and ``.deployment.>``
Rebuild     fold from position 0.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain.delivery_events import (
    ArtifactPackaged,
    BuildFailed,
    DeploymentHealthy,
    DeploymentRolledBack,
    TestsFailed,
)
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    DecisionMade,
    DecisionOverridden,
)
from domain.intent import (
    IntentCancelled,
    IntentCompleted,
    IntentFailed,
    IntentQueued,
    IntentRefused,
)
from domain.recorded import Recorded
from domain.view import Table, updated


class Day(BaseModel):
    """Counts of one day; the key is its ISO date. ``score_sum`` over ``assessed`` is the mean."""

    model_config = ConfigDict(frozen=True)

    date: str
    submitted: int = 0
    refused: int = 0
    assessed: int = 0
    score_sum: float = 0.0
    auto_approved: int = 0
    sent_to_people: int = 0
    blocked: int = 0
    approved: int = 0  # answers: two approvers of one intent count as two
    rejected: int = 0
    expired: int = 0
    overridden: int = 0
    built: int = 0
    build_failed: int = 0
    tests_failed: int = 0
    deployed: int = 0
    rolled_back: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def decided(self) -> int:
        return self.auto_approved + self.sent_to_people + self.blocked


_COUNTED: dict[type[Any], str] = {
    IntentQueued: "submitted",
    IntentRefused: "refused",
    AlignmentAssessed: "assessed",
    ApprovalGranted: "approved",
    ApprovalRejected: "rejected",
    ApprovalExpired: "expired",
    DecisionOverridden: "overridden",
    ArtifactPackaged: "built",
    BuildFailed: "build_failed",
    TestsFailed: "tests_failed",
    DeploymentHealthy: "deployed",
    DeploymentRolledBack: "rolled_back",
    IntentCompleted: "completed",
    IntentFailed: "failed",
    IntentCancelled: "cancelled",
}
_DECIDED = {
    "auto_approve": "auto_approved",
    "requires_approval": "sent_to_people",
    "blocked": "blocked",
}


def _counter(event: Any) -> str:
    if isinstance(event, DecisionMade):
        return _DECIDED[event.decision]
    return _COUNTED[type(event)]


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.at.date().isoformat(),)


def _fold(row: Day | None, recorded: Recorded[Any], key: str) -> Day | None:
    day = row or Day(date=key)
    event = recorded.event
    counter = _counter(event)
    changed: dict[str, Any] = {counter: getattr(day, counter) + 1}
    if isinstance(event, AlignmentAssessed):
        changed["score_sum"] = round(day.score_sum + event.assessment.alignment_score, 6)
    return updated(day, changed)


DAYS = Table(
    name="days",
    version=1,
    subjects=("events.intent.>", "events.governance.>", "events.build.>", "events.deployment.>"),
    row=Day,
    events=(DecisionMade, *_COUNTED),
    keys=_keys,
    fold=_fold,
    columns=("date",),
)
