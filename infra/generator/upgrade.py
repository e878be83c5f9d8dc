"""May a service with this SPEC take over the log of a service with that one?

Safe        new records, fields that may be left out, states, commands, rules, reports, limits:
            older events are read with the new defaults, the tables are built anew from the log.
Unsafe      what would hide, misread or contradict something that is stored.
"""

from collections.abc import Iterator

from domain.spec.model import Problem, Record, RecordField, Spec


def unsafe_changes(before: Spec, after: Spec) -> tuple[Problem, ...]:
    """Return every change that the stored data does not allow, with its place in ``after`` (or in
    ``before`` for what is missing); empty when the upgrade is safe."""
    return tuple(
        problem
        for i, record in enumerate(before.records)
        for problem in _record(f"records[{i}]", record, after)
    )


def _record(place: str, old: Record, after: Spec) -> Iterator[Problem]:
    new = after.record(old.name)
    if new is None:
        yield Problem(place, f"record {old.name!r} is gone; its stored data could not be read")
        return
    place = f"records[{after.records.index(new)}]"
    for field in old.fields:
        yield from _kept(place, old, field, new)
    for field in new.fields:
        if old.field(field.name) is None:
            yield from _added(f"{place}.fields[{new.fields.index(field)}]", field)
    yield from _commands(place, old, new)


def _kept(place: str, record: Record, old: RecordField, new_record: Record) -> Iterator[Problem]:
    new = new_record.field(old.name)
    if new is None:
        yield Problem(place, f"field {record.name}.{old.name} is gone; its values would be hidden")
        return
    path = f"{place}.fields[{new_record.fields.index(new)}]"
    if new.type != old.type:
        yield Problem(f"{path}.type", f"was {old.type}; stored values are not {new.type}")
    may_be_missing = not old.required and old.default is None
    if new.required and new.default is None and may_be_missing:
        yield Problem(f"{path}.required", f"stored records may have no {old.name}; give a default")
    if new.unique and not old.unique:
        yield Problem(f"{path}.unique", "stored records may share values")
    if new.personal != old.personal:
        how = "in clear, where no erasure reaches them" if new.personal else "sealed"
        yield Problem(f"{path}.personal", f"stored values are {how}; add another field")
    missing = [value for value in old.values if value not in new.values]
    if new.type == old.type and missing:
        yield Problem(f"{path}.values", f"stored records may hold {', '.join(missing)}")


def _added(path: str, field: RecordField) -> Iterator[Problem]:
    if field.required and field.default is None:
        yield Problem(f"{path}.required", f"stored records have no {field.name}; give a default")
    if field.unique and field.default is not None:
        yield Problem(f"{path}.unique", "stored records would all have the same default")


def _commands(place: str, old: Record, new: Record) -> Iterator[Problem]:
    if old.states is None:
        return
    if new.states is None:
        yield Problem(f"{place}.states", "are gone; stored records are in one of them")
        return
    for command in old.commands:
        if command not in new.commands:
            path = f"{place}.states.transitions"
            yield Problem(path, f"command {command!r} is gone; its stored events need it")
    for state in old.states.names:
        if state not in new.states.names:
            yield Problem(f"{place}.states", f"state {state!r} is gone; records may be in it")


__all__ = ["unsafe_changes"]
