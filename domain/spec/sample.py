"""Example values and bodies for records: always the same ones, inside every bound.

A ``Judge`` evaluates a CEL text (None: it cannot); with it, bodies are sought that keep the rules.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.spec.model import Record, RecordField, Spec

Judge = Callable[[str, Mapping[str, Any]], bool | None]
Body = dict[str, Any]

FIRST_DAY = date(2030, 1, 1)
FIRST_MOMENT = datetime(2030, 1, 1, 9, tzinfo=UTC)
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
VARIANTS = 64
_STEP = Decimal("10.25")


def body(spec: Spec, record: Record, number: int, judge: Judge | None = None) -> Body | None:
    """A valid body to create the ``number``-th (from 1) example; None when the rules allow none
    that was tried, or when there are rules and nobody to judge them."""
    for candidate in _candidates(spec, record, number):
        if keeps_rules(spec, record, "create", candidate, None, candidate, judge):
            return candidate
    return None


def keeps_rules(
    spec: Spec,
    record: Record,
    on: str,
    after: Body,
    before: Body | None,
    given: Body,
    judge: Judge | None,
) -> bool:
    """Whether every rule on this step is known to hold."""
    rules = spec.rules_of(record.name, on)
    if not rules:
        return True
    if judge is None:
        return False
    bindings = {
        "record": as_cel(record, after),
        "old": None if before is None else as_cel(record, before),
        "input": as_cel(record, given),
    }
    return all(judge(rule.check, bindings) is True for rule in rules)


def as_cel(record: Record, values: Body) -> dict[str, Any]:
    """A body as CEL sees a record: every field there, decimals as double, no value as null."""
    seen: dict[str, Any] = {field.name: None for field in record.fields}
    if record.states is not None:
        seen["state"] = record.states.initial
    seen |= values
    for field in record.fields:
        if field.type == "decimal" and isinstance(seen[field.name], str):
            seen[field.name] = float(seen[field.name])
    return seen


def value(field: RecordField, number: int) -> Any:
    """The ``number``-th example of a field's value (a reference: the last created one)."""
    match field.type:
        case "text":
            text = f"{field.name.replace('_', ' ').capitalize()} {number}"
            return text[-field.max_length :] if field.max_length else text
        case "int":
            return int(_number(field, number, Decimal(1)))
        case "decimal":
            return str(_number(field, number, _STEP))
        case "bool":
            return number % 2 == 1
        case "date":
            return _day(field, number).isoformat()
        case "datetime":
            return _moment(field, number).isoformat().replace("+00:00", "Z")
        case "email":
            return f"person{number}@example.org"
        case "enum":
            return field.values[(number - 1) % len(field.values)]
        case "uuid":
            return f"00000000-0000-4000-8000-{number:012d}"
        case _:
            return f"$id.{field.ref}"


def wrong_value(field: RecordField) -> Any:
    """A value the field must refuse; None when every plain value would do."""
    match field.type:
        case "int" | "decimal" if field.min is not None:
            below = Decimal(field.min) - 1
            return int(below) if field.type == "int" else str(below)
        case "int" | "decimal" | "date" | "datetime" | "email" | "uuid":
            return f"not a value of {field.name}"
        case "enum":
            return f"none of the {len(field.values)} values"
        case "text" if field.max_length is not None:
            return "x" * (field.max_length + 1)
        case _:
            return None


def creation_order(spec: Spec) -> tuple[Record, ...]:
    """The records so that whatever one requires comes before it; those that require one another in
    a circle are left out (nobody could create the first)."""
    done: dict[str, Record] = {}
    waiting = list(spec.records)
    while True:
        free = [r for r in waiting if all(ref in done for ref in _required_refs(r))]
        if not free:
            return tuple(done.values())
        for record in free:
            done[record.name] = record
            waiting.remove(record)


def _required_refs(record: Record) -> tuple[str, ...]:
    return tuple(field.ref for field in record.fields if field.ref and field.required)


def _candidates(spec: Spec, record: Record, number: int) -> Iterator[Body]:
    known = _earlier(spec, record)
    fields = [field for field in record.fields if not field.ref or field.ref in known]
    for variant in range(VARIANTS):
        yield {
            field.name: value(field, number + _shift(variant, place))
            for place, field in enumerate(fields)
        }


def _shift(variant: int, place: int) -> int:
    """Variant 0 takes dates and numbers as they come; others move single fields further on."""
    return 7 * ((variant >> (place % 6)) & 1) * (1 + place % 3)


def _earlier(spec: Spec, record: Record) -> frozenset[str]:
    """Records that the steps before this one's creation have created."""
    names: set[str] = set()
    todo = list(_required_refs(record))
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            found = spec.record(name)
            todo += _required_refs(found) if found else ()
    return frozenset(names)


def _number(field: RecordField, number: int, step: Decimal) -> Decimal:
    low = Decimal(field.min) if field.min is not None else None
    high = Decimal(field.max) if field.max is not None else None
    if low is None:
        low = Decimal(0) if high is None or high >= 0 else high - 100 * step
    found = low + number * step
    if high is None or found <= high:
        return found
    if field.type == "int":
        return low + number % (int(high - low) + 1)
    part = (high - low) * number / (number + 2)
    return low + part.quantize(Decimal("0.01")) if high - low > 1 else low


def _day(field: RecordField, number: int) -> date:
    low = date.fromisoformat(field.min) if field.min else None
    high = date.fromisoformat(field.max) if field.max else None
    if low is None:
        low = FIRST_DAY if high is None or high > FIRST_DAY else high - timedelta(days=400)
    found = low + timedelta(days=number - 1)
    return found if high is None or found <= high else high


def _moment(field: RecordField, number: int) -> datetime:
    low = datetime.fromisoformat(field.min) if field.min else None
    high = datetime.fromisoformat(field.max) if field.max else None
    if low is None:
        low = FIRST_MOMENT if high is None or high > FIRST_MOMENT else high - timedelta(days=400)
    found = low + timedelta(hours=number - 1)
    return (found if high is None or found <= high else high).astimezone(UTC)
