"""SPEC.md back into a SPEC: our own exactly (``render``), anybody else's as well as it allows."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from domain.errors import Invalid
from domain.spec.foreign import read_foreign
from domain.spec.model import Spec, read_spec
from domain.spec.render import DERIVED, FIELD_COLUMNS, HEADINGS, INDENT, MARK

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r"}
_CELL = re.compile(r"(?<!\\)((?:\\\\)*)\|")
_JSON = json.JSONDecoder()
Document = dict[str, Any]


class Part(NamedTuple):
    """A heading with the lines under it, up to the next heading of its level."""

    heading: str
    lines: list[str]


def parse(text: str) -> Spec:
    """Return the SPEC that a SPEC.md describes.

    Raises:
        Invalid: a line of our own format that is broken.
        SpecInvalid: what it says is not consistent.
    """
    text = re.sub(r"\r+\n", "\n", text)
    return read_spec(_own(text) if MARK in text else read_foreign(text))


def parts(lines: list[str], mark: str) -> Iterator[Part]:
    """The parts under headings that start with ``mark``; what stands before the first is left."""
    current: Part | None = None
    for row in lines:
        if row.startswith(mark):
            if current is not None:
                yield current
            current = Part(row.removeprefix(mark).strip(), [])
        elif current is not None:
            current.lines.append(row)
    if current is not None:
        yield current


def plain(text: str) -> str:
    """Undo ``render.line`` and ``render.cell``."""
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)


def _own(text: str) -> Document:
    lines = text.split("\n")
    body = lines.index(MARK) + 1 if MARK in lines else 0
    first = next((i for i, row in enumerate(lines) if row.startswith("## ")), len(lines))
    document: Document = _facts(lines[body:first])
    sections = []
    for part in parts(lines, "## "):
        if part.heading in DERIVED:
            continue
        reader = _READERS.get(part.heading)
        if reader is not None:
            document |= reader(part.lines)
        else:
            sections.append({"heading": _heading(part.heading), "body": _text(part.lines)})
    return document | {"sections": sections}


def _heading(text: str) -> str:
    return plain(text.removeprefix("!"))


def _facts(lines: list[str]) -> Document:
    facts: Document = {name: plain(value) for name, value in _rows(lines)}
    facts["service_name"] = facts.pop("service", "")
    if "dependencies" in facts:
        facts["dependencies"] = facts["dependencies"].split(", ")
    return facts


def _text(lines: list[str]) -> str:
    return "\n".join(row[1:] if row.startswith("\\") else row for row in lines).strip()


def _rows(lines: list[str]) -> Iterator[list[str]]:
    """The cells of a table's rows, still escaped, without its head."""
    bars = [row for row in lines if row.startswith("|")]
    for row in bars[2:]:
        cells = _CELL.sub(lambda match: f"{match[1]}\0", row).split("\0")
        yield [cell.strip() for cell in cells[1:-1]]


def _bullets(lines: list[str]) -> list[str]:
    return [plain(row[2:]) for row in lines if row.startswith("- ")]


def _pairs(lines: list[str]) -> Document:
    """``- name: value`` lines."""
    found = (row[2:].partition(": ") for row in lines if row.startswith("- "))
    return {name.replace(" ", "_"): plain(value) for name, _, value in found}


def _requirements(lines: list[str]) -> Document:
    found: list[Document] = []
    for row in lines:
        if match := re.match(r"- \*\*(R\d+)\*\* (.*)", row):
            found.append({"id": match[1], "text": plain(match[2]), "scenarios": []})
        elif row.startswith("  - from: ") and found:
            found[-1]["source"] = plain(row.removeprefix("  - from: "))
        elif row.startswith("  - shown by: ") and found:
            found[-1]["scenarios"].append(plain(row.removeprefix("  - shown by: ")))
    return {"requirements": found}


def _records(lines: list[str]) -> Document:
    return {"records": [_record(part) for part in parts(lines, "### ")]}


def _record(part: Part) -> Document:
    start = next((i for i, r in enumerate(part.lines) if r.startswith("Starts as `")), None)
    head = part.lines if start is None else part.lines[:start]
    record: Document = {"name": part.heading, **_pairs(head)}
    record["fields"] = [_field(cells) for cells in _rows(head)]
    if start is not None:
        record["states"] = {
            "initial": part.lines[start].split("`")[1],
            "transitions": [_transition(cells) for cells in _rows(part.lines[start:])],
        }
    return record


def _field(cells: list[str]) -> Document:
    given = dict(zip(FIELD_COLUMNS, map(plain, cells), strict=False))
    field: Document = {name: value for name, value in given.items() if value}
    for name in ("required", "unique", "personal"):
        field[name] = given.get(name) == "yes"
    for name in ("values", "default"):
        if name in field:
            field[name] = _json(field[name], f"records: {name} of {given['name']}")
    return field


def _transition(cells: list[str]) -> Document:
    command, from_, to, fields, description = [*cells, *[""] * 5][:5]
    return {
        "command": command,
        "from": from_.split(", "),
        "to": to,
        "fields": fields.split(", ") if fields else [],
        "description": plain(description),
    }


def _rules(lines: list[str]) -> Document:
    found = []
    for part in parts(lines, "### "):
        given = _pairs(part.lines)
        found.append({"name": part.heading, **given, "on": given.get("on", "").split(", ")})
    return {"rules": found}


def _reports(lines: list[str]) -> Document:
    found = []
    for part in parts(lines, "### "):
        given = _pairs(part.lines)
        if "group_by" in given:
            given["group_by"] = given["group_by"].split(", ")
        found.append({"name": part.heading, **given})
    return {"reports": found}


def _custom(lines: list[str]) -> Document:
    return {"custom": [_handler(part) for part in parts(lines, "### ")]}


def _handler(part: Part) -> Document:
    own = [row for row in part.lines if not row.startswith("- example: ")]
    examples = [plain(row.removeprefix("- example: ")) for row in part.lines if row not in own]
    given = _pairs(own)
    return {
        "name": part.heading,
        **given,
        "on": given.get("on", "").split(", "),
        "sets": given.get("sets", "").split(", "),
        "code": "\n".join(row.removeprefix(INDENT) for row in own if row.startswith(INDENT)),
        "examples": [_json(text, f"custom.{part.heading}") for text in examples],
    }


def _scenarios(lines: list[str]) -> Document:
    found = []
    for part in parts(lines, "### "):
        steps = [
            _step(row.partition(". ")[2], part.heading)
            for row in part.lines
            if re.match(r"\d+\. ", row)
        ]
        found.append({"name": plain(part.heading), "steps": steps})
    return {"scenarios": found}


def _step(text: str, scenario: str) -> Document:
    match = re.match(r"([A-Z]+ \S*) ?", text)
    if match is None:
        raise Invalid(f"scenarios.{scenario}", f"{text!r} is not METHOD /path body -> status")
    rest = text[match.end() :]
    step: Document = {"call": match[1], "expect": {}}
    if not rest.startswith("-> "):
        step["body"], end = _decoded(rest, scenario)
        rest = rest[end:].lstrip()
    status, _, expected = rest.removeprefix("-> ").partition(" ")
    if not status.isdigit():
        raise Invalid(f"scenarios.{scenario}", f"{text!r} has no status after ->")
    step["expect"]["status"] = int(status)
    if expected:
        step["expect"]["body"] = _json(expected, f"scenarios.{scenario}")
    return step


def _limits(lines: list[str]) -> Document:
    return {"limits": {name: value.strip() for name, value in _pairs(lines).items()}}


def _json(text: str, place: str) -> Any:
    value, end = _decoded(text, place)
    if text[end:].strip():
        raise Invalid(place, f"{text[end:]!r} follows the JSON value")
    return value


def _decoded(text: str, place: str) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text)
    except ValueError as error:
        raise Invalid(place, f"{text[:60]!r} is not JSON: {error}") from None


_READERS: dict[str, Callable[[list[str]], Document]] = {
    "Purpose": lambda lines: {"purpose": _text(lines)},
    "Key features": lambda lines: {"key_features": _bullets(lines)},
    "Requirements": _requirements,
    "Records": _records,
    "Rules": _rules,
    "Reports": _reports,
    "Custom handlers": _custom,
    "Scenarios": _scenarios,
    "Limits": _limits,
    "Success criteria": lambda lines: {"criteria": _bullets(lines)},
}
assert set(_READERS) | set(DERIVED) == set(HEADINGS)
