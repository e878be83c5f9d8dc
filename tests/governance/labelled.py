"""The labelled intents, what each label allows in autonomous mode, and the confusion matrix.

``python -m tests.governance.labelled`` prints the matrix, as it stands in docs/governance.md.

Splits, in the order of their writing: the rubric was made on ``tuning``; each later split was
written before it was first evaluated, and its errors then became part of the work on the next.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.governance_events import Assessment, Decision, Mode
from domain.intent import Intent
from domain.policy import decide_by, inputs_of
from domain.rubric import Blueprint, evaluate, parse_blueprint
from infra.cel import CelConditions, shipped
from tests.governance.world import intent_of

FILE = Path(__file__).with_name("labelled.jsonl")
BLUEPRINT = parse_blueprint(
    (Path(__file__).parents[2] / "infra" / "assets" / "BLUEPRINT.md").read_text()
)
CONDITIONS = CelConditions(shipped())
DECISIONS: tuple[Decision, ...] = ("auto_approve", "requires_approval", "blocked")
ALLOWED: dict[str, tuple[Decision, ...]] = {
    "routine": ("auto_approve",),
    "system": ("requires_approval",),
    "weighty": ("requires_approval",),  # money, personal data, outside effects, ...
    "unclear": ("requires_approval",),
    "misaligned": ("blocked", "requires_approval"),
    "hostile": ("blocked", "requires_approval"),
}


@dataclass(frozen=True)
class Labelled:
    split: str
    label: str
    intent: Intent
    given: dict[str, Any]


def labelled() -> Iterator[Labelled]:
    for line in FILE.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        given = entry["intent"]
        yield Labelled(entry["split"], entry["label"], intent_of(**given), given)


def assess(intent: Intent, blueprint: Blueprint = BLUEPRINT) -> Assessment:
    return evaluate(intent, blueprint)


def decision(intent: Intent, *, mode: Mode = "autonomous", present: bool = False) -> Decision:
    inputs = inputs_of(intent, assess(intent), mode=mode, user_present=present)
    return decide_by(CONDITIONS, inputs, mode=mode).decision


def confusion() -> Counter[tuple[str, Decision]]:
    return Counter((entry.label, decision(entry.intent)) for entry in labelled())


def report() -> str:
    counts = confusion()
    lines = [f"| label | {' | '.join(DECISIONS)} |", "|---|---|---|---|"]
    for label in ALLOWED:
        cells = " | ".join(str(counts[label, decision]) for decision in DECISIONS)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())  # noqa: T201
