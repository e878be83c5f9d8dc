"""CEL in SPECs: does a rule compile, and does it hold for an example record."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

_PLACE = re.compile(r"^INVALID_ARGUMENT: |ERROR: <input>:\d+:\d+: ")


def check(text: str, variables: tuple[str, ...]) -> str | None:
    """Return what is wrong with a condition over these variables; None when it compiles."""
    try:
        compiled = _compiled(text, variables)
    except Exception as error:  # the library raises plain RuntimeError, with the place inside
        return _PLACE.sub("", str(error).partition("\n")[0])
    kind = compiled.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        return f"is {kind.name()}, not a condition (BOOL)"
    return None


def judge(text: str, bindings: Mapping[str, Any]) -> bool | None:
    """Return what a condition comes to; None when it cannot be evaluated."""
    try:
        env = _env(tuple(bindings))
        result = _compiled(text, tuple(bindings)).eval(env.Activation(dict(bindings)))
        value = result.value()
        return value if result.type() == cel.Type.BOOL and isinstance(value, bool) else None
    except Exception:  # an example that the rule cannot be asked about proves nothing
        return None


@lru_cache(maxsize=64)
def _env(variables: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))


@lru_cache(maxsize=1024)
def _compiled(text: str, variables: tuple[str, ...]) -> Any:
    return _env(variables).compile(text)
