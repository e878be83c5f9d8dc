"""SPEC.md from a SPEC: for people first, and exact enough that ``parse`` gives the same SPEC back.

Words that would break a line, a table cell or a heading are escaped with backslashes. Endpoint
lists follow from the rest: they are written for readers, and ``parse`` leaves them out.
"""

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from domain.spec.model import (
    Example,
    Handler,
    Record,
    RecordField,
    Report,
    Requirement,
    Rule,
    Scenario,
    Spec,
    Step,
)
from domain.spec.scenarios import name_of

MARK = "<!-- spec-format: 1 -->"
DERIVED = ("Service endpoints", "UDC endpoints")
HEADINGS = (
    "Purpose", "Key features", "Requirements", "Records", "Rules", "Reports", "Custom handlers",
    "Scenarios", "Limits", "Success criteria", *DERIVED,
)  # fmt: skip
FIELD_COLUMNS = (
    "name", "type", "required", "unique", "min", "max", "max_length", "values", "default",
    "description", "personal",
)  # fmt: skip
INDENT = "    "
UDC = (
    ("GET", "/health", "is it alive, which role, which position"),
    ("GET", "/capabilities", "features, dependencies, version"),
    ("GET", "/state", "uptime, requests, errors, memory"),
    ("GET", "/dependencies", "what it needs, checked"),
    ("POST", "/message", "a message from another service"),
)


def render(spec: Spec) -> str:
    """Return the SPEC as Markdown; ends with a line break."""
    parts = [
        [f"# {line(spec.title or spec.service_name)}", "", MARK],
        _facts(spec),
        _prose("Purpose", spec.purpose),
        _bullets("Key features", spec.key_features),
        _requirements(spec.requirements),
        _records(spec.records),
        _rules(spec.rules),
        _reports(spec.reports),
        _custom(spec.custom),
        _endpoints(spec),
        _scenarios(spec.scenarios),
        _limits(spec),
        _bullets("Success criteria", spec.criteria),
        *(_section(section.heading, section.body) for section in spec.sections),
    ]
    return "\n".join("\n".join([*part, ""]) for part in parts if part)


def difference(before: Spec, after: Spec) -> str:
    """Return the unified diff of the two SPEC.md texts; empty when they are equal."""
    lines = difflib.unified_diff(
        render(before).splitlines(), render(after).splitlines(),
        "before/SPEC.md", "after/SPEC.md", lineterm="", n=1,
    )  # fmt: skip
    return "\n".join(lines)


def line(text: str) -> str:
    """The text on one line: backslash and line breaks escaped."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def cell(text: str) -> str:
    """The text in a table cell: also the bar escaped."""
    return line(text).replace("|", "\\|")


def block(text: str) -> list[str]:
    """The text as lines that no heading can be mistaken for."""
    return [f"\\{row}" if row[:1] in ("#", "\\") else row for row in text.split("\n")]


def _facts(spec: Spec) -> list[str]:
    rows = [
        ("service", spec.service_name),
        ("version", spec.version),
        ("tier", str(spec.tier)),
        ("port", "" if spec.port is None else str(spec.port)),
        ("dependencies", ", ".join(spec.dependencies)),
        ("title", cell(spec.title)),
    ]
    return _table(("property", "value"), (row for row in rows if row[1]))


def _prose(heading: str, text: str) -> list[str]:
    return [f"## {heading}", "", *block(text)] if text else []


def _bullets(heading: str, items: Iterable[str]) -> list[str]:
    listed = [f"- {line(item)}" for item in items]
    return [f"## {heading}", "", *listed] if listed else []


def _requirements(requirements: Iterable[Requirement]) -> list[str]:
    lines: list[str] = []
    for requirement in requirements:
        lines.append(f"- **{requirement.id}** {line(requirement.text)}")
        if requirement.source:
            lines.append(f"  - from: {line(requirement.source)}")
        lines += [f"  - shown by: {line(name)}" for name in requirement.scenarios]
    return ["## Requirements", "", *lines] if lines else []


def _records(records: Iterable[Record]) -> list[str]:
    lines = [text for record in records for text in _record(record)]
    return ["## Records", *lines] if lines else []


def _record(record: Record) -> Iterator[str]:
    yield from ("", f"### {record.name}", "", f"- plural: {record.plural}")
    if record.description:
        yield f"- description: {line(record.description)}"
    yield ""
    columns = FIELD_COLUMNS if record.personal else FIELD_COLUMNS[:-1]
    rows = (_field(field)[: len(columns)] for field in record.fields)
    yield from _table(columns, rows)
    if record.states is None:
        return
    yield from ("", f"Starts as `{record.states.initial}`.", "")
    yield from _table(
        ("command", "from", "to", "fields", "description"),
        (
            (t.command, ", ".join(t.from_), t.to, ", ".join(t.fields), cell(t.description))
            for t in record.states.transitions
        ),
    )


def _field(field: RecordField) -> tuple[str, ...]:
    return (
        field.name,
        field.type,
        "yes" if field.required else "",
        "yes" if field.unique else "",
        cell(field.min or ""),
        cell(field.max or ""),
        "" if field.max_length is None else str(field.max_length),
        cell(compact(list(field.values))) if field.values else "",
        "" if field.default is None else cell(compact(field.default)),
        cell(field.description),
        "yes" if field.personal else "",
    )


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines]


def _rules(rules: Iterable[Rule]) -> list[str]:
    lines: list[str] = []
    for rule in rules:
        lines += ["", f"### {rule.name}", "", f"- record: {rule.record}"]
        lines += [f"- on: {', '.join(rule.on)}", f"- check: {line(rule.check)}"]
        lines.append(f"- message: {line(rule.message)}")
    return ["## Rules", *lines] if lines else []


def _reports(reports: Iterable[Report]) -> list[str]:
    lines: list[str] = []
    for report in reports:
        lines += ["", f"### {report.name}", "", f"- record: {report.record}"]
        lines.append(f"- measure: {report.measure}")
        lines += [f"- field: {report.field}"] if report.field else []
        lines += [f"- group by: {', '.join(report.group_by)}"] if report.group_by else []
        lines += [f"- where: {line(report.where)}"] if report.where else []
        lines += [f"- description: {line(report.description)}"] if report.description else []
    return ["## Reports", *lines] if lines else []


def _custom(handlers: Iterable[Handler]) -> list[str]:
    """Code is indented, so that no line of it can be mistaken for one of ours."""
    lines: list[str] = []
    for each in handlers:
        lines += ["", f"### {each.name}", "", f"- record: {each.record}"]
        lines += [f"- on: {', '.join(each.on)}", f"- sets: {', '.join(each.sets)}"]
        lines += [f"- does: {line(each.does)}", f"- model: {line(each.model)}"]
        lines += [f"- prompt digest: {each.prompt_digest}", ""]
        lines += [f"{INDENT}{row}" for row in each.code.split("\n")]
        lines += [""] + [f"- example: {_example(example)}" for example in each.examples]
    return ["## Custom handlers", *lines] if lines else []


def _example(example: Example) -> str:
    return line(compact(example.model_dump(exclude_defaults=True)))


def _endpoints(spec: Spec) -> list[str]:
    rows = [(f"`{method} {path}`", what) for method, path, what in endpoints(spec)]
    udc = [(f"`{method} {path}`", what) for method, path, what in UDC]
    service = _table(("call", "what it does"), rows)
    shared = _table(("call", "what it answers"), udc)
    own = [f"## {DERIVED[0]}", "", *service, ""] if rows else []
    return [*own, f"## {DERIVED[1]}", "", *shared]


def endpoints(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """What the service offers besides the UDC endpoints: method, path, what it does."""
    for record in spec.records:
        path, words = f"/{record.plural}", record.name.replace("_", " ")
        yield "POST", path, f"add {name_of(record)}"
        yield "GET", path, "list, by field, page by page"
        yield "GET", f"{path}/{{id}}", f"one {words}"
        yield "PATCH", f"{path}/{{id}}", "change fields"
        yield "DELETE", f"{path}/{{id}}", "take it away"
        for command in record.commands:
            yield "POST", f"{path}/{{id}}/{command}", f"{command.replace('_', ' ')} it"
        yield "GET", f"{path}/{{id}}/history", "its events"
    for report in spec.reports:
        yield "GET", f"/reports/{report.name}", f"{report.measure} {report.field or ''}".strip()


def _scenarios(scenarios: Iterable[Scenario]) -> list[str]:
    lines: list[str] = []
    for scenario in scenarios:
        lines += ["", f"### {line(scenario.name)}", ""]
        lines += [f"{i}. {_step(step)}" for i, step in enumerate(scenario.steps, 1)]
    return ["## Scenarios", *lines] if lines else []


def _step(step: Step) -> str:
    body = "" if step.body is None else f" {compact(step.body)}"
    expected = "" if step.expect.body is None else f" {compact(step.expect.body)}"
    return f"{step.call}{body} -> {step.expect.status}{expected}"


def _limits(spec: Spec) -> list[str]:
    given = spec.limits.model_dump(exclude_none=True)
    return (
        ["## Limits", "", *(f"- {name}: {value}" for name, value in given.items())] if given else []
    )


def _section(heading: str, body: str) -> list[str]:
    reserved = heading in HEADINGS or heading.startswith("!")
    return [f"## {'!' if reserved else ''}{line(heading)}", "", *block(body)]


def compact(value: Any) -> str:
    """JSON on one line, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
