"""Values just inside and just outside every bound of a field, as Python source for tests."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from domain.spec.model import RecordField
from domain.spec.sample import FIRST_DAY, FIRST_MOMENT, value
from infra.generator.cel import quoted
from infra.generator.plan import DECIMAL_PLACES, EMAIL_MAX, MAX_DIGITS, TEXT_MAX

SOME_ID = "00000000-0000-4000-8000-000000000001"
_INT_MAX = 2**63 - 1
_LONG = 200  # longer texts cost time and show nothing more
_FIRST, _LAST = date.min.isoformat(), date.max.isoformat()


def sample(field: RecordField) -> str:
    """A value that the field takes, as source."""
    return code(SOME_ID if field.ref else value(field, 1))


def accepted(field: RecordField) -> list[str]:
    """Values on the inside of each bound."""
    return list(dict.fromkeys(_accepted(field)))


def refused(field: RecordField) -> list[str]:
    """Values outside each bound, and values of another type."""
    return list(dict.fromkeys(_refused(field)))


def inside(field: RecordField) -> str:
    """A strategy for every value that the field takes, as source; "" for those without bounds."""
    match field.type:
        case "text":
            return f"texts(1, {min(field.max_length or _LONG, _LONG)})"
        case "int":
            low, high = (_whole(field.min, -(2**63)), _whole(field.max, _INT_MAX))
            return f"strategies.integers({low}, {high})"
        case "decimal":
            return _numbers(field, field.min, field.max)
        case "date":
            return f"days({quoted(field.min or _FIRST)}, {quoted(field.max or _LAST)})"
        case _:
            return ""


def beyond(field: RecordField) -> list[str]:
    """Strategies for the values below and above the field's bounds, as source."""
    return list(_beyond(field))


def _beyond(field: RecordField) -> Iterator[str]:
    match field.type:
        case "text" if field.max_length and field.max_length < _LONG:
            low = field.max_length + 1
            yield f"texts({low}, {low + 20})"
        case "int":
            yield f"strategies.integers(max_value={_whole(field.min, -(2**63)) - 1})"
            yield f"strategies.integers(min_value={_whole(field.max, _INT_MAX) + 1})"
        case "decimal":
            step = Decimal(1).scaleb(-_places(field))
            if field.min is not None:
                yield from filter(None, [_numbers(field, None, _moved(field.min, -step))])
            if field.max is not None:
                yield from filter(None, [_numbers(field, _moved(field.max, step), None)])
        case "date":
            before, after = _day_before(field), _day_after(field)
            if before:
                yield f"days({quoted(_FIRST)}, {quoted(before)})"
            if after:
                yield f"days({quoted(after)}, {quoted(_LAST)})"


def _moved(bound: str, step: Decimal) -> str:
    """The bound, moved by exactly this step."""
    with localcontext() as context:
        context.prec = 2 * MAX_DIGITS
        return format(Decimal(bound) + step, "f")


def _numbers(field: RecordField, low: str | None, high: str | None) -> str:
    """A strategy within these bounds and the digits that a decimal may have; "" when that is
    nothing."""
    places = _places(field)
    limit = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES - 1)
    first = -limit if low is None else max(Decimal(low), -limit)
    last = limit if high is None else min(Decimal(high), limit)
    if first > last:
        return ""
    return f"numbers({quoted(format(first, 'f'))}, {quoted(format(last, 'f'))}, {places})"


def _whole(bound: str | None, otherwise: int) -> int:
    return otherwise if bound is None else int(bound)


def _places(field: RecordField) -> int:
    """As many digits after the point as the bounds have, at least two."""
    given = [Decimal(bound).as_tuple().exponent for bound in (field.min, field.max) if bound]
    return max(2, *(-exponent for exponent in given if isinstance(exponent, int)), 0)


def code(found: Any) -> str:
    return quoted(found) if isinstance(found, str) else repr(found)


def _accepted(field: RecordField) -> Iterator[str]:
    match field.type:
        case "text":
            yield quoted("x")
            yield f'"x" * {field.max_length or TEXT_MAX}'
        case "int":
            yield str(int(field.min) if field.min is not None else -_INT_MAX)
            yield str(int(field.max) if field.max is not None else _INT_MAX)
        case "decimal":
            yield from (quoted(bound) for bound in (field.min, field.max) if bound is not None)
            yield sample(field)
        case "bool":
            yield from ("True", "False")
        case "date" | "datetime":
            bounds = [bound for bound in (field.min, field.max) if bound is not None]
            yield from (quoted(bound) for bound in bounds)
            yield sample(field)
        case "email":
            yield quoted("a@b.example")
        case "enum":
            yield from (quoted(value) for value in field.values)
        case _:
            yield quoted(SOME_ID)


def _refused(field: RecordField) -> Iterator[str]:
    match field.type:
        case "text":
            yield from (['""'] if field.required else [])
            yield f'"x" * {(field.max_length or TEXT_MAX) + 1}'
            yield from ("5", "True", "[]")
        case "int":
            yield str(int(field.min) - 1 if field.min is not None else -(2**63) - 1)
            yield str(int(field.max) + 1 if field.max is not None else _INT_MAX + 1)
            yield from (quoted("1"), "1.5", "True", "[]")
        case "decimal":
            yield from _outside(field)
            yield from (quoted("a lot"), quoted("NaN"), quoted("1_0"), quoted("1E+9"), "True", "[]")
            yield quoted(f"0.{'0' * DECIMAL_PLACES}1")
            yield quoted("9" * (MAX_DIGITS + 1))
        case "bool":
            yield from ('"true"', "1", "[]")
        case "date":
            yield from _days_outside(field)
            yield from (quoted("2030-02-30"), quoted("1893456000"), "5", "True")
        case "datetime":
            yield from _moments_outside(field)
            yield from (quoted("2030-01-01T09:00:00"), quoted("1893456000"), "5", "True")
            yield quoted("0001-01-01T00:00:00+14:00")
        case "email":
            yield from (quoted("nobody"), quoted("a@b"), quoted("a b@c.example"), "5")
            yield f'"x" * {field.max_length or EMAIL_MAX} + "@b.example"'
        case "enum":
            yield from (quoted("-".join((*field.values, "no"))), "5", "True")
        case _:
            yield from (quoted("not-an-id"), "5", "True")


def _outside(field: RecordField) -> Iterator[str]:
    step = Decimal("0.000001")
    if field.min is not None:
        yield quoted(_moved(field.min, -step))
    if field.max is not None:
        yield quoted(_moved(field.max, step))


def _days_outside(field: RecordField) -> Iterator[str]:
    yield from (quoted(day) for day in (_day_before(field), _day_after(field)) if day)


def _day_before(field: RecordField) -> str:
    """The day before the first one that is allowed; "" when there is none."""
    if field.min is None or field.min == _FIRST:
        return ""
    return (date.fromisoformat(field.min) - timedelta(days=1)).isoformat()


def _day_after(field: RecordField) -> str:
    if field.max is None or field.max == _LAST:
        return ""
    return (date.fromisoformat(field.max) + timedelta(days=1)).isoformat()


def _moments_outside(field: RecordField) -> Iterator[str]:
    second = timedelta(seconds=1)
    if field.min is not None:
        yield quoted((datetime.fromisoformat(field.min) - second).isoformat())
    if field.max is not None:
        yield quoted((datetime.fromisoformat(field.max) + second).isoformat())


__all__ = ["FIRST_DAY", "FIRST_MOMENT", "accepted", "beyond", "code", "inside", "refused", "sample"]
