"""A view as a pure fold: which events touch which rows, and what a row becomes.

A ``Table`` is described here and in ``projections/``; ``infra.views`` keeps it in SQLite, where the
rows and the checkpoint change in one transaction. Rebuild: fold from position 0.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from domain.event import Event
from domain.recorded import Recorded

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Row]):
    """A view made of rows found by key.

    name      of the SQLite table, ``snake_case``; unique within one service
    version   raised whenever ``fold`` or ``row`` changes: the view is then rebuilt
    subjects  the log's subjects it needs (wildcards allowed)
    row       the frozen pydantic model of a row
    keys      the keys an event touches, in order; empty: the event is not for this view
    fold      (row or None, event, key) -> the row from now on; None deletes it
    once      each key is touched by one event only: no row comes before it
    columns   fields of the row that queries filter or sort by (top level; str, int, float, bool)
    """

    name: str
    version: int
    subjects: tuple[str, ...]
    row: type[Row]
    keys: Callable[[Recorded[Any]], Iterable[str]]
    fold: Callable[[Row | None, Recorded[Any], str], Row | None]
    columns: tuple[str, ...] = ()
    once: bool = False


def apply(table: Table[Row], rows: dict[str, Row], recorded: Recorded[Event]) -> dict[str, Row]:
    """Fold one event into a plain mapping: what tests and replays in memory use."""
    changed = dict(rows)
    for key in table.keys(recorded):
        row = table.fold(changed.get(key), recorded, key)
        if row is None:
            changed.pop(key, None)
        else:
            changed[key] = row
    return changed
