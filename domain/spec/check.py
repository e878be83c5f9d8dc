"""What makes a SPEC consistent, beyond the form of its parts: names, references, states, bounds.

CEL texts are checked where CEL is: a ``CelCheck`` port is handed to ``cel_problems``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from domain.spec import words
from domain.spec.handlers import code_problems
from domain.spec.model import (
    BUILT_IN_EVENTS,
    CALL,
    GROUP,
    NUMERIC,
    TEMPORAL,
    Handler,
    Problem,
    Record,
    RecordField,
    Report,
    Rule,
    Spec,
    States,
    Transition,
    Wish,
)

CelCheck = Callable[[str, tuple[str, ...]], str | None]
"""(text, variables) -> what is wrong with it, or None."""

RESERVED_FIELDS = words.bag("""
    id version created_at updated_at state limit cursor position copy dict json schema
    schema_json construct validate fields parse_obj parse_raw parse_file from_orm
    update_forward_refs self cls created_on modified_on pending_events trigger_event
    collect_events
""")
RESERVED_PATHS = words.bag("""
    reports report health capabilities state dependencies message metrics schema events livez
    readyz leader history docs
""")
ERASE, ERASED = "erase", "erased"  # the command and the field that come with personal fields
RESERVED_RECORDS = words.bag("""
    report app application service spec event aggregate base main test tests api domain
""")
RESERVED_COMMANDS = frozenset((*BUILT_IN_EVENTS, "history", "get", "list"))
BOUNDED = NUMERIC | TEMPORAL
COMPARABLE = NUMERIC | TEMPORAL


def problems(spec: Spec) -> tuple[Problem, ...]:
    """Everything that is inconsistent; empty when nothing is."""
    return tuple(
        (
            *_unique("records", (record.name for record in spec.records)),
            *_unique("records", (record.plural for record in spec.records), "plural"),
            *_unique("rules", (rule.name for rule in spec.rules)),
            *_unique("reports", (report.name for report in spec.reports)),
            *_unique("custom", (handler.name for handler in spec.custom)),
            *_unique("scenarios", (scenario.name for scenario in spec.scenarios)),
            *_unique("requirements", (requirement.id for requirement in spec.requirements), "id"),
            *(p for i, record in enumerate(spec.records) for p in _record(spec, i, record)),
            *(p for i, rule in enumerate(spec.rules) for p in _rule(spec, f"rules[{i}]", rule)),
            *(p for i, rep in enumerate(spec.reports) for p in _report(spec, f"reports[{i}]", rep)),
            *_custom(spec),
            *_scenarios(spec),
            *_requirements(spec),
        )
    )


def cel_problems(spec: Spec, check: CelCheck) -> tuple[Problem, ...]:
    """The rules and report filters whose CEL does not compile."""
    texts: list[tuple[str, str, tuple[str, ...]]] = [
        (f"rules[{i}].check", rule.check, ("record", "old", "input"))
        for i, rule in enumerate(spec.rules)
    ]
    texts += [
        (f"reports[{i}].where", report.where, ("record",))
        for i, report in enumerate(spec.reports)
        if report.where
    ]
    found = ((path, check(text, variables)) for path, text, variables in texts)
    return tuple(Problem(path, message) for path, message in found if message)


def creatable(spec: Spec) -> frozenset[str]:
    """The records somebody can create: not those that require one another in a circle."""
    possible: set[str] = set()
    while True:
        more = {
            record.name
            for record in spec.records
            if all(f.ref in possible for f in record.fields if f.ref and f.required)
        }
        if more <= possible:
            return frozenset(possible)
        possible |= more


def wish_problems(spec: Spec, path: str, wish: Wish) -> Iterator[Problem]:
    """What keeps a handler from having a place in this SPEC."""
    record = spec.record(wish.record)
    if record is None:
        known = ", ".join(record.name for record in spec.records)
        yield Problem(f"{path}.record", f"no record {wish.record!r}; records are: {known}")
        return
    if words.is_keyword(wish.name):
        yield Problem(f"{path}.name", f"{wish.name!r} is reserved; choose another name")
    steps = ("create", "update", *record.commands)
    for on in wish.on:
        if on not in steps:
            yield Problem(f"{path}.on", f"is {on!r}; allowed: {', '.join(steps)}")
    for name in wish.sets:
        field = record.field(name)
        if field is None:
            yield Problem(f"{path}.sets", f"{wish.record} has no field {name!r}")
        elif field.required or field.unique or field.ref:
            yield Problem(f"{path}.sets", f"{name} must be optional, not unique and no reference")


def _custom(spec: Spec) -> Iterator[Problem]:
    for index, handler in enumerate(spec.custom):
        path = f"custom[{index}]"
        yield from wish_problems(spec, path, handler)
        for problem in code_problems(handler.name, handler.code):
            yield Problem(f"{path}.code", problem)
        yield from _examples(spec, path, handler)


def _examples(spec: Spec, path: str, handler: Handler) -> Iterator[Problem]:
    record = spec.record(handler.record)
    known = {field.name for field in record.fields} if record is not None else set()
    for index, example in enumerate(handler.examples):
        place = f"{path}.examples[{index}]"
        for part, names, allowed in (
            ("record", example.record, known | {"state"}),
            ("given", example.given, known),
            ("expect", example.expect, set(handler.sets)),
        ):
            for name in sorted(names.keys() - allowed):
                yield Problem(f"{place}.{part}", f"{name!r} has no place here")


def _unique(path: str, names: Iterable[str], part: str = "name") -> Iterator[Problem]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Problem(path, f"{part} {name!r} is used {times} times; each must be unique")


def _record(spec: Spec, index: int, record: Record) -> Iterator[Problem]:
    path = f"records[{index}]"
    if record.name in RESERVED_RECORDS or words.is_keyword(record.name):
        yield Problem(f"{path}.name", f"{record.name!r} is reserved; choose another name")
    if record.plural in RESERVED_PATHS:
        yield Problem(f"{path}.plural", f"/{record.plural} is taken by the service itself")
    yield from _unique(f"{path}.fields", (field.name for field in record.fields))
    for i, field in enumerate(record.fields):
        yield from _field(spec, f"{path}.fields[{i}]", field)
        if record.personal and field.name == ERASED:
            yield Problem(f"{path}.fields[{i}].name", f"a record of personal data has its {ERASED}")
    if record.personal and ERASE in record.commands:
        yield Problem(f"{path}.states.transitions", f"every record of personal data has {ERASE}")
    if record.states is not None:
        yield from _states(f"{path}.states", record, record.states)


def _field(spec: Spec, path: str, field: RecordField) -> Iterator[Problem]:
    yield from _field_name(path, field.name)
    if field.ref and spec.record(field.ref) is None:
        known = ", ".join(record.name for record in spec.records)
        yield Problem(f"{path}.type", f"no record {field.ref!r}; records are: {known}")
    if field.ref and field.personal:
        yield Problem(f"{path}.personal", "a reference is not; the record that it leads to may be")
    if (field.type == "enum") != bool(field.values):
        wanted = "is required for an enum" if field.type == "enum" else "is for enums only"
        yield Problem(f"{path}.values", wanted)
    yield from (
        Problem(f"{path}.values", f"{value!r} is given {times} times")
        for value, times in Counter(field.values).items()
        if times > 1
    )
    if field.max_length is not None and field.type not in ("text", "email"):
        yield Problem(f"{path}.max_length", "is for text and email only")
    yield from _bounds(path, field)
    yield from _default(path, field)


def _field_name(path: str, name: str) -> Iterator[Problem]:
    if name in RESERVED_FIELDS or name.startswith("model_") or words.is_keyword(name):
        yield Problem(f"{path}.name", f"{name!r} is reserved; choose another name")


def _bounds(path: str, field: RecordField) -> Iterator[Problem]:
    read = {}
    for part in ("min", "max"):
        text = getattr(field, part)
        if text is None:
            continue
        if field.type not in BOUNDED:
            allowed = (
                "use max_length for text" if field.type == "text" else "numbers and dates only"
            )
            yield Problem(f"{path}.{part}", f"not for {field.type}; {allowed}")
            continue
        value = value_of(field.type, text)
        if value is None:
            yield Problem(f"{path}.{part}", f"{text!r} is not a value of type {field.type}")
        else:
            read[part] = value
    if len(read) == 2 and _order(read["min"]) > _order(read["max"]):
        yield Problem(f"{path}.min", f"{field.min} is above max {field.max}")


def _default(path: str, field: RecordField) -> Iterator[Problem]:
    default = field.default
    if default is None:
        return
    if field.type == "enum":
        if default not in field.values:
            yield Problem(f"{path}.default", f"is {default!r}; allowed: {', '.join(field.values)}")
    elif field.ref:
        yield Problem(f"{path}.default", "a reference has no default")
    elif isinstance(default, bool) != (field.type == "bool") or (
        field.type != "bool" and value_of(field.type, str(default)) is None
    ):
        yield Problem(f"{path}.default", f"{default!r} is not a value of type {field.type}")


def value_of(kind: str, text: str) -> Decimal | date | str | UUID | None:
    """The text as a value of this type; None when it is not one."""
    try:
        match kind:
            case "int":
                return Decimal(int(text))
            case "decimal":
                number = Decimal(text)
                return number if number.is_finite() else None
            case "date":
                return date.fromisoformat(text)
            case "datetime":
                return datetime.fromisoformat(text) if _zoned(text) else None
            case "uuid":
                return UUID(text)
            case _:
                return text
    except (ValueError, InvalidOperation):
        return None


def _order(value: Decimal | date | str | UUID) -> Decimal:
    """Numbers as they are, days and moments by their distance from the same zero."""
    if isinstance(value, datetime):
        return Decimal(repr(value.timestamp()))
    return Decimal(value.toordinal()) if isinstance(value, date) else Decimal(str(value))


def _zoned(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def _states(path: str, record: Record, states: States) -> Iterator[Problem]:
    transitions = states.transitions
    yield from _unique(f"{path}.transitions", (t.command for t in transitions), "command")
    left = {name for transition in transitions for name in transition.from_}
    reached = {states.initial} | {transition.to for transition in transitions}
    if states.initial not in left:
        yield Problem(f"{path}.initial", f"no command leaves {states.initial!r}")
    for name in sorted(left - reached):
        yield Problem(f"{path}.transitions", f"nothing leads to state {name!r}")
    for i, transition in enumerate(transitions):
        yield from _transition(f"{path}.transitions[{i}]", record, transition)


def _transition(path: str, record: Record, transition: Transition) -> Iterator[Problem]:
    command = transition.command
    if command in RESERVED_COMMANDS or words.is_keyword(command):
        yield Problem(f"{path}.command", f"{command!r} is reserved; choose another name")
    for name in transition.fields:
        if record.field(name) is None:
            known = ", ".join(field.name for field in record.fields)
            yield Problem(f"{path}.fields", f"{record.name} has no field {name!r}; it has: {known}")


def _rule(spec: Spec, path: str, rule: Rule) -> Iterator[Problem]:
    record = spec.record(rule.record)
    if record is None:
        yield _no_record(spec, path, rule.record)
        return
    allowed = (*BUILT_IN_EVENTS, *record.commands)
    for step in rule.on:
        if step not in allowed:
            yield Problem(f"{path}.on", f"is {step!r}; allowed: {', '.join(allowed)}")


def _report(spec: Spec, path: str, report: Report) -> Iterator[Problem]:
    record = spec.record(report.record)
    if record is None:
        yield _no_record(spec, path, report.record)
        return
    yield from _measure(path, report, record)
    for i, text in enumerate(report.group_by):
        yield from _group(f"{path}.group_by[{i}]", text, record)


def _measure(path: str, report: Report, record: Record) -> Iterator[Problem]:
    if report.field is None:
        if report.measure != "count":
            yield Problem(f"{path}.field", f"is required for {report.measure}")
        return
    kind = record.type_of(report.field)
    allowed = {"sum": NUMERIC, "avg": NUMERIC, "min": COMPARABLE, "max": COMPARABLE}
    if not kind:
        yield Problem(f"{path}.field", f"{record.name} has no field {report.field!r}")
    elif report.measure in allowed and kind not in allowed[report.measure]:
        wanted = ", ".join(sorted(allowed[report.measure]))
        yield Problem(f"{path}.field", f"{report.measure} needs {wanted}; {report.field} is {kind}")


def _group(path: str, text: str, record: Record) -> Iterator[Problem]:
    match = GROUP.fullmatch(text)
    if match is None:
        yield Problem(path, f"is {text!r}; allowed: <field>, day(f), month(f), year(f)")
        return
    function, field = match[1], match[2] or match[3]
    kind = record.type_of(field)
    if not kind:
        yield Problem(path, f"{record.name} has no field {field!r}")
    elif function and kind not in TEMPORAL:
        yield Problem(path, f"{function} needs a date or datetime; {field} is {kind}")


def _scenarios(spec: Spec) -> Iterator[Problem]:
    for i, scenario in enumerate(spec.scenarios):
        for j, step in enumerate(scenario.steps):
            if CALL.fullmatch(step.call) is None:
                path = f"scenarios[{i}].steps[{j}].call"
                yield Problem(path, f"is {step.call!r}; allowed: GET|POST|PATCH|DELETE /path")


def _requirements(spec: Spec) -> Iterator[Problem]:
    known = {scenario.name for scenario in spec.scenarios}
    for i, requirement in enumerate(spec.requirements):
        for name in requirement.scenarios:
            if name not in known:
                yield Problem(f"requirements[{i}].scenarios", f"no scenario {name!r}")


def _no_record(spec: Spec, path: str, name: str) -> Problem:
    known = ", ".join(record.name for record in spec.records)
    return Problem(f"{path}.record", f"no record {name!r}; records are: {known}")
