"""Conditions in CEL, checked before they are adopted and evaluated without ever guessing.

An evaluation error arrives from the library as an ordinary value whose ``value()`` is a non-empty
string, so that its truth would be True: only a result of type BOOL counts, all else is an error.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from domain.errors import Invalid
from domain.governance_events import ConditionValue, Mode, Policy
from domain.policy import VARIABLES, Bundle, Inputs, InputType, conclude

SHIPPED = Path(__file__).parent / "assets" / "policies" / "shipped.json"
MODES: tuple[Mode, ...] = ("supervised", "autonomous", "aggressive")

_TYPES: dict[InputType, Any] = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "list": cel.Type.List(cel.Type.STRING),
}
_ENV = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in VARIABLES.items()})
_BOOL = cel.Type.BOOL

Program = tuple[str, str, Any]  # policy_id, expression, compiled


def shipped() -> Bundle:
    """The policies and modes this product comes with."""
    return Bundle.model_validate_json(SHIPPED.read_bytes())


def check_expression(expression: str, *, field: str = "expression") -> None:
    """Compile one condition against the declared variables.

    Raises:
        Invalid: a syntax error, an unknown variable, a wrong type, or not a yes-or-no question.
    """
    _compiled(expression, field)


def check_policies(policies: Iterable[Policy]) -> None:
    """Raises: Invalid: with the path of the first condition that does not compile."""
    for policy in policies:
        for index, expression in enumerate(policy.conditions):
            _compiled(expression, f"policy.conditions.{index}")


def _compiled(expression: str, field: str) -> Any:
    try:
        compiled = _ENV.compile(expression)
    except Exception as error:  # the library raises plain RuntimeError, with the place inside
        raise Invalid(field, _readable(error)) from error
    if compiled.return_type() != _BOOL:
        raise Invalid(field, f"is {compiled.return_type().name()}, not a condition (BOOL)")
    return compiled


def _readable(error: Exception) -> str:
    text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    return text.strip() or type(error).__name__


class CelConditions:
    """A bundle compiled once; safe to share between tasks, it keeps no state."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises: Invalid: a condition of the bundle does not compile."""
        check_policies(bundle.policies)
        self._bundle = bundle
        self._digest = bundle.digest
        self._programs: dict[Mode, list[Program]] = {
            mode: [
                (policy.policy_id, expression, _ENV.compile(expression))
                for policy in bundle.of(mode)
                for expression in policy.conditions
            ]
            for mode in MODES
        }
        self._policies = {mode: bundle.of(mode) for mode in MODES}

    @property
    def bundle(self) -> Bundle:
        return self._bundle

    @property
    def digest(self) -> str:
        return self._digest

    def policies(self, mode: Mode) -> tuple[Policy, ...]:
        """The mode's policies, highest priority first."""
        return self._policies[mode]

    def evaluate(self, mode: Mode, inputs: Inputs) -> tuple[ConditionValue, ...]:
        """Every condition of the mode's policies with its value, or with an error and None."""
        data = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in inputs.items()
        }
        try:
            activation = _ENV.Activation(data)
        except Exception as error:
            return tuple(
                ConditionValue(policy_id=p, expression=e, value=None, error=_readable(error))
                for p, e, _ in self._programs[mode]
            )
        return tuple(_value(program, activation) for program in self._programs[mode])

    def failing_tests(self) -> tuple[str, ...]:
        """The bundle's own tests that do not come out as they say; empty when all pass."""
        failing = []
        for case in self._bundle.tests:
            values = self.evaluate(case.mode, case.inputs)
            found = conclude(self._policies[case.mode], values).decision
            if found != case.decision:
                failing.append(f"{case.name}: {found}, not {case.decision}")
        return tuple(failing)


def _value(program: Program, activation: Any) -> ConditionValue:
    policy_id, expression, compiled = program
    try:
        result = compiled.eval(activation)
        kind = result.type()
        value = result.value()
    except Exception as error:
        return ConditionValue(
            policy_id=policy_id, expression=expression, value=None, error=_readable(error)
        )
    if kind == _BOOL and isinstance(value, bool):
        return ConditionValue.model_construct(
            policy_id=policy_id, expression=expression, value=value, error=""
        )
    return ConditionValue(
        policy_id=policy_id, expression=expression, value=None, error=str(value)[:500]
    )
