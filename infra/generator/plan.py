"""What the templates need to know about a SPEC: names settled, types and rules turned into code."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from litestar import Controller

from domain.spec import words as language
from domain.spec.model import (
    Example,
    Handler,
    Record,
    RecordField,
    Report,
    Rule,
    Spec,
    Transition,
)
from infra.generator.cel import Scope, Translation, quoted, translate
from infra.generator.imports import LINE, known_names
from infra.generator.names import Namer, article, camel, package_name, past, words

TEXT_MAX, EMAIL_MAX = 10_000, 254
MAX_DIGITS, DECIMAL_PLACES = 38, 18
_BUILT_IN = {"id": "uuid!", "version": "int!", "created_at": "datetime!", "updated_at": "datetime!"}
_KINDS = {
    "text": "Text",
    "email": "Email",
    "int": "Int",
    "decimal": "Number",
    "bool": "Bool",
    "date": "Day",
    "datetime": "Moment",
    "uuid": "UUID",
}
_QUERY_TYPES = {
    "text": "str",
    "email": "str",
    "int": "int",
    "decimal": "Decimal",
    "bool": "bool",
    "date": "date",
    "datetime": "datetime",
    "uuid": "UUID",
}
_LOCALS = ("after", "before", "body", "changes", "claims", "fields", "record_id", "self")
_HANDLERS = language.bag("""
    app create delete done erase get gone history listing one patch post row_of update views
""")
_UNFILTERED = frozenset(("after",))  # a query parameter of every request
_LENGTHS = {"day": 10, "month": 7, "year": 4}


def literal(kind: str, value: object) -> str:
    """Return the Python code of a SPEC value of a field type, for the body of a class: there a
    field may be called ``date``, but none starts with a capital."""
    text = str(value)
    match kind:
        case "int" | "bool":
            return repr(bool(value) if kind == "bool" else int(text))
        case "decimal":
            return f"Decimal({quoted(str(Decimal(text)))})"
        case "date":
            return f"OnDay({quoted(date.fromisoformat(text).isoformat())})"
        case "datetime":
            moment = datetime.fromisoformat(text).astimezone(UTC).isoformat()
            return f"AtMoment({quoted(moment.replace('+00:00', 'Z'))})"
        case "uuid":
            return f"UUID({quoted(str(UUID(text)))})"
        case _:
            return quoted(text)


def _wrapped(head: str, annotation: str, tail: str, *, optional: bool = False) -> str:
    """``head`` + annotation + ``tail`` in a class body, broken the way ruff breaks it."""
    whole = f"{annotation} | None" if optional else annotation
    line = f"{head}{whole}{tail}"
    if len(line) <= LINE - 4:
        return line
    opening = annotation.index("[") + 1
    inner = annotation[opening:-1]
    if annotation.startswith("Literal"):
        inner = inner.replace('", "', '",\n{pad}"') + ","
    body = f"{annotation[:opening]}\n{{pad}}{inner}\n{{end}}]"
    if not optional:
        return head + body.replace("{pad}", " " * 8).replace("{end}", " " * 4) + tail
    if len(whole) <= LINE - 8:
        return f"{head}(\n        {whole}\n    ){tail}"
    body = body.replace("{pad}", " " * 12).replace("{end}", " " * 8)
    return f"{head}(\n        {body}\n        | None\n    ){tail}"


@dataclass(frozen=True)
class FieldPlan:
    source: RecordField
    classes: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def kind(self) -> str:
        return "uuid" if self.source.ref else self.source.type

    @property
    def ref_cls(self) -> str:
        return self.classes[self.source.ref]

    @property
    def nullable(self) -> bool:
        return not self.source.required and self.source.default is None

    @property
    def bare_annotation(self) -> str:
        if self.kind == "enum":
            return f"Literal[{', '.join(quoted(value) for value in self.source.values)}]"
        limits = ", ".join(self._limits())
        base = _KINDS[self.kind]
        return f"Annotated[{base}, Field({limits})]" if limits else base

    @property
    def default_text(self) -> str:
        if self.source.default is not None:
            return f" = {literal(self.kind, self.source.default)}"
        return " = None" if self.nullable else ""

    @property
    def line(self) -> str:
        """The field as a line of a class, wrapped where it is long."""
        if self.nullable:
            return self.change_line
        return _wrapped(f"{self.name}: ", self.bare_annotation, self.default_text)

    @property
    def change_line(self) -> str:
        return _wrapped(f"{self.name}: ", self.bare_annotation, " = None", optional=True)

    @property
    def body_line(self) -> str:
        return _wrapped(f"{self.name}: ", self.bare_annotation, "")

    def _limits(self) -> Iterator[str]:
        field = self.source
        if self.kind == "text" and field.required:
            yield "min_length=1"
        if self.kind in ("text", "email"):
            usual = TEXT_MAX if self.kind == "text" else EMAIL_MAX
            yield f"max_length={field.max_length or usual}"
        for name, bound in (("ge", field.min), ("le", field.max)):
            if bound is not None:
                yield f"{name}={literal(self.kind, bound)}"


@dataclass(frozen=True)
class RulePlan:
    source: Rule
    function: str
    translation: Translation

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def message(self) -> str:
        return self.source.message

    @property
    def check(self) -> str:
        return " ".join(self.source.check.split())

    @property
    def statement(self) -> str:
        """The function's one statement, wrapped where it is long."""
        line = f"return bool({self.translation.code})"
        if len(line) <= 96:
            return line
        return f"return bool(\n        {self.translation.code}\n    )"


@dataclass(frozen=True)
class HandlerPlan:
    source: Handler
    record: Record

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def work(self) -> str:
        """The function as other modules call it."""
        return f"work_{self.name}"

    @property
    def sets(self) -> tuple[str, ...]:
        return self.source.sets

    @property
    def does(self) -> str:
        return self.source.does

    @property
    def model(self) -> str:
        return self.source.model

    @property
    def prompt_digest(self) -> str:
        return self.source.prompt_digest

    @property
    def code(self) -> str:
        return self.source.code

    @property
    def examples(self) -> tuple[Example, ...]:
        return self.source.examples

    def example_record(self, example: Example) -> dict[str, object]:
        """Every field, null where the example has none, and the state where there are states."""
        states = {"state": self.record.states.initial} if self.record.states else {}
        return {**{field.name: None for field in self.record.fields}, **states, **example.record}


@dataclass(frozen=True)
class TransitionPlan:
    source: Transition
    record: "RecordPlan"
    event: str
    method: str
    handler: str
    app_method: str
    body_cls: str

    @property
    def command(self) -> str:
        return self.source.command

    @property
    def words(self) -> str:
        return words(self.command)

    @property
    def to(self) -> str:
        return self.source.to

    @property
    def description(self) -> str:
        return self.source.description

    @property
    def from_text(self) -> str:
        return ", ".join(self.source.from_)

    @property
    def from_tuple(self) -> str:
        inner = ", ".join(quoted(name) for name in self.source.from_)
        return f"({inner},)" if len(self.source.from_) == 1 else f"({inner})"

    @property
    def fields(self) -> list[FieldPlan]:
        return [field for field in self.record.fields if field.name in self.source.fields]

    @property
    def refs(self) -> list[FieldPlan]:
        return [field for field in self.fields if field.source.ref]

    @property
    def handlers(self) -> bool:
        return self.record.has_handlers(self.command)

    @property
    def unique(self) -> bool:
        return any(field.source.unique for field in self.fields)

    @property
    def raises(self) -> list[str]:
        lines = [
            f"NotFound: there is no such {self.record.words}.",
            "IllegalTransition: it is in another state.",
        ]
        if self.refs:
            lines.append("Invalid: a reference leads nowhere.")
        if self.handlers:
            lines.append("HandlerFailed: a custom handler gave no usable answer.")
        if self.record.has_rules(self.command):
            lines.append("RuleBroken: a rule does not allow it.")
        if self.unique:
            lines.append("Taken: a unique value belongs to another one.")
        return lines


@dataclass(frozen=True)
class FilterPlan:
    query: str
    argument: str
    type: str

    @property
    def parameter(self) -> str:
        """The handler's parameter, wrapped where it is long."""
        wanted, named = f"{self.type} | None", f"QueryParameter(name={quoted(self.query)})"
        line = f"{self.argument}: Annotated[{wanted}, {named}] = None"
        if len(line) <= 87:
            return line
        pad = " " * 16
        return f"{self.argument}: Annotated[\n{pad}{wanted},\n{pad}{named},\n            ] = None"


@dataclass(frozen=True)
class Referrer:
    table: str
    field: str


@dataclass
class RecordPlan:
    source: Record
    spec: Spec
    classes: Mapping[str, str]
    tables: Mapping[str, str]
    variable: str
    controller: str
    api: str
    update_method: str
    create_method: str
    delete_method: str
    erase_method: str
    fields: list[FieldPlan]
    rules: list[RulePlan]
    transitions: list[TransitionPlan]
    unique_name: str

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def plural(self) -> str:
        return self.source.plural

    @property
    def cls(self) -> str:
        return self.classes[self.name]

    @property
    def table(self) -> str:
        return self.tables[self.name]

    @property
    def words(self) -> str:
        return words(self.name)

    @property
    def a(self) -> str:
        return article(self.name)

    @property
    def a_capital(self) -> str:
        return self.a.capitalize()

    @property
    def plural_words_capital(self) -> str:
        return words(self.plural).capitalize()

    @property
    def doc_head(self) -> str:
        return f"{self.a_capital}: what it holds, what happens to it, what is allowed."

    @property
    def description(self) -> str:
        return self.source.description

    @property
    def states(self) -> bool:
        return self.source.states is not None

    @property
    def initial(self) -> str:
        return self.source.states.initial if self.source.states else ""

    @property
    def initial_argument(self) -> str:
        return f", state={quoted(self.initial)}" if self.states else ""

    @property
    def state_names(self) -> str:
        return ", ".join(self.source.states.names) if self.source.states else ""

    @property
    def refs(self) -> list[FieldPlan]:
        return [field for field in self.fields if field.source.ref]

    @property
    def personal(self) -> tuple[str, ...]:
        return self.source.personal

    @property
    def personal_unique(self) -> list[str]:
        return [name for name, _ in self.unique if name in self.personal]

    @property
    def unique(self) -> list[tuple[str, str]]:
        return [
            (field.name, "caseless" if field.kind == "email" else "exact")
            for field in self.fields
            if field.source.unique
        ]

    @property
    def handlers(self) -> list[HandlerPlan]:
        return [
            HandlerPlan(each, self.source) for each in self.spec.custom if each.record == self.name
        ]

    def has_handlers(self, on: str) -> bool:
        return bool(self.spec.handlers_of(self.name, on))

    @property
    def handlers_by_step(self) -> list[tuple[str, list[HandlerPlan]]]:
        steps = ("create", "update", *self.source.commands)
        found = [(on, [each for each in self.handlers if on in each.source.on]) for on in steps]
        return [(on, handlers) for on, handlers in found if handlers]

    @property
    def created_values(self) -> str:
        return "values" if self.has_handlers("create") else "dict(fields)"

    def has_rules(self, on: str) -> bool:
        return any(on in rule.source.on for rule in self.rules)

    @property
    def rules_by_step(self) -> list[tuple[str, list[RulePlan]]]:
        steps = ("create", "update", "delete", *self.source.commands)
        found = [(on, [rule for rule in self.rules if on in rule.source.on]) for on in steps]
        return [(on, rules) for on, rules in found if rules]

    @property
    def columns(self) -> list[tuple[str, str]]:
        columns = [(field.name, field.kind) for field in self.fields]
        columns += [("state", "enum")] if self.states else []
        return [*columns, ("erased", "bool")] if self.personal else columns

    @property
    def indexed(self) -> str:
        names = [
            field.name
            for field in self.fields
            if field.source.ref or field.source.unique or field.kind == "enum"
        ]
        names += ["state"] if self.states else []
        inner = ", ".join(quoted(name) for name in names)
        return f"({inner},)" if len(names) == 1 else f"({inner})"

    @property
    def filters(self) -> list[FilterPlan]:
        filters = [
            FilterPlan(
                field.name,
                f"by_{field.name}",
                field.bare_annotation if field.kind == "enum" else _QUERY_TYPES[field.kind],
            )
            for field in self.fields
            if field.name not in _UNFILTERED
        ]
        if self.source.states:
            names = ", ".join(quoted(name) for name in self.source.states.names)
            filters.append(FilterPlan("state", "by_state", f"Literal[{names}]"))
        return filters

    @property
    def referrers(self) -> list[Referrer]:
        return [
            Referrer(self.tables[record.name], field.name)
            for record in self.spec.records
            for field in record.fields
            if field.ref == self.name
        ]

    @property
    def create_raises(self) -> list[str]:
        return self._raises("create", "")

    @property
    def update_raises(self) -> list[str]:
        return self._raises("update", "Invalid: a required field is taken away.")

    @property
    def delete_raises(self) -> list[str]:
        lines = [f"NotFound: there is no such {self.words}."]
        if self.has_rules("delete"):
            lines.append("RuleBroken: a rule does not allow it.")
        return lines

    def _raises(self, on: str, invalid: str) -> list[str]:
        lines = [] if on == "create" else [f"NotFound: there is no such {self.words}."]
        if self.refs:
            both = f"{invalid.removesuffix('.')}, or a reference leads nowhere."
            invalid = both if invalid else "Invalid: a reference leads nowhere."
        lines += [invalid] if invalid else []
        if self.has_handlers(on):
            lines.append("HandlerFailed: a custom handler gave no usable answer.")
        if self.has_rules(on):
            lines.append("RuleBroken: a rule does not allow it.")
        if self.unique:
            lines.append("Taken: a unique value belongs to another one.")
        lines.append("TransientError: others keep changing the same things.")
        return lines


@dataclass
class ReportPlan:
    source: Report
    record: RecordPlan
    function: str
    constant: str
    where_function: str
    translation: Translation | None

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def where(self) -> str:
        return " ".join((self.source.where or "").split())

    @property
    def where_python(self) -> str:
        return self.translation.code if self.translation else ""

    @property
    def where_names(self) -> list[tuple[str, str]]:
        names = sorted(self.translation.names) if self.translation else []
        return [(name, self._kind(name)) for name in names]

    @property
    def registration(self) -> str:
        """The arguments of ``create_function``, wrapped where they are long."""
        name = self.where_function
        text = f"{quoted(name)}, {len(self.where_names)}, {name}, deterministic=True"
        if len(text) <= LINE - 28:
            return text
        return f"\n            {text}\n        "

    @property
    def where_arguments(self) -> str:
        return ", ".join(f"{name}_: Any" for name, _ in self.where_names)

    @property
    def doc(self) -> str:
        if self.source.description:
            return self.source.description
        measured = f" of {self.source.field}" if self.source.field else ""
        by = f" by {', '.join(self.source.group_by)}" if self.source.group_by else ""
        head = f"{self.source.measure.capitalize()}{measured} over {self.record.plural}{by}."
        return head

    @property
    def sql(self) -> str:
        columns = [f'{self._grouped(g.function, g.field)} AS "{g.key}"' for g in self.source.groups]
        numbers = ", ".join(str(index + 1) for index in range(len(columns)))
        lines = [
            f"SELECT {', '.join([*columns, f'{self._measure()} AS value'])}",
            f'FROM "{self.record.plural}"',
        ]
        if self.translation is not None:
            arguments = ", ".join(f'"{name}"' for name, _ in self.where_names)
            lines.append(f"WHERE {self.where_function}({arguments})")
        if columns:
            lines.append(f"GROUP BY {numbers} ORDER BY {numbers}")
        return "\n".join(lines)

    @property
    def empty(self) -> list[dict[str, object]]:
        """The rows of this report when there are no records."""
        if self.source.groups or self.source.measure not in ("count", "sum"):
            return []
        whole = self.source.measure == "count" or self._kind(self.source.field or "") == "int"
        return [{"value": 0 if whole else "0"}]

    @property
    def conversions(self) -> list[str]:
        """What SQL leaves to be done: whole sums, yes or no, nothing measured."""
        kind = self._kind(self.source.field or "")
        lines = []
        if self.source.measure not in ("count", "sum"):
            lines.append('rows = [row for row in rows if row["value"] is not None]')
        if self.source.measure == "sum" and kind == "int":
            lines.append('rows = [{**row, "value": int(row["value"])} for row in rows]')
        for group in self.source.groups:
            if self._kind(group.field) == "bool":
                lines.append(f"rows = [yes_or_no(row, {quoted(group.key)}) for row in rows]")
        return lines

    def _kind(self, name: str) -> str:
        kind = self.record.source.type_of(name)
        return "uuid" if kind.startswith("ref:") else kind

    def _grouped(self, function: str, field: str) -> str:
        return f'substr("{field}", 1, {_LENGTHS[function]})' if function else f'"{field}"'

    def _measure(self) -> str:
        field = f'"{self.source.field}"'
        match self.source.measure:
            case "count":
                return "count(*)"
            case "sum":
                return f"coalesce(exact_sum({field}), '0')"
            case "avg":
                return f"exact_avg({field})"
            case measure:
                return f"{measure}({field})"


class Plan:
    """A SPEC with every name settled.

    Raises:
        CelUnsupported: a rule or a report's filter has no translation.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.package = package_name(spec.service_name)
        namer = Namer(known_names() | {"Views", "VERSION", "UniqueValue", "Fields", "Changes"})
        base = camel(spec.service_name)
        self.app_cls = namer.take(f"{base}Application")
        self.service_cls = namer.take(f"{base}Service")
        self._namer = namer
        self._classes = {
            record.name: namer.take(camel(record.name), f"{camel(record.name)}Record")
            for record in spec.records
        }
        for name in self._classes.values():
            namer.take(f"{name}Fields")
            namer.take(f"{name}Changes")
        self._tables = {record.name: namer.take(record.plural.upper()) for record in spec.records}
        self._app_names = Namer({*dir(Application), "history", "keys", "personal"})

    @cached_property
    def records(self) -> list[RecordPlan]:
        return [self._record(record) for record in self.spec.records]

    @property
    def handlers(self) -> list[HandlerPlan]:
        return [handler for record in self.records for handler in record.handlers]

    @cached_property
    def reports(self) -> list[ReportPlan]:
        functions = Namer((*dir(Controller), "views", "rows", "get"))
        return [self._report(report, functions) for report in self.spec.reports]

    def scope(self, record: Record) -> Scope:
        """The types that a record's rules see; ``!`` marks what is never null."""
        fields = {
            f.name: f.type + ("!" if f.required or f.default is not None else "")
            for f in record.fields
        }
        states = {"state": "enum!"} if record.states else {}
        full = {**_BUILT_IN, **fields, **states}
        return {"record": full, "old": full, "input": fields}

    def _record(self, record: Record) -> RecordPlan:
        local = Namer((*_LOCALS, *known_names()))
        plan = RecordPlan(
            source=record,
            spec=self.spec,
            classes=self._classes,
            tables=self._tables,
            variable=local.take(record.name),
            controller=self._namer.take(camel(record.plural), f"{camel(record.plural)}Controller"),
            api=f"{record.name}_api",
            create_method=self._app_names.take(f"create_{record.name}"),
            update_method=self._app_names.take(f"update_{record.name}"),
            delete_method=self._app_names.take(f"delete_{record.name}"),
            erase_method=self._app_names.take(f"erase_{record.name}"),
            fields=[FieldPlan(field, self._classes) for field in record.fields],
            rules=self._rules(record),
            transitions=[],
            unique_name=f"{record.name.upper()}_UNIQUE",
        )
        plan.transitions = self._transitions(plan)
        return plan

    def _rules(self, record: Record) -> list[RulePlan]:
        functions = Namer()
        scope = self.scope(record)
        return [
            RulePlan(
                rule,
                functions.take(f"_{rule.name.replace('-', '_')}"),
                translate(rule.check, scope, old_exists="create" not in rule.on),
            )
            for rule in self.spec.rules
            if rule.record == record.name
        ]

    def _transitions(self, plan: RecordPlan) -> list[TransitionPlan]:
        events = Namer(("Created", "Updated", "Deleted", "Erased", "Event", "Snapshot"))
        names = ("fields", "state", "deleted", "erased", "create", "update", "erase")
        methods = Namer((*dir(Aggregate), *names))
        handlers = Namer((*dir(Controller), *_HANDLERS))
        states = plan.source.states
        return [
            TransitionPlan(
                source=transition,
                record=plan,
                event=events.take(
                    camel(past(transition.command)), f"{camel(transition.command)}Done"
                ),
                method=methods.take(transition.command),
                handler=handlers.take(transition.command),
                app_method=self._app_names.take(f"{transition.command}_{plan.name}"),
                body_cls=self._namer.take(f"{camel(transition.command)}{plan.cls}"),
            )
            for transition in (states.transitions if states else ())
        ]

    def _report(self, report: Report, functions: Namer) -> ReportPlan:
        record = next(plan for plan in self.records if plan.name == report.record)
        function = functions.take(report.name.replace("-", "_"))
        scope = {"record": self.scope(record.source)["record"]}
        return ReportPlan(
            source=report,
            record=record,
            function=function,
            constant=f"{function.upper()}_SQL",
            where_function=f"counts_in_{function}",
            translation=translate(report.where, scope) if report.where else None,
        )

    def record_at(self, path: str) -> str:
        """The record that ``POST <path>`` creates; "" when it creates none."""
        first = path.partition("?")[0].strip("/")
        return next((record.name for record in self.spec.records if record.plural == first), "")
