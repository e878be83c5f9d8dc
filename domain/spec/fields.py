"""What is customary: the type and bounds a field's name suggests, the fields some nouns have."""

from typing import Any

from domain.spec import lexicon, words
from domain.spec.language import NamedField
from domain.spec.model import RecordField

SHORT, LONG = 200, 2000
CUSTOMARY: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (lexicon.MONEY, ("amount", "date", "description")),
    (lexicon.PEOPLE, ("name", "email")),
    (lexicon.TITLED, ("title", "description", "due_date")),
    (lexicon.WRITTEN, ("title", "body")),
    (lexicon.LENT, ("date", "due_date")),
    (lexicon.EFFORT, ("amount", "date")),
    (lexicon.COUNTED, ("name", "quantity")),
    (lexicon.TIMED, ("title", "starts_at", "ends_at")),
    (lexicon.MEASURED, ("value", "measured_at")),
    (frozenset(("product",)), ("name", "price", "quantity")),
    (frozenset(("book",)), ("title", "author")),
)
_OPTIONAL = frozenset(("description", "due_date", "email", "body", "ends_at", "notes", "quantity"))


def customary(record: str) -> tuple[str, ...]:
    """The names of the fields a record of this name usually has."""
    head = record.rpartition("_")[2]
    for nouns, names in CUSTOMARY:
        if head in nouns or record in nouns:
            return names
    return ("name",)


def typed(named: NamedField, records: frozenset[str] = frozenset()) -> RecordField:
    """A field with the type and bounds that its name suggests."""
    name = f"{named.name}_value" if named.name in _TAKEN else named.name
    optional = named.optional or name in _OPTIONAL or name.rpartition("_")[2] in lexicon.LONG_TEXT
    if name.endswith("_id") and name.removesuffix("_id") in records:
        name = name.removesuffix("_id")
    given: dict[str, Any] = {"name": name, "required": not optional, "unique": named.unique}
    if words.singular(name) in records:
        given["name"] = name = words.singular(name)
    if named.values:
        return RecordField(type="enum", values=named.values, **given)
    if name in records:
        return RecordField(type=f"ref:{name}", **given)
    return RecordField(**given, **_suggested(name))


_TAKEN = frozenset(("state", "id", "version", "limit", "cursor", "position", "created_at"))


def _suggested(name: str) -> dict[str, Any]:
    first, _, _ = name.partition("_")
    last = name.rpartition("_")[2]
    if last == "email":
        return {"type": "email", "max_length": 254}
    if last in ("at", "time", "timestamp") or name == "datetime":
        return {"type": "datetime"}
    if last in ("date", "day", "deadline", "birthday", "on", "until", "from"):
        return {"type": "date"}
    if last in lexicon.DECIMALS:
        return {"type": "decimal"} if last in _SIGNED else {"type": "decimal", "min": "0"}
    if last in lexicon.INTEGERS:
        return {"type": "int", "min": "0"}
    if first in ("is", "has") or last in lexicon.BOOLEANS:
        return {"type": "bool"}
    return {"type": "text", "max_length": LONG if last in lexicon.LONG_TEXT else SHORT}


_SIGNED = frozenset(("balance", "profit", "value", "temperature"))
