"""Tables of a read model: columns from a record's fields, values as they are stored, exact sums."""

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from domain.errors import Invalid

_INT_MAX = 2**63 - 1
_EXACT = Context(prec=1000)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BUILT_IN = {"id": "uuid", "version": "int", "created_at": "datetime", "updated_at": "datetime"}
_COLUMN = {"int": "INTEGER", "bool": "INTEGER", "decimal": "TEXT COLLATE exact"}


class Table:
    """One record's rows: its plural, its fields with their types, and what is searched often."""

    def __init__(self, name: str, fields: Mapping[str, str], *, indexed: Iterable[str] = ()):
        self.name = name
        self.fields = {**_BUILT_IN, **fields}
        self.indexed = tuple(indexed)
        for column in (name, *self.fields):
            if not _NAME.fullmatch(column):
                raise ValueError(f"not a column name: {column!r}")
        self.columns = ", ".join(f'"{column}"' for column in self.fields)
        self.yes_or_no = [name for name, kind in self.fields.items() if kind == "bool"]

    def statements(self) -> list[str]:
        columns = "".join(f', "{n}" {_COLUMN.get(k, "TEXT")}' for n, k in self.fields.items())
        return [
            f'CREATE TABLE IF NOT EXISTS "{self.name}" (position INTEGER PRIMARY KEY{columns})',
            *(
                f'CREATE INDEX IF NOT EXISTS "{self.name}_{column}" ON "{self.name}" ("{column}")'
                for column in ("id", *self.indexed)
            ),
        ]

    def row(self, found: sqlite3.Row) -> dict[str, Any]:
        row = {name: found[name] for name in self.fields}
        for name in self.yes_or_no:
            if row[name] is not None:
                row[name] = bool(row[name])
        return row


def stored(value: Any) -> Any:
    """A value as its column holds it, which is also how it travels in JSON (except yes or no)."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case dict() | list():
            return json.dumps(value)
        case _:
            return value


def searched(name: str, value: Any) -> Any:
    """A value to search for, as its column holds it.

    Raises:
        Invalid: no record could have it.
    """
    infinite = isinstance(value, Decimal) and not value.is_finite()
    if infinite or (isinstance(value, int) and abs(value) > _INT_MAX):
        raise Invalid(name, "is not a number that a record could have")
    return stored(value)


def loaded(kind: str, value: Any) -> Any:
    """What ``stored`` wrote, as a value again."""
    if value is None:
        return None
    match kind:
        case "decimal":
            return Decimal(value)
        case "datetime":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case "bool":
            return bool(value)
        case "uuid":
            return UUID(value)
        case _:
            return value


def yes_or_no(row: dict[str, Any], column: str) -> dict[str, Any]:
    """The row with a column as true or false where SQLite keeps 1 or 0."""
    value = row[column]
    return row if value is None else {**row, column: bool(value)}


def exact_numbers(db: sqlite3.Connection) -> None:
    """Teach a connection to compare, add and average decimals that are kept as text."""
    db.create_collation("exact", _compared)
    aggregates: dict[str, Any] = {"exact_sum": _ExactSum, "exact_avg": _ExactAverage}
    for name, aggregate in aggregates.items():
        db.create_aggregate(name, 1, aggregate)


def _compared(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


class _ExactSum:
    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    def step(self, value: Any) -> None:
        if value is not None:
            self.total = _EXACT.add(self.total, Decimal(value))
            self.count += 1

    def finalize(self) -> str | None:
        return format(self.total, "f")


class _ExactAverage(_ExactSum):
    def finalize(self) -> str | None:
        if not self.count:
            return None
        mean = Context(prec=34).divide(self.total, Decimal(self.count))
        return format(mean.normalize() if mean else Decimal(0), "f")
