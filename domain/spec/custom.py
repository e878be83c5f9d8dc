"""What an intent asks a model to write: ``metadata.custom``, a list of wishes for handlers."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from domain.spec.check import wish_problems
from domain.spec.draft import NeedsDetail
from domain.spec.model import Problem, Spec, Wish, problems_of

CUSTOM_MAX = 10
_PLACE = "metadata.custom"


def wishes_of(metadata: Mapping[str, Any], spec: Spec) -> tuple[Wish, ...]:
    """Return the handlers that an intent asks for; () when it asks for none.

    Raises:
        NeedsDetail: a wish is not one, or has no place in this SPEC; with each reason.
    """
    given = metadata.get("custom")
    if not given:
        return ()
    if not isinstance(given, list) or len(given) > CUSTOM_MAX:
        raise NeedsDetail((f"{_PLACE} must be a list of at most {CUSTOM_MAX} handlers",))
    wishes: list[Wish] = []
    found: list[Problem] = []
    for index, item in enumerate(given):
        path = f"{_PLACE}[{index}]"
        try:
            wish = Wish.model_validate(item)
        except ValidationError as error:
            found += [
                Problem(f"{path}.{p.path}".rstrip("."), p.message) for p in problems_of(error)
            ]
        else:
            found += wish_problems(spec, path, wish)
            wishes.append(wish)
    names = [wish.name for wish in wishes]
    found += [Problem(_PLACE, f"{name} is given twice") for name in names if names.count(name) > 1]
    if found:
        raise NeedsDetail(tuple(dict.fromkeys(map(str, found))))
    return tuple(wishes)
