"""Scenarios that a SPEC implies: create, read, change, refuse, move through states, report, delete.

Each starts with an empty service. A step that a rule could refuse is only written when a ``Judge``
says that it will pass: a scenario must never fail because of what it does not know.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from domain.spec.calls import pattern
from domain.spec.model import Expect, Record, RecordField, Report, Scenario, Spec, Step
from domain.spec.sample import (
    UNKNOWN_ID,
    Body,
    Judge,
    body,
    creation_order,
    keeps_rules,
    value,
    wrong_value,
)

MAX_REFUSALS = 8
_NOT_ECHOED = ("datetime",)  # may come back in another, equal notation


def implied(spec: Spec, judge: Judge | None = None) -> tuple[Scenario, ...]:
    """Every scenario the SPEC implies, in a fixed order, names unique."""
    found: list[Scenario] = []
    for record in creation_order(spec):
        found += _record_scenarios(spec, record, judge)
    for report in spec.reports:
        found += _report_scenario(spec, report, judge)
    return tuple(found)


def completed(spec: Spec, judge: Judge | None = None) -> tuple[Scenario, ...]:
    """The SPEC's own scenarios, and the implied ones whose calls no own scenario makes."""
    made = {_shape(step) for scenario in spec.scenarios for step in scenario.steps}
    names = {scenario.name for scenario in spec.scenarios}
    added = [
        scenario
        for scenario in implied(spec, judge)
        if scenario.name not in names and any(_shape(step) not in made for step in scenario.steps)
    ]
    return (*spec.scenarios, *added)


def _shape(step: Step) -> tuple[str, str, int]:
    return step.method, pattern(step.path), step.expect.status


def name_of(record: Record) -> str:
    """The record in a sentence, with its article."""
    words = record.name.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _record_scenarios(spec: Spec, record: Record, judge: Judge | None) -> Iterator[Scenario]:
    first = body(spec, record, 1, judge)
    prelude = _prelude(spec, record, judge)
    yield _refuse(record, first, prelude)
    if first is None or prelude is None:
        return
    start = (*prelude, _create(record, first))
    one = f"/{record.plural}/$id"
    yield Scenario(
        name=f"create and read {name_of(record)}",
        steps=(
            *start,
            _step("GET", one, 200, _echo(record, first)),
            _step("GET", f"/{record.plural}", 200),
            _step("GET", f"{one}/history", 200),
        ),
    )
    yield from _change(spec, record, first, start, judge)
    yield from _unique(spec, record, first, start, judge)
    if not spec.rules_of(record.name, "delete"):
        gone = (_step("DELETE", one, 204), _step("GET", one, 404))
        yield Scenario(name=f"delete {name_of(record)}", steps=(*start, *gone))
    yield from _transitions(spec, record, first, start, judge)


def _prelude(spec: Spec, record: Record, judge: Judge | None) -> tuple[Step, ...] | None:
    """What must exist before this record can; None when it cannot be made."""
    steps: list[Step] = []
    wanted = _requirements_of(spec, record)
    for other in creation_order(spec):
        if other.name not in wanted:
            continue
        example = body(spec, other, 1, judge)
        if example is None:
            return None
        steps.append(_create(other, example))
    return tuple(steps)


def _requirements_of(spec: Spec, record: Record) -> frozenset[str]:
    names: set[str] = set()
    todo = [record]
    while todo:
        for field in todo.pop().fields:
            other = spec.record(field.ref) if field.ref and field.required else None
            if other is not None and other.name not in names:
                names.add(other.name)
                todo.append(other)
    return frozenset(names - {record.name})


def _create(record: Record, given: Body) -> Step:
    expected = _echo(record, given)
    if record.states is not None:
        expected["state"] = record.states.initial
    return _step("POST", f"/{record.plural}", 201, expected, given)


def _step(
    method: str, path: str, status: int, expected: Any = None, given: Body | None = None
) -> Step:
    return Step(call=f"{method} {path}", body=given, expect=Expect(status=status, body=expected))


def _echo(record: Record, given: Body) -> Body:
    kept = (field for field in record.fields if field.type not in _NOT_ECHOED)
    return {field.name: given[field.name] for field in kept if field.name in given}


def _refuse(record: Record, valid: Body | None, prelude: tuple[Step, ...] | None) -> Scenario:
    """Invalid bodies are refused before any rule is asked, so this one is always possible."""
    steps = [_step("GET", f"/{record.plural}/{UNKNOWN_ID}", 404)]
    if valid is not None and prelude is not None:
        steps += prelude
        steps += [
            _step("POST", f"/{record.plural}", 422, None, wrong) for wrong in _wrong(record, valid)
        ]
    return Scenario(name=f"refuse {name_of(record)} that is invalid or unknown", steps=tuple(steps))


def _wrong(record: Record, valid: Body) -> list[Body]:
    bodies: list[Body] = []
    required = next((f.name for f in record.fields if f.required and f.default is None), None)
    if required is not None:
        bodies.append({name: given for name, given in valid.items() if name != required})
    for field in record.fields:
        wrong = wrong_value(field)
        if wrong is not None and field.name in valid and (field.max_length or 0) <= 500:
            bodies.append({**valid, field.name: wrong})
    return bodies[:MAX_REFUSALS]


def _change(
    spec: Spec, record: Record, first: Body, start: tuple[Step, ...], judge: Judge | None
) -> Iterator[Scenario]:
    for field in record.fields:
        if field.ref or field.name not in first:
            continue
        given = {field.name: value(field, 2)}
        after = {**first, **given}
        if keeps_rules(spec, record, "update", after, first, given, judge):
            path = f"/{record.plural}/$id"
            steps = (
                _step("PATCH", path, 200, _echo(record, given), given),
                _step("PATCH", f"/{record.plural}/{UNKNOWN_ID}", 404, None, given),
            )
            yield Scenario(name=f"change {name_of(record)}", steps=(*start, *steps))
            return


def _unique(
    spec: Spec, record: Record, first: Body, start: tuple[Step, ...], judge: Judge | None
) -> Iterator[Scenario]:
    for field in record.fields:
        second = body(spec, record, 2, judge)
        if not field.unique or field.name not in first or second is None:
            continue
        taken = {**second, field.name: first[field.name]}
        if keeps_rules(spec, record, "create", taken, None, taken, judge):
            refused = _step("POST", f"/{record.plural}", 409, None, taken)
            title = f"refuse {name_of(record)} whose {field.name.replace('_', ' ')} is taken"
            yield Scenario(name=title, steps=(*start, refused))


def _transitions(
    spec: Spec, record: Record, first: Body, start: tuple[Step, ...], judge: Judge | None
) -> Iterator[Scenario]:
    if record.states is None:
        return
    for transition in record.states.transitions:
        walked = _walk(spec, record, first, transition.from_, judge)
        last = _command(spec, record, walked, transition.command, judge) if walked else None
        if walked is None or last is None:
            continue
        steps = [*start, *walked[0], last[0]]
        if transition.to not in transition.from_:
            again = Step(call=last[0].call, body=last[0].body, expect=Expect(status=409))
            steps.append(again)
        title = f"{transition.command.replace('_', ' ')} {name_of(record)}"
        yield Scenario(name=title, steps=tuple(steps))


Walk = tuple[tuple[Step, ...], str, Body]
"""The steps so far, the state they lead to, the record's values then."""


def _walk(
    spec: Spec, record: Record, first: Body, targets: tuple[str, ...], judge: Judge | None
) -> Walk | None:
    """The shortest way from the initial state into one of the targets; None when rules bar it."""
    assert record.states is not None
    queue: list[Walk] = [((), record.states.initial, first)]
    seen = {record.states.initial}
    while queue:
        walked = queue.pop(0)
        if walked[1] in targets:
            return walked
        for transition in record.states.transitions:
            if walked[1] not in transition.from_ or transition.to in seen:
                continue
            made = _command(spec, record, walked, transition.command, judge)
            if made is not None:
                seen.add(transition.to)
                queue.append(((*walked[0], made[0]), transition.to, made[1]))
    return None


def _command(
    spec: Spec, record: Record, walked: Walk, command: str, judge: Judge | None
) -> tuple[Step, Body] | None:
    assert record.states is not None
    transition = next(t for t in record.states.transitions if t.command == command)
    given: Body = {}
    for name in transition.fields:
        field = record.field(name)
        assert field is not None
        if field.ref and walked[2].get(name) is None:
            return None
        given[name] = walked[2][name] if field.ref else value(field, 2)
    before = {**walked[2], "state": walked[1]}
    after = {**walked[2], **given, "state": transition.to}
    if not keeps_rules(spec, record, command, after, before, given, judge):
        return None
    expected = {"state": transition.to, **_echo(record, given)}
    path = f"/{record.plural}/$id/{command}"
    return _step("POST", path, 200, expected, given or None), {**walked[2], **given}


def _report_scenario(spec: Spec, report: Report, judge: Judge | None) -> Iterator[Scenario]:
    record = spec.record(report.record)
    assert record is not None
    title = f"ask for the report {report.name}"
    call = f"/reports/{report.name}"
    prelude = _prelude(spec, record, judge) if record in creation_order(spec) else None
    examples = [body(spec, record, number, judge) for number in (1, 2)]
    bodies = [example for example in examples if example is not None]
    if prelude is None or len(bodies) < 2 or _collide(record, *bodies):
        yield Scenario(name=title, steps=(_step("GET", call, 200),))
        return
    bodies[1] = _same_groups(spec, report, record, bodies, judge)
    rows = _rows(report, record, bodies)
    steps = (
        *prelude,
        *(_step("POST", f"/{record.plural}", 201, None, given) for given in bodies),
        _step("GET", call, 200, None if rows is None else {"rows": rows}),
    )
    yield Scenario(name=title, steps=steps)


def _collide(record: Record, first: Body, second: Body) -> bool:
    """Bounds so narrow that two examples of a unique field are the same."""
    unique = (field.name for field in record.fields if field.unique)
    return any(first.get(name) == second.get(name) for name in unique)


def _same_groups(
    spec: Spec, report: Report, record: Record, bodies: list[Body], judge: Judge | None
) -> Body:
    """The second example moved into the first one's group, where uniqueness and rules allow."""
    moved = dict(bodies[1])
    for group in report.groups:
        field = record.field(group.field)
        if field is not None and not field.unique and field.name in bodies[0]:
            moved[field.name] = bodies[0][field.name]
    allowed = keeps_rules(spec, record, "create", moved, None, moved, judge)
    return moved if allowed else bodies[1]


def _rows(report: Report, record: Record, bodies: list[Body]) -> list[Body] | None:
    """What the report must answer; None when that is not for this module to say."""
    if report.where or report.measure == "avg":
        return None
    rows: dict[tuple[str, ...], list[Body]] = {}
    for given in bodies:
        key = _key(report, record, given)
        if key is None:
            return None
        rows.setdefault(tuple(key.values()), []).append(given)
    if len(rows) > 1:
        return None  # the order of several rows is the service's own
    members = next(iter(rows.values()))
    measured = _measured(report, record, members)
    return None if measured is None else [{**(_key(report, record, members[0]) or {}), **measured}]


def _key(report: Report, record: Record, given: Body) -> dict[str, Any] | None:
    key = {}
    for group in report.groups:
        if group.field == "state" and record.states is not None:
            key[group.key] = record.states.initial
        elif record.field(group.field) is None or given.get(group.field) is None:
            return None
        else:
            key[group.key] = _part(group.function, given[group.field])
    return key


def _part(function: str, given: Any) -> Any:
    length = {"day": 10, "month": 7, "year": 4}.get(function)
    return given if length is None else str(given)[:length]


def _measured(report: Report, record: Record, members: list[Body]) -> dict[str, Any] | None:
    if report.measure == "count":
        return {"value": len(members)}
    field = record.field(report.field or "")
    if field is None or any(given.get(field.name) is None for given in members):
        return None
    reduced = _reduced(report.measure, field, [given[field.name] for given in members])
    return None if reduced is None else {"value": reduced}


def _reduced(measure: str, field: RecordField, values: list[Any]) -> Any:
    if field.type == "datetime":
        return None  # may come back in another, equal notation
    if field.type == "decimal":
        return str(_aggregate(measure, [Decimal(text) for text in values]))
    return _aggregate(measure, values)  # ISO days sort as text


def _aggregate(measure: str, values: list[Any]) -> Any:
    match measure:
        case "sum":
            return sum(values)
        case "min":
            return min(values)
        case _:
            return max(values)
