"""The checks behind the score: each looks at one thing, and says what it costs and what mends it.

``SHARES`` is the most that a check may take from its part; no part falls below 0. A SPEC without
records loses the shares of all that it could not say either.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from domain.spec import ears
from domain.spec.calls import call_problem, called, constrained, refused_fields, used_fields
from domain.spec.check import creatable
from domain.spec.model import NUMERIC, Spec, States
from domain.spec.words import bag

Part = Literal["completeness", "clarity", "udc", "readiness"]
Severity = Literal["error", "warning", "hint"]
PARTS: dict[Part, int] = {"completeness": 40, "clarity": 30, "udc": 20, "readiness": 10}
SHARES: dict[Part, dict[str, float]] = {
    "completeness": {
        "no-records": 40,
        "purpose-too-short": 8,
        "no-requirements": 12,
        "requirement-without-scenario": 14,
        "record-without-scenario": 13,
        "record-without-refusal": 8,
        "constraint-without-scenario": 5,
        "transition-without-scenario": 10,
        "report-without-scenario": 8,
        "rule-without-scenario": 5,
        "field-without-bounds": 8,
        "no-limits": 4,
        "no-success-criteria": 5,
    },
    "clarity": {
        "requirement-form": 30,
        "weak-word": 25,
        "quality-without-number": 15,
        "unclear-name": 15,
        "long-sentence": 4,
        "field-without-description": 3,
        "unclear-message": 8,
    },
    "udc": {
        "no-features": 30,
        "dependency": 30,
        "port": 25,
        "no-title": 15,
    },
    "readiness": {
        "nothing-to-build": 100,
        "impossible-record": 20,
        "scenario-call": 25,
        "cel": 20,
        "unused-field": 10,
        "state-without-exit": 5,
        "trial": 20,
    },
}
PURPOSE_WORDS = 10  # different words that carry meaning: what it is for, and for whom
MAX_SENTENCE_WORDS = 40
MIN_MESSAGE_WORDS = 3
UNCLEAR = bag("""
    data value values thing things stuff misc other object item1 info foo bar baz temp tmp test x y
    field field1 field2 value1 value2 attribute param flag
""")
ENDINGS = bag("""
    closed done completed complete cancelled canceled rejected archived paid resolved delivered
    published refunded expired deleted retired finished settled failed approved shipped booked
    confirmed returned void voided sold released merged won lost
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Points taken from one part; ``share`` is out of the part's 100."""

    part: Part
    rule: str
    place: str
    severity: Severity
    message: str
    fix: str
    share: float


Found = tuple[str, str, str]
"""(place, message, fix)"""


def completeness(spec: Spec) -> Iterator[Lost]:
    part: Part = "completeness"
    records, states = spec.records, [r for r in spec.records if r.states]
    transitions = sum(len(record.commands) for record in states)
    yield from _lost(part, "no-records", "error", _no_records(spec), 1)
    yield from _lost(part, "purpose-too-short", "hint", *_purpose(spec))
    yield from _lost(part, "no-requirements", "error", _no_requirements(spec), 1)
    yield from _lost(
        part, "requirement-without-scenario", "warning", _untraced(spec), len(spec.requirements)
    )
    yield from _lost(part, "record-without-scenario", "error", _uncreated(spec), len(records))
    yield from _lost(part, "record-without-refusal", "warning", _unrefused(spec), len(records))
    constraints = constrained(spec)
    yield from _lost(
        part, "constraint-without-scenario", "hint", _unshown(spec, constraints), len(constraints)
    )
    yield from _lost(part, "transition-without-scenario", "warning", _unsent(spec), transitions)
    yield from _lost(part, "report-without-scenario", "warning", _unasked(spec), len(spec.reports))
    yield from _lost(part, "rule-without-scenario", "hint", _unbroken(spec), len(spec.rules))
    yield from _lost(part, "field-without-bounds", "hint", _unbounded(spec), _boundable(spec))
    yield from _lost(part, "no-limits", "hint", _no_limits(spec), 1)
    yield from _lost(part, "no-success-criteria", "hint", _no_criteria(spec), 1)


def clarity(spec: Spec) -> Iterator[Lost]:
    part: Part = "clarity"
    prose = _prose(spec)
    yield from _lost(part, "requirement-form", "warning", _not_ears(spec), _requirement_count(spec))
    yield from _lost(part, "weak-word", "warning", _weak(prose), len(prose))
    yield from _lost(part, "quality-without-number", "warning", _unmeasured(prose), len(prose), 2)
    names = len(spec.records) + sum(len(record.fields) for record in spec.records)
    yield from _lost(part, "unclear-name", "warning", _unclear_names(spec), names, 2)
    yield from _lost(part, "long-sentence", "hint", _long(prose), len(prose))
    yield from _lost(part, "field-without-description", "hint", *_undescribed(spec))
    yield from _lost(part, "unclear-message", "hint", _messages(spec), len(spec.rules))


def udc(spec: Spec) -> Iterator[Lost]:
    part: Part = "udc"
    no_features = () if spec.key_features else (
        ("key_features", "GET /capabilities would list none", "name what the service offers"),
    )  # fmt: skip
    yield from _lost(part, "no-features", "warning", no_features, 1)
    yield from _lost(part, "dependency", "error", _dependencies(spec), len(spec.dependencies))
    no_title = () if spec.title else (("title", "has no title", "give the service a title"),)
    yield from _lost(part, "no-title", "hint", no_title, 1)


def readiness(spec: Spec) -> Iterator[Lost]:
    part: Part = "readiness"
    steps = sum(len(scenario.steps) for scenario in spec.scenarios)
    fields = sum(len(record.fields) for record in spec.records)
    nothing = () if spec.records else (("records", "no trial generation", "name the records"),)
    yield from _lost(part, "nothing-to-build", "error", nothing, 1)
    yield from _lost(part, "impossible-record", "error", _impossible(spec), 1)
    yield from _lost(part, "scenario-call", "error", _bad_calls(spec), steps, 4)
    yield from _lost(part, "unused-field", "hint", _unused(spec), fields)
    stateful = sum(len(r.states.names) for r in spec.records if r.states)
    yield from _lost(part, "state-without-exit", "hint", _dead_ends(spec), stateful)


def outside(part: Part, rule: str, place: str, message: str, fix: str) -> Lost:
    """A loss found by looking beyond the SPEC: the whole share of its rule."""
    share = SHARES[part][rule]
    return Lost(
        part=part, rule=rule, place=place, severity="error", message=message, fix=fix, share=share
    )


def _lost(
    part: Part, rule: str, severity: Severity, found: Iterable[Found], of: float, factor: float = 1
) -> Iterator[Lost]:
    """Each place takes an equal part of the check's share; ``factor`` makes few places count."""
    places = list(found)
    if not places:
        return
    each = SHARES[part][rule] * min(1.0, factor * len(places) / max(of, 1)) / len(places)
    for place, message, fix in places:
        yield Lost(
            part=part, rule=rule, place=place, severity=severity, message=message, fix=fix,
            share=each,
        )  # fmt: skip


def _purpose(spec: Spec) -> tuple[list[Found], float]:
    """The less the purpose says, the more it costs: the place, and of how many parts it is one."""
    said = len(ears.meaningful(spec.purpose))
    if said >= PURPOSE_WORDS:
        return [], 1
    message = f"{spec.purpose!r} says little ({said} of {PURPOSE_WORDS} words that carry meaning)"
    found = ("purpose", message, "say what it is for, for whom, and what they do with it")
    return [found], PURPOSE_WORDS / (PURPOSE_WORDS - said)


def _no_records(spec: Spec) -> Iterator[Found]:
    if not spec.records:
        fix = "name each record the service keeps, with its fields and their types"
        yield "records", "there are none, so there is nothing to build", fix


def _no_requirements(spec: Spec) -> Iterator[Found]:
    if not spec.requirements:
        yield "requirements", "there are none", "write what the service shall do"


def _untraced(spec: Spec) -> Iterator[Found]:
    for i, requirement in enumerate(spec.requirements):
        if not requirement.scenarios:
            fix = "add the record, report, rule or scenario that shows it, or drop the feature"
            yield f"requirements[{i}]", f"no scenario shows {requirement.text!r}", fix


def _uncreated(spec: Spec) -> Iterator[Found]:
    calls = called(spec)
    for i, record in enumerate(spec.records):
        wanted = {("POST", f"/{record.plural}", 2), ("GET", f"/{record.plural}/{{id}}", 2)}
        if not wanted <= calls:
            fix = f"add a scenario that posts and reads {record.plural}"
            yield f"records[{i}]", f"no scenario creates and reads {record.name}", fix


def _unrefused(spec: Spec) -> Iterator[Found]:
    calls = called(spec)
    for i, record in enumerate(spec.records):
        path = f"/{record.plural}"
        if not any(p.startswith(path) and family == 4 for _, p, family in calls):
            fix = "add a scenario with an invalid body or an unknown id"
            yield f"records[{i}]", f"no scenario shows what is refused of {record.name}", fix


def _unshown(spec: Spec, constraints: Sequence[tuple[int, int]]) -> Iterator[Found]:
    shown = refused_fields(spec)
    for i, j in constraints:
        record = spec.records[i]
        name = record.fields[j].name
        if (record.name, name) not in shown:
            message = f"no scenario shows that a wrong {name} is refused"
            fix = f"add a scenario that posts a wrong {name} and expects 422"
            yield f"records[{i}].fields[{j}]", message, fix


def _unsent(spec: Spec) -> Iterator[Found]:
    calls = called(spec)
    for i, record in enumerate(spec.records):
        for j, command in enumerate(record.commands):
            if ("POST", f"/{record.plural}/{{id}}/{command}", 2) not in calls:
                place = f"records[{i}].states.transitions[{j}]"
                yield place, f"no scenario sends {command}", f"add a scenario that sends {command}"


def _unasked(spec: Spec) -> Iterator[Found]:
    calls = called(spec)
    for i, report in enumerate(spec.reports):
        if ("GET", f"/reports/{report.name}", 2) not in calls:
            fix = f"add a scenario that gets /reports/{report.name} and its rows"
            yield f"reports[{i}]", f"no scenario asks for {report.name}", fix


def _unbroken(spec: Spec) -> Iterator[Found]:
    broken = {
        record.name
        for record in spec.records
        for _, path, status in called(spec, exact=True)
        if status == 409 and path.startswith(f"/{record.plural}")
    }
    for i, rule in enumerate(spec.rules):
        if rule.record not in broken:
            fix = "add a scenario that breaks it and expects 409"
            yield f"rules[{i}]", f"no scenario breaks {rule.name}", fix


def _boundable(spec: Spec) -> int:
    kinds = NUMERIC | {"text"}
    return sum(field.type in kinds for record in spec.records for field in record.fields)


def _unbounded(spec: Spec) -> Iterator[Found]:
    for i, record in enumerate(spec.records):
        for j, field in enumerate(record.fields):
            place = f"records[{i}].fields[{j}]"
            if field.type == "text" and field.max_length is None:
                yield place, f"{field.name} may be of any length", "set max_length"
            elif field.type in NUMERIC and field.min is None and field.max is None:
                yield place, f"{field.name} may be any number", "set min or max"


def _no_limits(spec: Spec) -> Iterator[Found]:
    if spec.limits.p95_ms is None:
        fix = "set limits.p95_ms: the response time that 95 % of requests keep"
        yield "limits", "no response time is promised", fix


def _no_criteria(spec: Spec) -> Iterator[Found]:
    if not spec.criteria:
        fix = "say by which numbers somebody can tell that the service does its work"
        yield "criteria", "nothing says when the service is a success", fix


Prose = tuple[str, str]
"""(place, text)"""


def _prose(spec: Spec) -> Sequence[Prose]:
    """What people wrote and read; a requirement made from a feature speaks for it."""
    texts = [("purpose", spec.purpose)]
    texts += [(f"requirements[{i}].text", r.text) for i, r in enumerate(spec.requirements)]
    sources = {requirement.source for requirement in spec.requirements}
    texts += [
        (f"key_features[{i}]", feature)
        for i, feature in enumerate(spec.key_features)
        if feature not in sources
    ]
    return texts + [(f"criteria[{i}]", text) for i, text in enumerate(spec.criteria)]


def _requirement_count(spec: Spec) -> int:
    return len(spec.requirements) or len(spec.key_features) or 1


def _not_ears(spec: Spec) -> Iterator[Found]:
    fix = (
        'write "The <service> shall ...", "When ..., the <service> shall ..." or "If ..., then ..."'
    )
    for i, requirement in enumerate(spec.requirements):
        if not ears.is_ears(requirement.text):
            yield f"requirements[{i}].text", f"{requirement.text!r} is no requirement", fix
    if not spec.requirements:
        yield from (
            (f"key_features[{i}]", f"{feature!r} is no requirement", fix)
            for i, feature in enumerate(spec.key_features)
        )
        if not spec.key_features:
            yield "requirements", "nothing is required", fix


def _weak(prose: Sequence[Prose]) -> Iterator[Found]:
    for place, text in prose:
        found = ears.weak_words(text)
        if found:
            listed = ", ".join(repr(word) for word in found)
            yield (
                place,
                f"{listed} can be read in two ways",
                "say exactly what is meant, or drop it",
            )


def _unmeasured(prose: Sequence[Prose]) -> Iterator[Found]:
    for place, text in prose:
        for word in ears.unmeasured(text):
            yield (
                place,
                f"{word!r} is claimed without a number",
                f"say how {word}: a number, a unit",
            )


def _unclear_names(spec: Spec) -> Iterator[Found]:
    for i, record in enumerate(spec.records):
        if _unclear(record.name):
            yield f"records[{i}].name", f"{record.name!r} says little", "name what it is"
        for j, field in enumerate(record.fields):
            if _unclear(field.name):
                place = f"records[{i}].fields[{j}].name"
                yield place, f"{field.name!r} says little", "name what it holds"


def _unclear(name: str) -> bool:
    return len(name) < 2 or name in UNCLEAR


def _long(prose: Sequence[Prose]) -> Iterator[Found]:
    for place, text in prose:
        words = max(len(sentence.split()) for sentence in text.split(". "))
        if words > MAX_SENTENCE_WORDS:
            yield place, f"a sentence of {words} words", "make it two sentences"


def _undescribed(spec: Spec) -> tuple[list[Found], int]:
    """Fields whose meaning a reader has to guess from the name alone, and how many there are."""
    fix = "say in a few words what it holds"
    fields = [
        (i, j, f) for i, record in enumerate(spec.records) for j, f in enumerate(record.fields)
    ]
    found = [
        (f"records[{i}].fields[{j}]", f"{field.name} has no description", fix)
        for i, j, field in fields
        if not field.description
    ]
    return found, len(fields)


def _messages(spec: Spec) -> Iterator[Found]:
    for i, rule in enumerate(spec.rules):
        if len(rule.message.split()) < MIN_MESSAGE_WORDS:
            fix = "say what is wrong and what would be right"
            yield f"rules[{i}].message", f"{rule.message!r} says little", fix


def _dependencies(spec: Spec) -> Iterator[Found]:
    for i, name in enumerate(spec.dependencies):
        if name == spec.service_name:
            yield f"dependencies[{i}]", "it depends on itself", "remove it"
        elif name in spec.dependencies[:i]:
            yield f"dependencies[{i}]", f"{name} is named twice", "remove one"


def _impossible(spec: Spec) -> Iterator[Found]:
    possible = creatable(spec)
    for i, record in enumerate(spec.records):
        if record.name not in possible:
            fix = "make one of the references optional"
            yield f"records[{i}]", f"{record.name} needs itself to exist before it can", fix


def _bad_calls(spec: Spec) -> Iterator[Found]:
    for i, scenario in enumerate(spec.scenarios):
        for j, step in enumerate(scenario.steps):
            problem = call_problem(spec, step)
            if problem:
                fix = "call what the service offers, with a body that fits the record"
                yield f"scenarios[{i}].steps[{j}]", problem, fix


def _unused(spec: Spec) -> Iterator[Found]:
    used = used_fields(spec)
    for i, record in enumerate(spec.records):
        for j, field in enumerate(record.fields):
            if (record.name, field.name) not in used:
                fix = "use it in a scenario, rule or report, or drop it"
                yield f"records[{i}].fields[{j}]", f"nothing uses {field.name}", fix


def _dead_ends(spec: Spec) -> Iterator[Found]:
    for i, record in enumerate(spec.records):
        for name in _ends_oddly(record.states) if record.states else ():
            fix = "add a command that leaves it, or give it a name that says it is an end"
            yield f"records[{i}].states", f"no command leaves {name!r}", fix


def _ends_oddly(states: States) -> tuple[str, ...]:
    return tuple(name for name in states.final if name not in ENDINGS)
