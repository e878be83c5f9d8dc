"""Rules of a generated service: a change passes only when every check says yes.

A check that fails to answer (a value is missing, a division by zero) refuses the change as well.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from types import SimpleNamespace
from typing import Any

from domain.errors import DomainError, IllegalTransition

Check = Callable[[Any, Any, Mapping[str, Any]], bool]
Number = int | Decimal
_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error)
_PRECISION = 100


class RuleBroken(DomainError):
    """A rule does not allow the change: HTTP 409 with the rule's own message."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``check(record, old, given)``: the record after the change, before it, and the input."""

    name: str
    message: str
    check: Check


def enforce(rules: Iterable[Rule], record: Any, old: Any, given: Mapping[str, Any]) -> None:
    """Raises: RuleBroken: with the message of the first rule that does not hold."""
    for rule in rules:
        if not holds(rule.check, record, old, given):
            raise RuleBroken(rule.message)


def holds(check: Callable[..., bool], *arguments: Any) -> bool:
    """Whether the check says yes; no when it cannot be answered."""
    try:
        return check(*arguments) is True
    except _FAILURES:
        return False


def either(*parts: Callable[[], bool]) -> bool:
    """Yes when any part says yes, whatever goes wrong in the others (as ``||`` in CEL)."""
    return _settled(parts, decisive=True)


def both(*parts: Callable[[], bool]) -> bool:
    """No when any part says no, whatever goes wrong in the others (as ``&&`` in CEL)."""
    return _settled(parts, decisive=False)


def _settled(parts: Iterable[Callable[[], bool]], *, decisive: bool) -> bool:
    failure: Exception | None = None
    for part in parts:
        try:
            if part() is decisive:
                return decisive
        except _FAILURES as error:
            failure = error
    if failure is not None:
        raise failure
    return not decisive


def quotient(left: Number, right: Number) -> Number:
    """``left / right``: towards zero for two whole numbers, exact to 100 digits otherwise."""
    if isinstance(left, int) and isinstance(right, int):
        whole = abs(left) // abs(right)
        return whole if (left < 0) == (right < 0) else -whole
    with localcontext() as context:
        context.prec = _PRECISION
        return Decimal(left) / Decimal(right)


def remainder(left: Number, right: Number) -> Number:
    """What ``quotient`` leaves over; it has the sign of ``left``."""
    rest = Decimal(left) % Decimal(right)
    return int(rest) if isinstance(left, int) and isinstance(right, int) else rest


class Taken(DomainError):
    """Another record holds this value of a unique field: HTTP 409."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"{field}: {value} is taken")
        self.field = field


def in_state(command: str, state: str, allowed: tuple[str, ...]) -> None:
    """Raises: IllegalTransition: the command does not leave this state."""
    if state not in allowed:
        wanted = " or ".join(allowed)
        raise IllegalTransition(f"cannot {command} in state {state}; it has to be {wanted}")


def seen(aggregate: Any, changes: Mapping[str, Any] | None = None, **more: Any) -> SimpleNamespace:
    """Return a record as rules see it, with these changes made."""
    values = {
        "id": aggregate.id,
        "version": aggregate.version,
        "created_at": aggregate.created_on,
        "updated_at": aggregate.modified_on,
        "state": getattr(aggregate, "state", None),
        **dict(aggregate.fields),
    }
    return SimpleNamespace(**(values | dict(changes or {}) | more))
