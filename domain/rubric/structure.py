"""The structured part of an intent, read as structure: which data it keeps, and what is prose.

Invariants  names, types, calls, values and dates say what data is touched and are never judged for
            clarity; every text in it is searched for plans and for text that speaks to the judge.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.rubric import vocabulary as v
from domain.rubric.concepts import Concept
from domain.rubric.words import stem

DEPTH_MAX = 8
# What people write for people, by the name it stands under.
PROSE = frozenset(
    (
        *("description", "message", "criteria", "requirement", "requirements", "purpose"),
        *("summary", "note", "notes", "comment", "comments", "text", "goal", "goals"),
    )
)
# Code, calls and values of a kind: no sentence, whatever it is made of.
_CODE = re.compile(
    r"==|!=|<=|>=|&&|\|\||^\s*(?:GET|POST|PUT|PATCH|DELETE)\s+/\S*\s*$|^\s*\w+\([\w, ]*\)\s*$"
    r"|^\s*[a-z][a-z0-9+.-]*://\S+\s*$|^\s*[\d.:,+\-/TZ ]+\s*$"
)
_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


@dataclass(frozen=True, slots=True)
class Touched:
    """Data that a field holds. ``name`` is the effect, ``where`` the field."""

    name: str
    where: str


@dataclass(frozen=True, slots=True)
class Structure:
    """``prose`` was written for people; ``texts`` are all texts, ``prose`` among them."""

    prose: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


_EMPTY = Structure()


def structure(value: Any) -> Structure:
    """The texts in a JSON value; nothing in it raises, too deep a nest is not followed."""
    if not value:
        return _EMPTY
    named: list[tuple[str, str]] = []
    _texts(value, "", 0, named)
    told = [(name, text) for name, text in named if text and not _CODE.search(text)]
    prose = tuple(text for name, text in told if name in PROSE)
    return Structure(prose, tuple(text for _, text in told))


def _texts(value: Any, under: str, depth: int, found: list[tuple[str, str]]) -> None:
    """Every text with the name it stands under; names are texts, too."""
    if isinstance(value, str):
        found.append((under, value))
    elif depth > DEPTH_MAX:
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            found.append(("", str(key).replace("_", " ")))
            _texts(item, str(key).lower(), depth + 1, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _texts(item, under, depth + 1, found)


def touched(value: Any, *, declared: bool = True) -> tuple[Touched, ...]:
    """The data that the fields of the records in a JSON value hold.

    ``declared``: a field that says it is personal is believed, whatever it is called.
    """
    return tuple(_touched(value, declared, 0)) if value else ()


def _touched(value: Any, declared: bool, depth: int) -> Iterator[Touched]:
    """What the fields of every record hold, by their names and types."""
    if depth > DEPTH_MAX:
        return
    if isinstance(value, Mapping):
        name = value.get("name")
        if isinstance(name, str) and isinstance(value.get("fields"), list | tuple):
            yield from _record(name, value["fields"], declared)
        for item in value.values():
            yield from _touched(item, declared, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _touched(item, declared, depth + 1)


def _record(record: str, fields: Any, declared: bool) -> Iterator[Touched]:
    about = _stems(record)
    if v.PROTECTED.intersection(about):
        yield Touched("personal data", record)
    for field in fields:
        name = field.get("name") if isinstance(field, Mapping) else field
        if not isinstance(name, str):
            continue
        told = field if isinstance(field, Mapping) else {}
        personal = declared and told.get("personal") not in (None, False)
        effect = "personal data" if personal else _holds(_stems(name), told.get("type"), about)
        if effect:
            yield Touched(effect, f"{record}.{name}")


def _holds(name: tuple[str, ...], kind: Any, record: tuple[str, ...]) -> str:
    if v.FIELD_SECRET.intersection(name) or _has_phrase(v.SECRETS, name):
        return "secrets"
    if kind == "email" or v.FIELD_PERSONAL.intersection(name) or _has_phrase(v.PERSONAL, name):
        return "personal data"
    if "address" in name and v.PLACE.isdisjoint((*name, *record)):
        return "personal data"
    return ""


def _has_phrase(concept: Concept, stems: tuple[str, ...]) -> bool:
    return any(
        stems[index : index + len(rest)] == rest
        for index, word in enumerate(stems)
        for rest in concept.phrases.get(word, ())
    )


def _stems(name: str) -> tuple[str, ...]:
    return tuple(stem(word.lower()) for word in _NAME.findall(name))
