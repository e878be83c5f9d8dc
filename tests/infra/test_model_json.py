"""Every event as JSON: what pydantic makes of it, byte for byte."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    computed_field,
    field_serializer,
    model_serializer,
)

import domain.catalog  # noqa: F401  # all events are there
from domain.event import EVENT_TYPES, Event
from domain.governance_events import AlignmentAssessed, Assessment, BlastRadius
from domain.intent import RawIntent
from infra.model_json import model_json, shape_of
from tests.governance.labelled import assess, labelled

TEXT = st.text(max_size=12)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from((0.0, -0.0, 1.0, 0.85))
ZONES = (UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11)))
MOMENTS = st.datetimes(timezones=st.sampled_from(ZONES)) | st.just(datetime(2030, 1, 1, tzinfo=UTC))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: NUMBERS,
    float: FLOATS,
    bool: st.booleans(),
    NoneType: st.none(),
    Any: JSON,
    AwareDatetime: MOMENTS,
}


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field of an event, of its type but otherwise of any kind."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return model(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Annotated:
        return of(arguments[0])
    if origin in (Union, UnionType):
        return st.one_of([of(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, of(arguments[1]), max_size=4)
    return OF_TYPE[annotation]


def model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    fields = {name: of(field.annotation) for name, field in kind.model_fields.items()}
    return st.builds(kind.model_construct, **fields)


STORED = sorted(
    (kind for kind in EVENT_TYPES.values() if kind is not RawIntent), key=lambda k: k.full_type
)


@given(st.sampled_from(STORED).flatmap(model))
def test_an_event_is_written_as_pydantic_writes_it(event: Event) -> None:
    assert model_json(event) == event.model_dump_json().encode()
    without = {"type", "at"}
    assert model_json(event, without=without) == event.model_dump_json(exclude=without).encode()


def test_the_quick_way_is_that_of_every_event_that_is_written_often() -> None:
    known = {kind for kind in STORED if shape_of(kind) is not None}
    assert {k.full_type for k in STORED if k not in known} == {
        "phoenix.governance.PolicyAdopted.v1"
    }


def test_an_assessment_without_a_radius_keeps_the_json_it_had() -> None:
    for radius in (None, BlastRadius(direct=("a",))):
        given = {**assess(next(labelled()).intent).__dict__, "blast_radius": radius}
        event = AlignmentAssessed(
            at=datetime(2030, 1, 1, tzinfo=UTC),
            intent_id="i",
            assessment=Assessment(**given),
            blueprint_digest="",
            intent_digest="",
        )
        assert (b"blast_radius" in model_json(event)) == (radius is not None)
        assert model_json(event) == event.model_dump_json().encode()


def test_what_the_rubric_makes_without_validation_has_the_types_of_its_fields() -> None:
    for entry in labelled():
        made = assess(entry.intent)
        assert made == Assessment.model_validate(made.model_dump())
        assert {type(line.points) for line in made.evidence} | {type(made.alignment_score)} == {
            float
        }


# --- what only pydantic knows -------------------------------------------------------------------


class Named(BaseModel):
    text: str = Field(serialization_alias="other")


class Hidden(BaseModel):
    text: str = Field(exclude=True)
    kept: str = ""


class Loud(BaseModel):
    text: str

    @field_serializer("text")
    def _loudly(self, text: str) -> str:
        return text.upper()


class Whole(BaseModel):
    text: str

    @model_serializer
    def _whole(self) -> str:
        return self.text


class Computed(BaseModel):
    text: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> str:
        return self.text * 2


class Remembering(BaseModel):
    text: str

    @cached_property
    def twice(self) -> str:
        return self.text * 2


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str


class Told(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")

    text: str


class Inside(BaseModel):
    texts: tuple[Annotated[str, PlainSerializer(str.upper)], ...]


class Some(BaseModel):
    text: str | None = Field(default=None, exclude_if=lambda value: value is None)


class Several(BaseModel):
    some: tuple[Some, ...]


class Id(BaseModel):
    id: UUID
    body: bytes = b"x"


class Tree(BaseModel):
    below: "tuple[Tree, ...]" = ()


class Held(RootModel[str]):
    pass


@dataclass
class Plain:
    text: str


class Anything(BaseModel):
    it: Any


@pytest.mark.parametrize(
    "value",
    [
        Named(text="a"),
        Hidden(text="a"),
        Loud(text="a"),
        Whole(text="a"),
        Computed(text="a"),
        Remembering(text="a"),
        Open(text="a", more=1),
        Told(text="a"),
        Inside(texts=("a",)),
        Several(some=(Some(), Some(text="a"))),
        Id(id=UUID(int=1)),
        Tree(below=(Tree(),)),
        Held("a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_ways_of_its_own_keeps_them(value: BaseModel) -> None:
    assert shape_of(type(value)) is None
    if isinstance(value, Remembering):
        assert value.twice == "aa"
    for it in (value, Anything(it=value), Anything(it=[Some(), value])):
        assert model_json(it) == it.model_dump_json().encode()


def test_what_is_no_field_is_passed_over() -> None:
    radius = BlastRadius(direct=("a",))
    for it in (radius.model_copy(update={"more": 1}), BlastRadius.model_construct(direct=("a",))):
        assert model_json(it) == it.model_dump_json().encode()
    del radius.__dict__["further"]
    assert model_json(radius) == radius.model_dump_json().encode()


@pytest.mark.parametrize(
    "value",
    [Plain("a"), {1: 2}, {"b": {3}}, UUID(int=1), b"x", timedelta(1), 2**70, float("nan")],
    ids=str,
)
def test_anything_that_is_no_json_by_itself_is_left_to_pydantic(value: Any) -> None:
    it = Anything(it=value)
    assert model_json(it) == it.model_dump_json().encode()
