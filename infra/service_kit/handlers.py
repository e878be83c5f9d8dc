"""Custom handlers of a generated service: code that a model wrote, called through one narrow door.

Interface   a handler sees the record as it would be after the step (with ``state``) and the
            request's body, both read only, and returns values for the fields that it sets.
Invariants  a field that the request itself gives stays as given; what a handler returns passes the
            record's own bounds; whatever goes wrong in one refuses the change (409).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, Self

from pydantic import ValidationError

from domain.errors import DomainError

Work = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]


class HandlerFailed(DomainError):
    """A handler gave no answer, or one that the record does not allow."""


class Changes(Protocol):
    """What a record's ``Changes`` model offers."""

    @classmethod
    def model_validate(cls, obj: Any) -> Self: ...

    def given(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Handler:
    name: str
    sets: tuple[str, ...]
    work: Work


def worked_out(
    handlers: Iterable[Handler],
    model: type[Changes],
    record: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the handlers set of the fields that the request leaves out; each handler sees
    what those before it have set.

    Raises:
        HandlerFailed: one of them gave no usable answer.
    """
    found: dict[str, Any] = {}
    for handler in handlers:
        values = _answer(handler, model, {**record, **found}, given)
        found |= {name: value for name, value in values.items() if name not in given}
    return found


def typed(model: type[Changes], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example's JSON as the values that a handler sees; ``state`` stays text."""
    fields = {name: value for name, value in values.items() if name != "state"}
    state = {name: value for name, value in values.items() if name == "state"}
    return model.model_validate(fields).given() | state


def _answer(
    handler: Handler, model: type[Changes], record: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        answer = handler.work(MappingProxyType(dict(record)), MappingProxyType(dict(given)))
    except Exception as error:  # foreign code: nothing of it gets further than this
        raise HandlerFailed(f"{handler.name} gave no answer: {type(error).__name__}") from None
    if not isinstance(answer, dict) or not answer.keys() <= set(handler.sets):
        raise HandlerFailed(f"{handler.name} may set {', '.join(handler.sets)} and nothing else")
    try:
        return model.model_validate(answer).given()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise HandlerFailed(f"{handler.name} gave no valid {place}: {first['msg']}") from None
