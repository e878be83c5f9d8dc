"""The structured part of an intent, read as structure: which data it keeps, and what is prose.

Invariants  names, types, calls, values and dates say what data is touched and are never judged for
            clarity; every text in it is searched for plans and for text that speaks to the judge.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.rubric import vocabulary as v
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

    prose: tuple[str, ...]
    texts: tuple[str, ...]
    touched: tuple[Touched, ...]


def structure(*values: Any, declared: bool = True) -> Structure:
    """Read JSON values; nothing in them raises, too deep a nest is not followed.

    ``declared``: a field that says it is personal is believed, whatever it is called.
    """
    prose: list[str] = []
    texts: list[str] = []
    touched: list[Touched] = []
    for value in values:
        for name, text in _texts(value, "", 0):
            if not text or _CODE.search(text):
                continue
            texts.append(text)
            if name in PROSE:
                prose.append(text)
        touched.extend(_touched(value, declared, 0))
    return Structure(tuple(prose), tuple(texts), tuple(touched))


def _texts(value: Any, under: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every text with the name it stands under; names are texts, too."""
    if isinstance(value, str):
        yield under, value
    elif depth > DEPTH_MAX:
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield "", str(key).replace("_", " ")
            yield from _texts(item, str(key).lower(), depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, under, depth + 1)


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


def _has_phrase(concept: v.Concept, stems: tuple[str, ...]) -> bool:
    return any(
        stems[index : index + len(rest)] == rest
        for index, word in enumerate(stems)
        for rest in concept.phrases.get(word, ())
    )


def _stems(name: str) -> tuple[str, ...]:
    return tuple(stem(word.lower()) for word in _NAME.findall(name))
