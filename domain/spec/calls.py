"""What the calls of scenarios reach, and whether their bodies fit the records they go to."""

import re
from typing import Any

from domain.spec.check import value_of
from domain.spec.model import Record, RecordField, Spec, Step
from domain.spec.sample import wrong_value

UDC_PATHS = frozenset(("/health", "/capabilities", "/state", "/dependencies", "/message"))
_ID = re.compile(r"\$id(?:\.[a-z][a-z0-9_]*)?")


def pattern(path: str) -> str:
    """``/revenues/$id/pay?x=1`` -> ``/revenues/{id}/pay``."""
    parts = path.partition("?")[0].rstrip("/").split("/")
    if len(parts) > 2 and parts[1] != "reports":
        parts[2] = "{id}"
    return "/".join(parts) or "/"


def called(spec: Spec, *, exact: bool = False) -> frozenset[tuple[str, str, int]]:
    """(method, pattern, status family, or the exact status) of every step."""
    return frozenset(
        (
            step.method,
            pattern(step.path),
            step.expect.status if exact else step.expect.status // 100,
        )
        for scenario in spec.scenarios
        for step in scenario.steps
    )


def call_problem(spec: Spec, step: Step) -> str:
    """Why a step cannot come out as it says; "" when nothing speaks against it."""
    path = pattern(step.path)
    if path in UDC_PATHS or step.expect.status == 404:
        return ""
    if path.startswith("/reports/"):
        known = step.method == "GET" and path[9:] in {report.name for report in spec.reports}
        return "" if known else f"{step.call} is not offered: no such report"
    record = next((r for r in spec.records if path.split("/")[1:2] == [r.plural]), None)
    if record is None or not _offered(record, step.method, path):
        return f"{step.call} is not offered"
    return _body_problem(record, step, path)


def _offered(record: Record, method: str, path: str) -> bool:
    rest = path.removeprefix(f"/{record.plural}")
    if rest == "":
        return method in ("GET", "POST")
    if rest == "/{id}":
        return method in ("GET", "PATCH", "DELETE")
    if rest == "/{id}/history":
        return method == "GET"
    return method == "POST" and rest.removeprefix("/{id}/") in record.commands


def _body_problem(record: Record, step: Step, path: str) -> str:
    if step.expect.status >= 400 or step.method not in ("POST", "PATCH"):
        return ""
    body = step.body or {}
    allowed = _taken(record, path)
    for name, given in body.items():
        field = record.field(name)
        if field is None or name not in allowed:
            return f"{step.call} takes no field {name!r}"
        if not fits(field, given):
            return f"{given!r} is not a value of {record.name}.{name} ({field.type})"
    needed = _needed(record, step, path)
    missing = [name for name in needed if body.get(name) is None]
    return f"{step.call} needs {', '.join(missing)}" if missing else ""


def _taken(record: Record, path: str) -> frozenset[str]:
    command = path.rpartition("/")[2]
    if record.states is not None and command in record.commands:
        transition = next(t for t in record.states.transitions if t.command == command)
        return frozenset(transition.fields)
    return frozenset(field.name for field in record.fields)


def _needed(record: Record, step: Step, path: str) -> tuple[str, ...]:
    if step.method == "PATCH":
        return ()
    if path == f"/{record.plural}":
        return tuple(f.name for f in record.fields if f.required and f.default is None)
    return tuple(sorted(_taken(record, path)))


def fits(field: RecordField, given: Any) -> bool:
    """Whether a JSON value may stand in this field."""
    if given is None:
        return not field.required
    if field.ref:
        return isinstance(given, str) and (bool(_ID.fullmatch(given)) or _is("uuid", given))
    match field.type:
        case "bool":
            return isinstance(given, bool)
        case "int":
            return isinstance(given, int) and not isinstance(given, bool) and _inside(field, given)
        case "decimal":
            plain = isinstance(given, str | int | float) and not isinstance(given, bool)
            return plain and _is("decimal", str(given)) and _inside(field, given)
        case "enum":
            return given in field.values
        case "text":
            return isinstance(given, str) and len(given) <= (field.max_length or len(given))
        case "email":
            return isinstance(given, str) and "@" in given
        case _:
            return isinstance(given, str) and _is(field.type, given) and _inside(field, given)


def _is(kind: str, text: str) -> bool:
    return value_of(kind, text) is not None


def _inside(field: RecordField, given: Any) -> bool:
    value: Any = value_of(field.type, str(given))
    low: Any = value_of(field.type, field.min) if field.min is not None else value
    high: Any = value_of(field.type, field.max) if field.max is not None else value
    return bool(low <= value <= high)


def used_fields(spec: Spec) -> frozenset[tuple[str, str]]:
    """(record, field) of everything a scenario, rule, report or transition uses, and all that is
    required (a client has to give it)."""
    used = {(r.name, f.name) for r in spec.records for f in r.fields if f.required or f.unique}
    used |= {
        (r.name, name)
        for r in spec.records
        if r.states
        for transition in r.states.transitions
        for name in transition.fields
    }
    for report in spec.reports:
        used |= {(report.record, group.field) for group in report.groups}
        used.add((report.record, report.field or ""))
        used |= _mentioned(report.record, report.where or "")
    for rule in spec.rules:
        used |= _mentioned(rule.record, rule.check)
    return frozenset(used | _in_scenarios(spec))


def _mentioned(record: str, text: str) -> set[tuple[str, str]]:
    return {(record, name) for name in re.findall(r"\.\s*([a-z][a-z0-9_]*)", text)}


def _in_scenarios(spec: Spec) -> set[tuple[str, str]]:
    used = set()
    for scenario in spec.scenarios:
        for step in scenario.steps:
            first = step.path.split("/")[1].partition("?")[0]
            names = [*(step.body or {}), *re.findall(r"[?&]([a-z_]+)=", step.path)]
            used |= {(r.name, n) for r in spec.records if r.plural == first for n in names}
    return used


def constrained(spec: Spec) -> list[tuple[int, int]]:
    """(record, field) indexes of every field that some value does not fit."""
    return [
        (i, j)
        for i, record in enumerate(spec.records)
        for j, field in enumerate(record.fields)
        if field.required or wrong_value(field) is not None
    ]


def refused_fields(spec: Spec) -> frozenset[tuple[str, str]]:
    """(record, field) of everything that some scenario shows to be refused for its value."""
    plurals = {f"/{record.plural}": record for record in spec.records}
    shown: set[tuple[str, str]] = set()
    for scenario in spec.scenarios:
        for step in scenario.steps:
            record = plurals.get(step.path)
            if record is not None and step.method == "POST" and step.expect.status == 422:
                shown |= {(record.name, f.name) for f in record.fields if not _given_well(f, step)}
    return frozenset(shown)


def _given_well(field: RecordField, step: Step) -> bool:
    body = step.body or {}
    if field.name not in body:
        return not field.required or field.default is not None
    return fits(field, body[field.name])
