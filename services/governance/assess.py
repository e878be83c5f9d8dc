"""How an intent is assessed: by the rubric, or by Claude with the rubric below it."""

import hashlib
from typing import Protocol

from domain.canonical import digest
from domain.governance_events import Assessment, BlastRadius
from domain.intent import Intent
from domain.rubric import Blueprint, evaluate


class Evaluator(Protocol):
    """Assesses intents. Never raises for what an intent says, nor for a model that fails."""

    @property
    def blueprint(self) -> Blueprint: ...

    @property
    def concurrency(self) -> int:
        """How many assessments may run at once, for one unit of capacity."""

    async def assess(self, intent: Intent, radius: BlastRadius) -> Assessment: ...


class RubricEvaluator:
    """The published rubric alone: deterministic, well under a millisecond."""

    concurrency = 256  # one atomic batch of the log takes about as many decisions

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint

    @property
    def blueprint(self) -> Blueprint:
        return self._blueprint

    async def assess(self, intent: Intent, radius: BlastRadius) -> Assessment:
        return evaluate(intent, self._blueprint, radius)


def with_context(blueprint: Blueprint, context: str) -> str:
    """Digest of a blueprint together with the context an intent brought along, if any."""
    if not context:
        return blueprint.digest
    return hashlib.sha256(f"{blueprint.digest}\n{context}".encode()).hexdigest()


def intent_digest(intent: Intent) -> str:
    """Hex SHA-256 of the intent's canonical JSON."""
    return digest(intent.model_dump(mode="json"))
