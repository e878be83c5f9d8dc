"""What the fields of a model are, for writers of JSON that take values as they stand.

Pydantic's own serializer asks each value what it is, to write nearly always just that. A writer
that is handed the fields needs a quarter of the time. That every value is of its field's type is
taken for granted: what ``domain.view.made`` is given, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, PlainSerializer, RootModel, WrapSerializer
from pydantic.fields import FieldInfo

_LOOSE: frozenset[Any] = frozenset((float, dict, Any))
_KNOWN: frozenset[Any] = _LOOSE | {str, int, bool, NoneType, datetime, AwareDatetime, Ellipsis}
_OF_OTHERS: frozenset[Any] = frozenset((tuple, list, dict, Union, UnionType))


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields to which something is to be done; all others are what their values are.

    unused  each with the test that leaves it out
    inner   hold a model of which the same is true
    loose   hold floats, or keys and values of anyone's
    open    whether the model holds, at any depth, values of any type whatever
    count   of all fields
    """

    unused: tuple[tuple[str, Callable[[Any], bool]], ...]
    inner: tuple[str, ...]
    loose: tuple[str, ...]
    open: bool
    count: int

    @property
    def whole(self) -> bool:
        """Whether a model is written as all of its fields, and so is every model in it."""
        return not self.unused and not self.inner

    def used(self, values: dict[str, Any]) -> dict[str, Any]:
        """The fields that are not left out."""
        left_out = [name for name, unused in self.unused if unused(values[name])]
        return {n: v for n, v in values.items() if n not in left_out} if left_out else values


@dataclass(frozen=True, slots=True)
class Part:
    """A model but for some of its fields."""

    model: BaseModel
    without: frozenset[str]


@cache
def shape_of(kind: type[Any]) -> Shape | None:
    """The shape of a model; None for what only pydantic knows how to write, and for no model."""
    return _shape(kind, ())


def _shape(kind: type[Any], above: tuple[type[Any], ...]) -> Shape | None:
    if not issubclass(kind, BaseModel) or kind in above or _has_ways_of_its_own(kind):
        return None
    unused, inner, loose, anything = [], [], [], False
    for name, field in kind.model_fields.items():
        leaves = set(_leaves(field.annotation))
        models = {leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, BaseModel)}
        shapes = [shape for m in models if (shape := _shape(m, (*above, kind))) is not None]
        if _told(field) or not leaves - models <= _KNOWN or len(shapes) < len(models):
            return None
        if field.exclude_if is not None:
            unused.append((name, field.exclude_if))
        if not all(shape.whole for shape in shapes):
            if not _one(field.annotation, models):
                return None
            inner.append(name)
        if leaves & _LOOSE or any(shape.loose for shape in shapes):
            loose.append(name)
        anything |= Any in leaves or any(shape.open for shape in shapes)
    count = len(kind.model_fields)
    return Shape(tuple(unused), tuple(inner), tuple(loose), anything, count)


def _has_ways_of_its_own(kind: type[BaseModel]) -> bool:
    told = kind.__pydantic_decorators__
    return bool(
        issubclass(kind, RootModel)
        or told.field_serializers
        or told.model_serializers
        or told.computed_fields
        or kind.model_config.get("extra") == "allow"
        or any(key.startswith(("ser", "json")) for key in kind.model_config)
        or any(isinstance(v, cached_property) for base in kind.__mro__ for v in vars(base).values())
    )


def _told(field: FieldInfo) -> bool:
    """Whether a field says how, or under which name, it is written."""
    serializers = (PlainSerializer, WrapSerializer)
    return bool(
        field.exclude
        or field.serialization_alias
        or any(isinstance(said, serializers) for said in field.metadata)
    )


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types of which a type is made."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(type, arguments)
    elif origin in _OF_OTHERS:
        if origin is dict:
            yield dict
        for argument in arguments:
            yield from _leaves(argument)
    else:
        yield annotation


def _one(annotation: Any, models: set[type[Any]]) -> bool:
    """Whether a field holds one of the models, or None, and not several."""
    held = {annotation} if get_origin(annotation) is None else set(get_args(annotation))
    return get_origin(annotation) in (None, Union, UnionType) and held <= models | {NoneType}
