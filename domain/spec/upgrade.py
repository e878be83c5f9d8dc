"""Which changes of a SPEC the data of a running service survives.

Safe      new records, optional fields (or required ones with a default), new states and commands,
          wider bounds, more values, rules and reports of any kind, a type that holds them all.
Unsafe    whatever stored records may not fit: they would become unreadable or silently wrong.
"""

from collections.abc import Iterator
from typing import Any

from domain.spec.check import value_of
from domain.spec.model import Problem, Record, RecordField, Spec

WIDER = frozenset(
    (
        ("int", "decimal"),
        ("email", "text"),
        ("enum", "text"),
        ("uuid", "text"),
    )
)


def unsafe_changes(old: Spec, new: Spec) -> tuple[Problem, ...]:
    """What in ``new`` stored data of ``old`` may not fit; empty when the data can be kept."""
    found: list[Problem] = []
    for record in old.records:
        after = new.record(record.name)
        if after is None:
            message = f"{record.name} is gone, and its stored records with it; keep it"
            found.append(Problem("records", message))
        else:
            place = f"records[{new.records.index(after)}]"
            found += _record(place, record, after)
    return tuple(found)


def _record(place: str, old: Record, new: Record) -> Iterator[Problem]:
    for field in old.fields:
        after = new.field(field.name)
        if after is None:
            yield Problem(f"{place}.fields", f"{field.name} is gone; keep it, it may be optional")
        else:
            yield from _field(f"{place}.fields[{new.fields.index(after)}]", field, after)
    for index, field in enumerate(new.fields):
        if old.field(field.name) is None and field.required and field.default is None:
            message = f"{field.name} is new and required: stored records lack it; give a default"
            yield Problem(f"{place}.fields[{index}]", message)
    yield from _states(place, old, new)


def _field(place: str, old: RecordField, new: RecordField) -> Iterator[Problem]:
    if old.type != new.type and (old.type, new.type) not in WIDER:
        yield Problem(f"{place}.type", f"was {old.type}; a field that holds data keeps its type")
        return
    if new.required and not old.required and new.default is None:
        yield Problem(f"{place}.required", f"stored records may lack {new.name}; give a default")
    if new.unique and not old.unique:
        yield Problem(f"{place}.unique", f"stored records may share one {new.name}")
    if new.personal != old.personal:
        how = "in clear, where no erasure reaches them" if new.personal else "sealed"
        yield Problem(f"{place}.personal", f"stored values are {how}; add another field")
    missing = [value for value in old.values if new.type == "enum" and value not in new.values]
    if missing:
        yield Problem(f"{place}.values", f"stored records may hold {', '.join(missing)}; keep them")
    yield from _narrower(place, old, new)


def _narrower(place: str, old: RecordField, new: RecordField) -> Iterator[Problem]:
    lengths = old.max_length, new.max_length
    if lengths[1] is not None and (lengths[0] is None or lengths[1] < lengths[0]):
        yield Problem(f"{place}.max_length", f"stored texts may be longer than {lengths[1]}")
    if new.min is not None and not _within(new.type, old.min, new.min):
        yield Problem(f"{place}.min", f"stored values may be below {new.min}")
    if new.max is not None and not _within(new.type, new.max, old.max):
        yield Problem(f"{place}.max", f"stored values may be above {new.max}")


def _within(kind: str, upper: str | None, lower: str | None) -> bool:
    """Whether ``upper`` is a bound at all and not below ``lower``."""
    if upper is None or lower is None:
        return False
    high: Any = value_of(kind, upper)
    low: Any = value_of(kind, lower)
    return bool(high is not None and low is not None and high >= low)


def _states(place: str, old: Record, new: Record) -> Iterator[Problem]:
    if old.states is None:
        return
    if new.states is None:
        yield Problem(f"{place}.states", "stored records have states; keep them")
        return
    gone = [name for name in old.states.names if name not in new.states.names]
    if gone:
        yield Problem(f"{place}.states", f"stored records may be {', '.join(gone)}; keep the state")
