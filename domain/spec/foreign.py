"""SPEC.md files of other hands: what their usual headings, lists and JSON blocks say.

Purpose or Overview, Core Capabilities or Features, Requirements, Service Endpoints with JSON
examples, Success Criteria, Dependencies; every other part is kept word for word. Records come from
JSON bodies of ``POST /<plural>`` calls; without any, from the words of the features.
"""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

from domain.spec import words
from domain.spec.draft import document_from_text
from domain.spec.ears import is_ears
from domain.spec.fields import typed
from domain.spec.language import NamedField

Document = dict[str, Any]
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?(.+)$")
_CALL = re.compile(r"\b(POST|PUT|PATCH)\s+`?(/[A-Za-z0-9_./{}:<>-]*)")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_MARKUP = re.compile(r"\*\*|__|`")
_UDC_PATHS = ("/health", "/capabilities", "/state", "/dependencies", "/message")
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("udc", ("udc", "universal delegation", "standard endpoints")),
    ("purpose", ("purpose", "overview", "summary", "mission", "description", "about")),
    ("criteria", ("success criteria", "success metric", "acceptance criteria", "definition of")),
    ("features", ("capabilit", "feature", "what it does", "functionality")),
    ("requirements", ("requirement", "user stor")),
    ("endpoints", ("endpoint", "api", "routes")),
    ("dependencies", ("dependenc", "depends")),
)


def read_foreign(text: str) -> Document:
    """Return what can be read, as the JSON of a SPEC (it may still be incomplete)."""
    title, parts = _parts(text)
    document: Document = {
        "service_name": _slug(title) or "unnamed-service",
        "title": title[:200],
        "sections": [],
    }
    bodies: list[tuple[str, Document]] = []
    for heading, lines in parts:
        _take(document, bodies, heading, lines)
    document["records"] = [_record(path, body) for path, body in bodies]
    if not document["records"]:
        features = (*document.get("key_features", ()), *_texts(document))
        document |= document_from_text(features, document.get("purpose", ""))
    return document


def _parts(text: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """The title, and each part with its lines; headings inside code blocks are none."""
    title, fenced = "", False
    found: list[tuple[str, list[str]]] = [("", [])]
    level = 2
    for row in text.split("\n"):
        fenced ^= bool(_FENCE.match(row))
        match = None if fenced else _HEADING.match(row)
        if match and len(match[1]) == 1 and not title:
            title = _MARKUP.sub("", match[2])
        elif match and len(match[1]) <= level:
            found.append((_MARKUP.sub("", match[2]), []))
        else:
            found[-1][1].append(row)
    return title, [(heading, lines) for heading, lines in found if heading or any(lines)]


def _slug(title: str) -> str:
    name = re.split(r"\s[-–—:|]\s|:\s", title)[0].lower()  # noqa: RUF001
    name = re.sub(r"\b(spec|specification|service|the)\b", " ", name)
    slug = "-".join(re.findall(r"[a-z0-9]+", name))[:63].strip("-")
    return slug if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) and len(slug) > 1 else ""


def _kind(heading: str) -> str:
    lower = heading.lower()
    return next((kind for kind, marks in _KINDS if any(mark in lower for mark in marks)), "")


def _take(
    document: Document, bodies: list[tuple[str, Document]], heading: str, lines: list[str]
) -> None:
    kind, bullets = _kind(heading), list(_bullets(lines))
    match kind:
        case "purpose" if "purpose" not in document:
            document["purpose"] = _prose(lines)[:2000]
        case "features" if bullets:
            document["key_features"] = [*document.get("key_features", ()), *bullets][:50]
        case "criteria" if bullets:
            document["criteria"] = [*document.get("criteria", ()), *bullets][:50]
        case "requirements" if bullets:
            _required(document, bullets)
        case "dependencies":
            names = [b.split()[0].strip(":,") for b in bullets]
            slugs = [n for n in names if re.fullmatch(r"[a-z][a-z0-9]+(-[a-z0-9]+)*", n)]
            document["dependencies"] = list(dict.fromkeys(slugs))
            _keep(document, heading, lines)
        case _:
            if kind == "endpoints":
                bodies += [b for b in _examples(lines) if b[0] not in dict(bodies)]
            _keep(document, heading or "Introduction", lines)


def _required(document: Document, bullets: list[str]) -> None:
    made = document.setdefault("requirements", [])
    for text in bullets[: 200 - len(made)]:
        made.append({"id": f"R{len(made) + 1}", "text": text})


def _keep(document: Document, heading: str, lines: list[str]) -> None:
    body = "\n".join(lines).strip()
    document["sections"].append({"heading": heading[:1000], "body": body[:50_000]})


def _texts(document: Document) -> Iterator[str]:
    return (item["text"] for item in document.get("requirements", ()) if not is_ears(item["text"]))


def _bullets(lines: list[str]) -> Iterator[str]:
    fenced = False
    for row in lines:
        fenced ^= bool(_FENCE.match(row))
        match = None if fenced else _BULLET.match(row)
        if match:
            yield _MARKUP.sub("", match[1]).strip()[:500]


def _prose(lines: list[str]) -> str:
    return _MARKUP.sub("", "\n".join(lines)).strip()


def _examples(lines: list[str]) -> Iterator[tuple[str, Document]]:
    """The first JSON object after each call that takes a body, with the call's plural."""
    call, fenced, buffer = "", False, list[str]()
    for row in lines:
        match = _CALL.search(row)
        if match and not fenced and match[2] not in _UDC_PATHS:
            call = match[2]
        if _FENCE.match(row):
            if fenced and call:
                body = _object("\n".join(buffer))
                if body is not None:
                    yield _plural(call), body
                    call = ""
            fenced, buffer = not fenced, []
        elif fenced:
            buffer.append(row)
            inside = _CALL.search(row)
            call = inside[2] if inside and inside[2] not in _UDC_PATHS else call


def _object(text: str) -> Document | None:
    start = text.find("{")
    try:
        value = json.JSONDecoder().raw_decode(text[start:])[0] if start >= 0 else None
    except ValueError:
        return None
    return value if isinstance(value, dict) and value else None


def _plural(path: str) -> str:
    names = [part for part in path.split("/") if part and part[0] not in "{:<"]
    named = [words.identifier(name) for name in names if name not in ("api", "v1", "v2")]
    return named[0] if named else "items"


def _record(path: str, body: Document) -> Document:
    plural = words.plural(words.singular(path))
    fields = [_field(words.identifier(name), value) for name, value in body.items()]
    kept = {field["name"]: field for field in fields if field["name"]}
    return {"name": words.singular(path), "plural": plural, "fields": list(kept.values())}


def _field(name: str, value: Any) -> Document:
    """The type that the example has; where it is text, the one that the name suggests."""
    if not name:
        return {"name": ""}
    suggested = typed(NamedField(name, optional=value is None))
    made = suggested.model_dump(exclude_defaults=True)
    kind = _json_type(value)
    if kind and kind != suggested.type and not (kind == "int" and suggested.type == "decimal"):
        made = {"name": suggested.name, "type": kind, "required": suggested.required}
    return made


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "decimal"
        case str():
            return _text_type(value)
        case _:
            return ""


def _text_type(value: str) -> str:
    for kind, read in (("date", date.fromisoformat), ("uuid", UUID)):
        try:
            read(value)
        except ValueError:
            continue
        return kind
    try:
        return "datetime" if datetime.fromisoformat(value) else ""
    except ValueError:
        return "email" if re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", value) else ""
