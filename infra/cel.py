"""Conditions in CEL, checked before they are adopted and evaluated without ever guessing.

An evaluation error arrives from the library as an ordinary value whose ``value()`` is a non-empty
string, so that its truth would be True: only True and False themselves count, all else is an error.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from domain.errors import Invalid
from domain.governance_events import ConditionValue, Mode, Policy
from domain.policy import VARIABLES, Bundle, Inputs, InputType, Outcome, outcome_of

SHIPPED = Path(__file__).parent / "assets" / "policies" / "shipped.json"
MODES: tuple[Mode, ...] = ("supervised", "autonomous", "aggressive")

KNOWN_MAX = 4096  # answers that are kept

_TYPES: dict[InputType, Any] = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "list": cel.Type.List(cel.Type.STRING),
}
_ENV = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in VARIABLES.items()})
_BOOL = cel.Type.BOOL


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled condition with both of its possible answers, made once."""

    policy_id: str
    expression: str
    compiled: Any
    yes: ConditionValue
    no: ConditionValue

    def error(self, text: str) -> ConditionValue:
        return ConditionValue(
            policy_id=self.policy_id, expression=self.expression, value=None, error=text[:500]
        )


def _program(policy_id: str, expression: str) -> Program:
    yes = ConditionValue(policy_id=policy_id, expression=expression, value=True)
    no = ConditionValue(policy_id=policy_id, expression=expression, value=False)
    return Program(policy_id, expression, _ENV.compile(expression), yes, no)


def shipped() -> Bundle:
    """The policies and modes this product comes with."""
    return Bundle.model_validate_json(SHIPPED.read_bytes())


def check_expression(expression: str, *, field: str = "expression") -> None:
    """Compile one condition against the declared variables.

    Raises:
        Invalid: a syntax error, an unknown variable, a wrong type, or not a yes-or-no question.
    """
    try:
        compiled = _ENV.compile(expression)
    except Exception as error:  # the library raises plain RuntimeError, with the place inside
        raise Invalid(field, _readable(error)) from error
    if compiled.return_type() != _BOOL:
        raise Invalid(field, f"is {compiled.return_type().name()}, not a condition (BOOL)")


def check_policies(policies: Iterable[Policy]) -> None:
    """Raises: Invalid: with the path of the first condition that does not compile."""
    for policy in policies:
        for index, expression in enumerate(policy.conditions):
            check_expression(expression, field=f"policy.conditions.{index}")


def _readable(error: Exception) -> str:
    text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    return text.strip() or type(error).__name__


class CelConditions:
    """A bundle compiled once; safe to share between tasks."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises: Invalid: a condition of the bundle does not compile."""
        check_policies(bundle.policies)
        self._bundle = bundle
        self._digest = bundle.digest
        self._programs: dict[Mode, list[Program]] = {
            mode: [
                _program(policy.policy_id, expression)
                for policy in bundle.of(mode)
                for expression in policy.conditions
            ]
            for mode in MODES
        }
        self._names: dict[Mode, tuple[str, ...]] = {
            mode: _names(program.expression for program in programs)
            for mode, programs in self._programs.items()
        }
        self._policies = {mode: bundle.of(mode) for mode in MODES}
        self._known: dict[tuple[object, ...], Outcome] = {}

    @property
    def bundle(self) -> Bundle:
        return self._bundle

    @property
    def digest(self) -> str:
        return self._digest

    def outcome(self, mode: Mode, inputs: Inputs) -> Outcome:
        """What the mode's policies come to.

        What the conditions read says all: the same again has the same answer, and few differ.
        """
        key = (mode, *[(type(value := inputs.get(name)), value) for name in self._names[mode]])
        try:
            known = self._known.get(key)
        except TypeError:  # not of the declared types: that is for the conditions to say
            return self._conclude(mode, inputs)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = self._conclude(mode, inputs)
        return known

    def _conclude(self, mode: Mode, inputs: Inputs) -> Outcome:
        return outcome_of(self._policies[mode], self._evaluate(mode, inputs))

    def _evaluate(self, mode: Mode, inputs: Inputs) -> tuple[ConditionValue, ...]:
        """Every condition of the mode's policies with its value, or with an error and None."""
        data = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in inputs.items()
            if name in self._names[mode]
        }
        try:
            activation = _ENV.Activation(data)
        except Exception as error:
            return tuple(p.error(_readable(error)) for p in self._programs[mode])
        return tuple(_value(program, activation) for program in self._programs[mode])

    def names(self, mode: Mode) -> tuple[str, ...]:
        """The inputs that the mode's conditions may read."""
        return self._names[mode]

    def failing_tests(self) -> tuple[str, ...]:
        """The bundle's own tests that do not come out as they say; empty when all pass."""
        failing = []
        for case in self._bundle.tests:
            found = self.outcome(case.mode, case.inputs).decision
            if found != case.decision:
                failing.append(f"{case.name}: {found}, not {case.decision}")
        return tuple(failing)


def _names(expressions: Iterable[str]) -> tuple[str, ...]:
    """The declared variables that occur in the conditions: handing over fewer is quicker."""
    words = {word for expression in expressions for word in re.findall(r"\w+", expression)}
    return tuple(sorted(words & VARIABLES.keys()))


def _value(program: Program, activation: Any) -> ConditionValue:
    try:
        value = program.compiled.eval(activation).value()
    except Exception as error:
        return program.error(_readable(error))
    if value is True:  # an error is a string, a number is not the same object as True
        return program.yes
    return program.no if value is False else program.error(str(value))
