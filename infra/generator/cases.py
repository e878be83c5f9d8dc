"""Values just inside and just outside every bound of a field, as Python source for tests."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.spec.model import RecordField
from domain.spec.sample import FIRST_DAY, FIRST_MOMENT, value
from infra.generator.cel import quoted
from infra.generator.plan import DECIMAL_PLACES, EMAIL_MAX, MAX_DIGITS, TEXT_MAX

SOME_ID = "00000000-0000-4000-8000-000000000001"
_INT_MAX = 2**63 - 1


def sample(field: RecordField) -> str:
    """A value that the field takes, as source."""
    return code(SOME_ID if field.ref else value(field, 1))


def accepted(field: RecordField) -> list[str]:
    """Values on the inside of each bound."""
    return list(dict.fromkeys(_accepted(field)))


def refused(field: RecordField) -> list[str]:
    """Values outside each bound, and values of another type."""
    return list(dict.fromkeys(_refused(field)))


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
        yield quoted(format(Decimal(field.min) - step, "f"))
    if field.max is not None:
        yield quoted(format(Decimal(field.max) + step, "f"))


def _days_outside(field: RecordField) -> Iterator[str]:
    day = timedelta(days=1)
    if field.min is not None and date.fromisoformat(field.min) > date.min:
        yield quoted((date.fromisoformat(field.min) - day).isoformat())
    if field.max is not None and date.fromisoformat(field.max) < date.max:
        yield quoted((date.fromisoformat(field.max) + day).isoformat())


def _moments_outside(field: RecordField) -> Iterator[str]:
    second = timedelta(seconds=1)
    if field.min is not None:
        yield quoted((datetime.fromisoformat(field.min) - second).isoformat())
    if field.max is not None:
        yield quoted((datetime.fromisoformat(field.max) + second).isoformat())


__all__ = ["FIRST_DAY", "FIRST_MOMENT", "accepted", "code", "refused", "sample"]
