"""The SPEC of a service: what a generator needs, and nothing it would have to guess.

Source      an intent's ``spec`` object, or what ``domain.spec.draft`` makes of its text.
Invariants  a ``Spec`` that exists is consistent: names are safe for Python and URLs, references,
            states and fields exist, bounds fit their types (``domain.spec.check``).

What the model means for the service built from it:

- Every record also has ``id`` (uuid), ``version`` (int, 1 after the create), ``created_at`` and
  ``updated_at`` (datetime, UTC), and ``state`` when it has states. The names are reserved.
- A field that is not ``required`` may be left out or null; ``default`` fills it then.
- ``min`` and ``max`` are inclusive, written as text: numbers, ISO dates and date-times.
- ``Transition.fields`` names record fields that the command's body must carry.
- A report's row has one key for each group (``Group.key``) and ``value``; day, month and year are
  text (``2030-01-31``, ``2030-01``, ``2030``), decimals are text. Without groups there is one row
  (``count`` and ``sum`` over nothing: 0), with groups one row for each group that has records.
- Answers: POST 201, GET, PATCH and commands 200, DELETE 204; lists are ``{items, cursor}``.
- A custom handler sets fields that a request leaves out; one that the request gives stays as given.
- Each scenario starts with an empty service. In it ``$id`` is the last created id,
  ``$id.<record>`` the last created id of that record; both may stand in a call's path or as a
  whole string inside a body.
- CEL texts see ``record`` (the record as it would be after the step, dates as ISO text, decimals
  as double), in rules also ``old`` (before; null on create) and ``input`` (the body).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from domain.canonical import digest
from domain.errors import DomainError
from domain.event import Value
from domain.intent import Slug
from domain.spec import words
from domain.spec.handlers import CODE_CHARS_MAX

FIELD_TYPES = ("text", "int", "decimal", "bool", "date", "datetime", "email", "enum", "uuid")
TYPE_ALIASES = {
    "string": "text",
    "str": "text",
    "integer": "int",
    "number": "decimal",
    "float": "decimal",
    "money": "decimal",
    "boolean": "bool",
    "timestamp": "datetime",
}
NUMERIC = frozenset(("int", "decimal"))
TEMPORAL = frozenset(("date", "datetime"))
BUILT_IN_FIELDS = {
    "id": "uuid",
    "version": "int",
    "created_at": "datetime",
    "updated_at": "datetime",
}
BUILT_IN_EVENTS = ("create", "update", "delete")  # what a rule may be ``on`` besides commands
DEFAULT_PAGE, MAX_PAGE = 50, 500

GROUP = re.compile(r"(?:(day|month|year)\(([a-z][a-z0-9_]*)\)|([a-z][a-z0-9_]*))")
CALL = re.compile(r"(GET|POST|PATCH|DELETE) (/[^\s]*)")


def _unix(value: object) -> object:
    """One kind of line break, so that a text is the same after a round trip through a file."""
    return re.sub(r"\r+\n", "\n", value) if isinstance(value, str) else value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Line = Annotated[
    str,
    BeforeValidator(_unix),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
]
Text200 = Annotated[
    str, BeforeValidator(_unix), StringConstraints(strip_whitespace=True, max_length=200)
]
Text1000 = Annotated[
    str, BeforeValidator(_unix), StringConstraints(strip_whitespace=True, max_length=1000)
]
Text2000 = Annotated[
    str, BeforeValidator(_unix), StringConstraints(strip_whitespace=True, max_length=2000)
]
Text50k = Annotated[
    str, BeforeValidator(_unix), StringConstraints(strip_whitespace=True, max_length=50_000)
]
Code = Annotated[
    str,
    BeforeValidator(_unix),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=CODE_CHARS_MAX),
]
Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$", max_length=30)]


class Problem(NamedTuple):
    """One thing that keeps a document from being a SPEC: where, and what is allowed there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecInvalid(DomainError):
    """The document is not a SPEC; ``problems`` says why, place by place."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def _field_type(value: object) -> object:
    if not isinstance(value, str):
        return value
    name = TYPE_ALIASES.get(value, value)
    if name in FIELD_TYPES or re.fullmatch(r"ref:[a-z][a-z0-9_]*", name):
        return name
    allowed = ", ".join((*FIELD_TYPES, "ref:<record>"))
    raise PydanticCustomError("field_type", "{text}", {"text": f"is {value!r}; allowed: {allowed}"})


def _number_text(value: object) -> object:
    """Numbers become text: a float in a digest or a decimal bound would not be exact."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


FieldType = Annotated[str, BeforeValidator(_field_type)]
Bound = Annotated[str, BeforeValidator(_number_text), StringConstraints(max_length=40)]


def _default(value: object) -> object:
    return repr(value) if isinstance(value, float) else value


class RecordField(Value):
    name: Name
    type: FieldType
    required: bool = False
    unique: bool = False
    personal: bool = False  # of a person: kept sealed, and can be erased
    min: Bound | None = None
    max: Bound | None = None
    max_length: int | None = Field(default=None, ge=1, le=100_000)
    values: tuple[Line, ...] = Field(default=(), max_length=200)
    default: Annotated[bool | int | str | None, BeforeValidator(_default)] = None
    description: Text1000 = ""

    @property
    def ref(self) -> str:
        """The record this field points at; "" when it is no reference."""
        return self.type[4:] if self.type.startswith("ref:") else ""


class Transition(Value):
    command: Name
    from_: Annotated[tuple[Label, ...], BeforeValidator(_several)] = Field(
        alias="from", validation_alias=AliasChoices("from", "from_"), min_length=1
    )
    to: Label
    fields: tuple[Name, ...] = ()
    description: Text1000 = ""


class States(Value):
    initial: Label
    transitions: tuple[Transition, ...] = Field(min_length=1, max_length=50)

    @property
    def names(self) -> tuple[str, ...]:
        """Every state, the initial one first, then in the order they are named."""
        named = [self.initial]
        for transition in self.transitions:
            named += [*transition.from_, transition.to]
        return tuple(dict.fromkeys(named))

    @property
    def final(self) -> tuple[str, ...]:
        """States that no command leaves."""
        left = {name for transition in self.transitions for name in transition.from_}
        return tuple(name for name in self.names if name not in left)


class Record(Value):
    name: Name
    plural: Name = ""
    fields: tuple[RecordField, ...] = Field(min_length=1, max_length=60)
    states: States | None = None
    description: Text1000 = ""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        if not given.get("plural") and isinstance(given.get("name"), str):
            given["plural"] = words.plural(given["name"])
        return given

    def field(self, name: str) -> RecordField | None:
        return next((field for field in self.fields if field.name == name), None)

    @property
    def personal(self) -> tuple[str, ...]:
        """The fields that hold what is personal."""
        return tuple(field.name for field in self.fields if field.personal)

    def type_of(self, name: str) -> str:
        """The type of a field, built-in ones included; "" when there is none of that name."""
        field = self.field(name)
        if field is not None:
            return field.type
        if name == "state" and self.states is not None:
            return "enum"
        return BUILT_IN_FIELDS.get(name, "")

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(t.command for t in self.states.transitions) if self.states else ()


class Rule(Value):
    """``check`` must be true for the step to be accepted; else 409 with ``message``."""

    name: Label
    record: Name
    on: Annotated[tuple[Name, ...], BeforeValidator(_several)] = Field(min_length=1)
    check: Line
    message: Line


class Group(NamedTuple):
    function: str  # "", day, month, year
    field: str
    key: str  # in rows: the field's name, or ``month`` (``month_<field>`` when not unique)


class Report(Value):
    name: Label
    record: Name
    measure: Literal["count", "sum", "avg", "min", "max"]
    field: Name | None = None
    group_by: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        default=(), max_length=5
    )
    where: Line | None = None
    description: Text1000 = ""

    @property
    def groups(self) -> tuple[Group, ...]:
        """``group_by`` taken apart; entries that do not have the form are left out."""
        matches = [GROUP.fullmatch(text) for text in self.group_by]
        parts = [(m[1] or "", m[2] or m[3]) for m in matches if m is not None]
        functions = [function for function, _ in parts]
        return tuple(
            Group(function, field, _group_key(function, field, functions))
            for function, field in parts
        )


def _group_key(function: str, field: str, functions: list[str]) -> str:
    if not function:
        return field
    return function if functions.count(function) == 1 else f"{function}_{field}"


class Wish(Value):
    """What a handler is asked to do: set fields of a record on a create, an update or a command."""

    name: Name
    record: Name
    on: Annotated[tuple[Name, ...], BeforeValidator(_several)] = Field(min_length=1, max_length=20)
    does: Line
    sets: tuple[Name, ...] = Field(min_length=1, max_length=20)


class Example(Value):
    """What a handler has to answer, as JSON: fields that are left out of ``record`` are null."""

    record: dict[str, Any]
    given: dict[str, Any] = Field(default_factory=dict)
    expect: dict[str, Any]


class Handler(Wish):
    """A wish with the code that a model wrote for it. Code from anywhere else is never taken."""

    code: Code
    examples: tuple[Example, ...] = Field(min_length=2, max_length=20)
    model: Text200
    prompt_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Expect(Value):
    status: int = Field(ge=100, le=599)
    body: Any = None  # every key given must match; a list must match item by item


class Step(Value):
    call: str = Field(max_length=500)
    body: dict[str, Any] | None = None
    expect: Expect

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        """With its query, as written."""
        return self.call.partition(" ")[2]


class Scenario(Value):
    name: Line
    steps: tuple[Step, ...] = Field(min_length=1, max_length=50)


class Limits(Value):
    p95_ms: int | None = Field(default=None, ge=1, le=60_000)
    max_records: int | None = Field(default=None, ge=1, le=100_000_000)


class Requirement(Value):
    """What the service shall do, the feature it comes from, and the scenarios that show it."""

    id: Annotated[str, StringConstraints(pattern=r"^R[1-9]\d{0,2}$")]
    text: Line
    source: Text1000 = ""
    scenarios: tuple[Line, ...] = ()


class Section(Value):
    """Text of a SPEC.md that has no place in the typed part: kept word for word."""

    heading: Line
    body: Text50k = ""


class Spec(Value):
    service_name: Slug
    title: Text200 = ""
    purpose: Text2000 = ""
    version: Version = "1.0.0"
    tier: int = Field(default=2, ge=0, le=3)
    port: int | None = Field(default=None, ge=1024, le=63535)
    dependencies: tuple[Slug, ...] = Field(default=(), max_length=50)
    key_features: tuple[Line, ...] = Field(default=(), max_length=50)
    requirements: tuple[Requirement, ...] = Field(default=(), max_length=200)
    records: tuple[Record, ...] = Field(default=(), max_length=50)  # none: nothing to build yet
    rules: tuple[Rule, ...] = Field(default=(), max_length=200)
    reports: tuple[Report, ...] = Field(default=(), max_length=100)
    custom: tuple[Handler, ...] = Field(default=(), max_length=10)
    scenarios: tuple[Scenario, ...] = Field(default=(), max_length=200)
    limits: Limits = Limits()
    criteria: tuple[Line, ...] = Field(default=(), max_length=50)  # success, measurable
    sections: tuple[Section, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> "Spec":
        from domain.spec.check import problems  # check needs the classes above

        found = problems(self)
        if found:
            text = "; ".join(map(str, found))
            raise PydanticCustomError("spec", "{text}", {"text": text, "problems": found})
        return self

    def record(self, name: str) -> Record | None:
        return next((record for record in self.records if record.name == name), None)

    def handlers_of(self, record: str, on: str) -> tuple[Handler, ...]:
        return tuple(each for each in self.custom if each.record == record and on in each.on)

    def rules_of(self, record: str, on: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.record == record and on in rule.on)

    def document(self) -> dict[str, Any]:
        """The SPEC as JSON: what is stored and digested. Defaults are left out, so that a field
        added to the model later changes no digest."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def spec_digest(spec: Spec) -> str:
    """Return the hex SHA-256 of the SPEC's canonical JSON."""
    return digest(spec.document())


def read_spec(document: Mapping[str, Any]) -> Spec:
    """Return the SPEC a JSON document describes.

    Raises:
        SpecInvalid: with every place that is wrong and what is allowed there.
    """
    try:
        return Spec.model_validate(document)
    except ValidationError as error:
        raise SpecInvalid(problems_of(error)) from None


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """Pydantic's findings as paths and plain words."""
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        context = item.get("ctx") or {}
        if item["type"] == "spec":
            found += context["problems"]
        else:
            found.append(Problem(path_of(item["loc"]), _words(item)))
    return tuple(p for p in found if not _echo(p, found))


def _echo(problem: Problem, found: list[Problem]) -> bool:
    """A list counts as too short when its items are wrong: only the items are worth telling."""
    inside = (f"{problem.path}[", f"{problem.path}.")
    return "at least" in problem.message and any(p.path.startswith(inside) for p in found)


def path_of(location: tuple[int | str, ...]) -> str:
    """``("records", 0, "fields", 2)`` -> ``records[0].fields[2]``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _words(item: Any) -> str:
    match item["type"]:
        case "string_pattern_mismatch":
            return f"is {item['input']!r}; allowed: {item['ctx']['pattern']}"
        case "extra_forbidden":
            return "is not a part of a SPEC; the parts are listed in the published schema"
        case "missing":
            return "is required"
        case _:
            return str(item["msg"])
