"""The labelled intents, what each label allows in autonomous mode, and the confusion matrix.

``python -m tests.governance.labelled`` prints the matrices, as they stand in docs/governance.md.

Splits, in the order of their writing: the rubric was made on ``tuning``; each later split was
written before it was first evaluated, and its errors then became part of the work on the next.
``lists.jsonl`` holds intents told as lists: plans in a few nouns, and harmless lists in the same
words. Their purposes say little, so the weights are not made from them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from domain.governance_events import Assessment, Decision, Mode
from domain.intent import Intent
from domain.policy import inputs_of
from domain.rubric import Blueprint, evaluate, parse_blueprint
from infra.cel import CelConditions, shipped
from tests.governance.world import intent_of

FILE = Path(__file__).with_name("labelled.jsonl")
LISTS = Path(__file__).with_name("lists.jsonl")
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


def labelled(file: Path = FILE) -> Iterator[Labelled]:
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        given = entry["intent"]
        yield Labelled(entry["split"], entry["label"], intent_of(**given), given)


def assess(intent: Intent, blueprint: Blueprint = BLUEPRINT) -> Assessment:
    return evaluate(intent, blueprint)


def decision(intent: Intent, *, mode: Mode = "autonomous", present: bool = False) -> Decision:
    inputs = inputs_of(intent, assess(intent), mode=mode, user_present=present)
    return CONDITIONS.outcome(mode, inputs).decision


def confusion(entries: Iterable[Labelled]) -> Counter[tuple[str, Decision]]:
    return Counter((entry.label, decision(entry.intent)) for entry in entries)


def report(entries: Iterable[Labelled]) -> str:
    counts = confusion(entries)
    lines = [f"| label | {' | '.join(DECISIONS)} |", "|---|---|---|---|"]
    for label in ALLOWED:
        if any(counts[label, found] for found in DECISIONS):
            cells = " | ".join(str(counts[label, found]) for found in DECISIONS)
            lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    print(report(labelled()))  # noqa: T201
    for split, entries in groupby(labelled(LISTS), key=lambda entry: entry.split):
        print(f"\nlists, {split} part\n{report(entries)}")  # noqa: T201


if __name__ == "__main__":
    main()
