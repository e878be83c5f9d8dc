"""Generates a service's source tree from its SPEC: the same SPEC, the same bytes.

Safety      only names that the SPEC model has checked become identifiers; every other text reaches
            code as a literal, a comment on one line or part of a docstring that cannot end it.
"""

import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from domain.canonical import canonical
from domain.spec.model import Problem, Scenario, Spec
from infra.generator import cases
from infra.generator.cel import CelUnsupported, quoted, translate
from infra.generator.imports import with_imports
from infra.generator.names import Namer
from infra.generator.plan import DECIMAL_PLACES, MAX_DIGITS, Plan, RecordPlan

GENERATOR_VERSION = "1.2.0"
_DOC_WIDTH = 96


@dataclass(frozen=True, slots=True)
class GeneratedProject:
    """The tree by path, and the name under which Python imports it."""

    files: Mapping[str, bytes]
    package: str
    service_name: str
    version: str

    @property
    def digest(self) -> str:
        return tree_digest(self.files)

    @property
    def lines(self) -> int:
        return sum(data.count(b"\n") for data in self.files.values())


def tree_digest(files: Mapping[str, bytes]) -> str:
    """Return the hex SHA-256 over the sorted (path, SHA-256 of the bytes) pairs."""
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def problems(spec: Spec) -> tuple[Problem, ...]:
    """What keeps this SPEC from being generated: rules and filters that have no translation."""
    plan = _names_only(spec)
    found: list[Problem] = []
    for index, rule in enumerate(spec.rules):
        record = spec.record(rule.record)
        if record is not None:
            found += _problem(f"rules[{index}].check", rule.check, plan.scope(record))
    for index, report in enumerate(spec.reports):
        record = spec.record(report.record)
        if record is not None and report.where:
            scope = {"record": plan.scope(record)["record"]}
            found += _problem(f"reports[{index}].where", report.where, scope)
    return tuple(found)


def generate(spec: Spec, *, version: str) -> GeneratedProject:
    """Return the project of a SPEC as release ``version``.

    Raises:
        CelUnsupported: a rule or filter has no translation; ``problems`` names them all.
    """
    plan = Plan(spec)
    files = {path: text.encode() for path, text in sorted(_texts(plan, version).items())}
    return GeneratedProject(
        files=files, package=plan.package, service_name=spec.service_name, version=version
    )


def _names_only(spec: Spec) -> Plan:
    return Plan(spec)


def _problem(path: str, text: str, scope: Any) -> list[Problem]:
    try:
        translate(text, scope)
    except CelUnsupported as error:
        return [Problem(path, str(error))]
    return []


def _texts(plan: Plan, version: str) -> dict[str, str]:
    package = plan.package
    own = _own_names(plan)
    context = _context(plan, version)
    texts = {
        "pyproject.toml": _render("pyproject.toml", context),
        "README.md": _render("README.md", context),
        "SPEC.md": _spec_md(plan.spec),
        "spec.json": json.dumps(plan.spec.document(), indent=2, ensure_ascii=False) + "\n",
        "Containerfile": _render("Containerfile", context),
        ".gitignore": "__pycache__/\n*.pyc\n.data/\ndist/\n",
        f"{package}/__init__.py": _render("package.py", context),
        f"{package}/py.typed": "",
        f"{package}/domain/__init__.py": f'"""The records of {package}, one module each."""\n',
        f"{package}/api/__init__.py": f'"""The HTTP side of {package}, one module a record."""\n',
        "tests/__init__.py": "",
    }
    modules = {
        f"{package}/fields.py": "fields.py",
        f"{package}/application.py": "application.py",
        f"{package}/views.py": "views.py",
        f"{package}/service.py": "service.py",
        f"{package}/app.py": "app.py",
        "tests/conftest.py": "conftest.py",
        "tests/steps.py": "steps.py",
        "tests/test_fields.py": "test_fields.py",
        "tests/test_api.py": "test_api.py",
    }
    if context["any_unique"]:
        modules[f"{package}/unique.py"] = "unique.py"
    if plan.reports:
        modules[f"{package}/reports.py"] = "reports.py"
    if plan.spec.scenarios:
        modules["tests/test_scenarios.py"] = "test_scenarios.py"
    if plan.handlers:
        modules["tests/test_handlers.py"] = "test_handlers.py"
        texts[f"{package}/handlers/__init__.py"] = (
            '"""Custom handlers: code that a model wrote, not templates."""\n'
        )
    for handler in plan.handlers:
        path = f"{package}/handlers/{handler.name}.py"
        texts[path] = _render("handler.py", {**context, "h": handler})
    for path, template in modules.items():
        texts[path] = with_imports(_render(template, context), own)
    for record in plan.records:
        one = {**context, "r": record}
        record_own = {n: m for n, m in own.items() if m != f"{package}.domain.{record.name}"}
        source = _render("record.py", one)
        texts[f"{package}/domain/{record.name}.py"] = with_imports(source, record_own)
        texts[f"{package}/api/{record.name}.py"] = with_imports(_render("api.py", one), own)
    return texts


def _own_names(plan: Plan) -> dict[str, str]:
    """Which module of the project defines each of its names."""
    package = plan.package
    own = {
        "__version__": package,
        plan.app_cls: f"{package}.application",
        plan.service_cls: f"{package}.service",
        "start": f"{package}.service",
        "build": f"{package}.app",
        "Views": f"{package}.views",
        "VERSION": f"{package}.views",
        "reports": package,
        "Steps": "tests.steps",
    }
    kinds = ("Text", "Email", "Int", "Number", "Bool", "Day", "Moment")
    own |= dict.fromkeys(
        ("Fields", "Changes", "OnDay", "AtMoment", *kinds, "read"), f"{package}.fields"
    )
    own |= dict.fromkeys(("UniqueValue", "value_id", "exact", "caseless"), f"{package}.unique")
    for handler in plan.handlers:
        own[handler.work] = f"{package}.handlers.{handler.name}:{handler.name}"
    for record in plan.records:
        own |= dict.fromkeys(_names_of(record), f"{package}.domain.{record.name}")
        own[record.table] = f"{package}.views"
        own[record.api] = f"{package}.api:{record.name}"
    return own


def _names_of(record: RecordPlan) -> list[str]:
    names = [record.cls, f"{record.cls}Fields", f"{record.cls}Changes", record.unique_name]
    return names + [transition.body_cls for transition in record.transitions]


def _context(plan: Plan, version: str) -> dict[str, Any]:
    spec = plan.spec
    return {
        "plan": plan,
        "spec": spec,
        "package": plan.package,
        "app_cls": plan.app_cls,
        "service_cls": plan.service_cls,
        "service_name": spec.service_name,
        "spec_title": spec.title or spec.service_name,
        "purpose": spec.purpose,
        "version": version,
        "generator_version": GENERATOR_VERSION,
        "tier": spec.tier,
        "features": _strings(spec.key_features),
        "dependencies": _strings(spec.dependencies),
        "records": plan.records,
        "reports": plan.reports,
        "handlers": plan.handlers,
        "any_unique": any(record.unique for record in plan.records),
        "hidden": [(r.name, field) for r in plan.records for field in r.personal_unique],
        "personal": [record for record in plan.records if record.personal],
        "any_refs": any(record.refs for record in plan.records),
        "max_digits": MAX_DIGITS,
        "decimal_places": DECIMAL_PLACES,
        "namespace": quoted("4b1d1c51-3f0f-5c5e-9f0e-8a5f2d6c7e10"),
        "view_version": _view_version(plan),
        "scenarios": _scenarios(spec),
        "cases": cases,
    }


def _view_version(plan: Plan) -> str:
    """Changes whenever a table or what is folded into it does."""
    records = [record.model_dump(mode="json") for record in plan.spec.records]
    handled = [[handler.record, list(handler.on)] for handler in plan.spec.custom]
    return hashlib.sha256(canonical([GENERATOR_VERSION, records, handled])).hexdigest()[:12]


def _strings(texts: tuple[str, ...]) -> str:
    if not texts:
        return "()"
    if len(texts) == 1:
        return f"({quoted(texts[0])},)"
    return "(\n" + "".join(f"        {quoted(text)},\n" for text in texts) + "    )"


def _scenarios(spec: Spec) -> list[tuple[str, Scenario]]:
    namer = Namer()
    found = []
    for scenario in spec.scenarios:
        slug = "".join(char if char.isascii() and char.isalnum() else " " for char in scenario.name)
        name = "_".join(slug.lower().split())[:80] or "scenario"
        found.append((namer.take(f"test_{name}", f"test_{name}_"), scenario))
    return found


def _spec_md(spec: Spec) -> str:
    from domain.spec.render import render  # not needed by anything else here

    return render(spec)


def _render(name: str, context: Mapping[str, Any]) -> str:
    return _environment().get_template(f"{name}.jinja").render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python and Markdown, not HTML
    )
    environment.filters["lit"] = _literal
    environment.filters["tuple_lit"] = _tuple
    environment.filters["doc"] = _doc
    environment.filters["md"] = _markdown
    environment.filters["toml"] = _toml
    return environment


def _template(name: str) -> str:
    return (resources("infra.generator") / "templates" / name).read_text()


def _literal(value: Any, indent: int = 0) -> str:
    """A JSON-like value as Python source; long ones over several lines."""
    flat = _flat(value)
    if len(flat) + indent <= 88 or not isinstance(value, dict | list) or not value:
        return flat
    pad = " " * (indent + 4)
    if isinstance(value, dict):
        inner = "".join(
            f"{pad}{_flat(key)}: {_literal(item, indent + 4)},\n" for key, item in value.items()
        )
        return "{\n" + inner + " " * indent + "}"
    inner = "".join(f"{pad}{_literal(item, indent + 4)},\n" for item in value)
    return "[\n" + inner + " " * indent + "]"


def _tuple(values: tuple[str, ...]) -> str:
    """Names as the source of a tuple."""
    inner = ", ".join(quoted(value) for value in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flat(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return repr(value)


def _doc(text: str) -> str:
    """Free text inside a docstring: it can neither end it nor escape anything."""
    plain = " ".join(text.split()).replace("\\", "/").replace('"""', "'''").replace('"', "'")
    return "\n".join(textwrap.wrap(plain, _DOC_WIDTH))


def _markdown(text: str) -> str:
    """Free text inside a Markdown line."""
    return " ".join(text.split())


def _toml(text: str) -> str:
    """Free text as a TOML basic string, on one line."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False).replace("\x7f", "\\u007f")
