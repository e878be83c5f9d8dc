"""Better SPECs by published fixes: the score never falls, nothing is removed.

A fix is applied for a finding it knows; what only a person can say stays a question. Words that a
person wrote are kept: a requirement that is put into form keeps its first wording as ``source``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.delivery_events import Finding, Score
from domain.spec.ears import as_ears, is_ears
from domain.spec.fields import LONG
from domain.spec.findings import Lost
from domain.spec.model import Record, RecordField, Spec, SpecInvalid, read_spec
from domain.spec.sample import Judge
from domain.spec.scenarios import completed
from domain.spec.score import score
from domain.spec.trace import requirements

MAX_ROUNDS = 10
DEFAULT_P95_MS = 250  # what the platform's generated services keep with room to spare


@dataclass(frozen=True, slots=True)
class Optimized:
    """``missing`` are questions to a person, asked only when the gate is not reached."""

    spec: Spec
    score: Score
    changes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def optimize(
    spec: Spec, gate: float, *, outside: Iterable[Lost] = (), judge: Judge | None = None
) -> Optimized:
    """Apply fixes, heaviest finding first, until the gate is reached or no fix helps."""
    beyond = tuple(outside)
    current, scored, changes = spec, score(spec, beyond), []
    tried: set[str] = set()
    for _ in range(MAX_ROUNDS):
        finding = _next(scored, tried)
        if finding is None or scored.total >= gate:
            break
        tried.add(finding.rule)
        better = _apply(current, finding, judge)
        again = score(better, beyond) if better is not None else None
        if better is None or again is None or again.total <= scored.total:
            continue
        changes.append(f"{_FIXES[finding.rule][0]} ({scored.total} -> {again.total})")
        current, scored = better, again
    return Optimized(current, scored, tuple(changes), _missing(scored, gate))


def lost_content(before: Spec, after: Spec) -> tuple[str, ...]:
    """What stands in ``before`` and nowhere in ``after``; empty for every optimization."""
    old, new = set(_content(before.document())), set(_content(after.document()))
    return tuple(sorted(old - new))


def _content(value: object) -> Iterable[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "version":
                yield from _content(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _content(item)
    elif value is not None:
        yield str(value)


def _next(scored: Score, tried: set[str]) -> Finding | None:
    return next((f for f in scored.findings if f.rule in _FIXES and f.rule not in tried), None)


def _apply(spec: Spec, finding: Finding, judge: Judge | None) -> Spec | None:
    """The SPEC with every finding of this rule mended as far as the fix can; None: it cannot."""
    try:
        fixed = read_spec(_FIXES[finding.rule][1](spec, judge).document())
    except SpecInvalid:
        return None
    return fixed if not lost_content(spec, fixed) else None


def _missing(scored: Score, gate: float) -> tuple[str, ...]:
    if scored.total >= gate:
        return ()
    return tuple(
        f"{finding.place}: {finding.message}; {finding.fix} (+{finding.points:g})"
        for finding in scored.findings
        if finding.points > 0
    )


def _scenarios(spec: Spec, judge: Judge | None) -> Spec:
    more = spec.model_copy(update={"scenarios": completed(spec, judge)})
    return more.model_copy(update={"requirements": requirements(more)})


def _requirements(spec: Spec, judge: Judge | None) -> Spec:
    return spec.model_copy(update={"requirements": requirements(spec)})


def _in_form(spec: Spec, judge: Judge | None) -> Spec:
    """Sentences that are no requirement become one; the old wording stays as the source."""
    formed = tuple(
        requirement
        if is_ears(requirement.text)
        else requirement.model_copy(
            update={
                "text": as_ears(requirement.text, spec.service_name)[:1000],
                "source": requirement.source or requirement.text,
            }
        )
        for requirement in spec.requirements
    )
    return _requirements(spec.model_copy(update={"requirements": formed}), judge)


def _bounds(spec: Spec, judge: Judge | None) -> Spec:
    """Only text gets a bound: what a number may be is for a person to say."""

    def bounded(field: RecordField) -> RecordField:
        free = field.type == "text" and field.max_length is None
        return field.model_copy(update={"max_length": LONG}) if free else field

    def record(given: Record) -> Record:
        return given.model_copy(update={"fields": tuple(map(bounded, given.fields))})

    return spec.model_copy(update={"records": tuple(map(record, spec.records))})


def _title(spec: Spec, judge: Judge | None) -> Spec:
    return spec.model_copy(update={"title": spec.service_name.replace("-", " ").capitalize()})


def _limits(spec: Spec, judge: Judge | None) -> Spec:
    limits = spec.limits.model_copy(update={"p95_ms": DEFAULT_P95_MS})
    return spec.model_copy(update={"limits": limits})


def _criteria(spec: Spec, judge: Judge | None) -> Spec:
    said = [f"All {len(spec.scenarios)} scenarios pass on the built service."]
    if spec.limits.p95_ms is not None:
        said.append(f"95 % of requests are answered within {spec.limits.p95_ms} ms.")
    return spec.model_copy(update={"criteria": tuple(said)})


def _features(spec: Spec, judge: Judge | None) -> Spec:
    """What a service can do is what it is required to do, else what it keeps and reports."""
    wanted = [requirement.source or requirement.text for requirement in spec.requirements]
    return spec.model_copy(update={"key_features": tuple(dict.fromkeys(wanted))[:50]})


Fix = tuple[str, Callable[[Spec, Judge | None], Spec]]
_FIXES: dict[str, Fix] = {
    "record-without-scenario": ("added scenarios for records", _scenarios),
    "record-without-refusal": ("added scenarios of what is refused", _scenarios),
    "transition-without-scenario": ("added scenarios for commands", _scenarios),
    "report-without-scenario": ("added scenarios for reports", _scenarios),
    "unused-field": ("added scenarios that use every field", _scenarios),
    "no-requirements": ("wrote requirements from features and records", _requirements),
    "requirement-without-scenario": ("traced requirements to scenarios", _requirements),
    "requirement-form": ("put requirements into EARS form", _in_form),
    "field-without-bounds": (f"limited text to {LONG} characters", _bounds),
    "no-title": ("gave it a title", _title),
    "no-limits": (f"promised {DEFAULT_P95_MS} ms for 95 % of requests", _limits),
    "no-success-criteria": ("said when it is a success", _criteria),
    "no-features": ("listed its features", _features),
}
