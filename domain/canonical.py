"""Canonical JSON (RFC 8785) and the digests taken from it: the same value, the same bytes."""

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring as _string
from typing import Any

MAX_SAFE_INTEGER = 2**53 - 1  # beyond it a JSON number is not the same number everywhere


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of a JSON value (str keys; int, float, str, bool, None, list, dict).

    Raises:
        ValueError: a number that JSON cannot carry exactly (NaN, infinity, a huge integer).
        TypeError: something that is not JSON.
    """
    return _text(value).encode()


def digest(value: Any) -> str:
    """Return the hex SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _text(value: Any) -> str:
    # By the exact type first: nearly everything in a document is one of these.
    kind = type(value)
    if kind is str:
        return _string(value)
    if kind is dict:
        pairs = _names(tuple(value))
        return "{" + ",".join([name + _text(value[key]) for key, name in pairs]) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is float:
        return _number(value)
    return _derived(value)


def _derived(value: Any) -> str:
    """Whole numbers, and what only behaves like one of the types of JSON."""
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise ValueError(f"integer {value} is too large for JSON")
        return str(int(value))
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return _text(dict(value))
    if isinstance(value, list | tuple):
        return _text(list(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


@lru_cache(maxsize=128)  # of the fields of a model, which come again and again
def _names(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each key with how its pair begins, by UTF-16 code units as RFC 8785 wants."""
    ordered = sorted(keys, key=lambda key: str.encode(key, "utf-16-be"))
    return tuple((key, f"{_string(key)}:") for key in ordered)


def _number(value: float) -> str:
    """Write a double as ECMAScript does: shortest digits, exponent below 1e-6 and from 1e21."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    if 0 < point <= 21:
        if len(digits) <= point:
            return digits.ljust(point, "0")
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{rest}e{point - 1:+d}"
