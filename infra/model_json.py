"""Models as JSON: what ``model_dump_json`` writes, byte for byte, in a third of the time.

Pydantic's own serializer asks each value what it is, to write nearly always just that. Where the
types of a model's fields say that its values are what is written (found out once a class), orjson
is handed the fields. That every value is of its field's type is taken for granted: what
``domain.view.made`` is given, too. All else is left to pydantic.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import AwareDatetime, BaseModel, PlainSerializer, RootModel, WrapSerializer
from pydantic.fields import FieldInfo

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_FIELDS = attrgetter("__dict__")
_KNOWN: frozenset[Any] = frozenset(
    (str, int, float, bool, NoneType, datetime, AwareDatetime, dict, Any, Ellipsis)
)
_OF_OTHERS: frozenset[Any] = frozenset((tuple, list, dict, Union, UnionType))


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields to which something is to be done; all others are what their values are.

    unused  each with the test that leaves it out
    inner   hold a model of which the same is true
    open    whether the model holds, at any depth, values of any type whatever
    count   of all fields
    """

    unused: tuple[tuple[str, Callable[[Any], bool]], ...]
    inner: tuple[str, ...]
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


def model_json(model: BaseModel, *, without: Collection[str] = ()) -> bytes:
    """The model's fields but for those in ``without``.

    Raises:
        pydantic_core.PydanticSerializationError: something in it is not JSON.
    """
    try:
        shape = _known(type(model))
        values = _values(model, shape)
        if without:
            values = values.copy()
            for name in without:
                values.pop(name, None)
        return orjson.dumps(values, default=_anything if shape.open else _FIELDS, option=_OPTIONS)
    except TypeError:  # orjson's errors are among them
        return model.__pydantic_serializer__.to_json(model, exclude=set(without))


def _values(model: BaseModel, shape: Shape) -> dict[str, Any]:
    """What is written of a model.

    Raises:
        TypeError: it does not have just its fields; pydantic passes over all else.
    """
    values = model.__dict__
    if len(values) != shape.count:
        raise TypeError("not just its fields")
    if shape.unused:
        values = shape.used(values)
    if not shape.inner:
        return values
    inner = [(name, values[name]) for name in shape.inner if values.get(name) is not None]
    return values | {name: _values(held, _known(type(held))) for name, held in inner}


def _anything(value: Any) -> Any:
    """As ``_FIELDS``, of what need not be a model."""
    return _values(value, _known(type(value)))


def _known(kind: Any) -> Shape:
    """Raises: TypeError: only pydantic knows how to write it."""
    shape = shape_of(kind)
    if shape is None:
        raise TypeError(f"{kind.__name__} is written by pydantic")
    return shape


# --- what the fields of a model are ---------------------------------------------------------------


@cache
def shape_of(kind: type[Any]) -> Shape | None:
    """The shape of a model; None for what only pydantic knows how to write, and for no model."""
    return _of_fields(kind, ())


def _of_fields(kind: type[Any], above: tuple[type[Any], ...]) -> Shape | None:
    if not issubclass(kind, BaseModel) or kind in above or _has_ways_of_its_own(kind):
        return None
    unused, inner, anything = [], [], False
    for name, field in kind.model_fields.items():
        leaves = set(_leaves(field.annotation))
        models = {leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, BaseModel)}
        shapes = [shape for m in models if (shape := _of_fields(m, (*above, kind))) is not None]
        if _told(field) or not leaves - models <= _KNOWN or len(shapes) < len(models):
            return None
        if field.exclude_if is not None:
            unused.append((name, field.exclude_if))
        if not all(shape.whole for shape in shapes):
            if not _one(field.annotation, models):
                return None
            inner.append(name)
        anything |= Any in leaves or any(shape.open for shape in shapes)
    return Shape(tuple(unused), tuple(inner), anything, len(kind.model_fields))


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
