"""How good a SPEC is: 0-100, a pure and versioned function; every lost point is a finding.

The parts weigh completeness 40, clarity 30, UDC 20, build readiness 10. Each check may take at most
its share of its part (``domain.spec.findings``); what it takes is in proportion to what is wrong.
"""

from collections.abc import Iterable

from domain.delivery_events import Finding, Score
from domain.spec.findings import PARTS, Lost, clarity, completeness, readiness, udc
from domain.spec.model import Spec

SCORER_VERSION = "1"
GRADES = ((90.0, "excellent"), (75.0, "good"), (60.0, "fair"))


def score(spec: Spec, outside: Iterable[Lost] = ()) -> Score:
    """Return the score. ``outside`` are losses that this SPEC alone does not show: ports and names
    that are taken, CEL that does not compile, a trial generation that failed."""
    lost = [*completeness(spec), *clarity(spec), *udc(spec), *readiness(spec), *outside]
    parts = {part: _part(part, lost) for part in PARTS}
    total = round(sum(parts[part] * weight / 100 for part, weight in PARTS.items()), 2)
    return Score(
        total=total,
        completeness=parts["completeness"],
        clarity=parts["clarity"],
        udc=parts["udc"],
        readiness=parts["readiness"],
        grade=grade(total),
        scorer_version=SCORER_VERSION,
        findings=tuple(_finding(item) for item in sorted(lost, key=_heaviest_first)),
    )


def grade(total: float) -> str:
    """The word for a score: excellent, good, fair, poor."""
    return next((word for least, word in GRADES if total >= least), "poor")


def _part(part: str, lost: Iterable[Lost]) -> float:
    return round(max(0.0, 100.0 - sum(item.share for item in lost if item.part == part)), 2)


def _finding(item: Lost) -> Finding:
    return Finding(
        rule=item.rule,
        place=item.place,
        severity=item.severity,
        message=item.message,
        fix=item.fix,
        points=round(item.share * PARTS[item.part] / 100, 2),
    )


def _heaviest_first(item: Lost) -> tuple[float, str, str]:
    return -item.share * PARTS[item.part], item.rule, item.place
