"""How long to wait before a model is asked again, by what its refusal to answer says."""

import email.utils
import time
from typing import Any

_FIRST_WAIT_S, _WAIT_MAX_S = 0.5, 8.0
_PASSING = frozenset((408, 409, 429))  # and whatever is 500 or more


def passes(error: Any) -> bool:
    """May another try succeed? ``error``: an ``AnthropicError``."""
    response = getattr(error, "response", None)
    if response is None:  # no answer at all; what the SDK made nothing of has neither
        return hasattr(error, "request")
    told = response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return bool(told == "true")
    return response.status_code in _PASSING or response.status_code >= 500


def wait_s(error: Any, attempt: int) -> float:
    """Seconds until the next try: what the other side asks for, else twice as long each time."""
    asked = asked_for_s(error)
    return asked if asked > 0 else min(_FIRST_WAIT_S * 2 ** (attempt - 1), _WAIT_MAX_S)


def asked_for_s(error: Any) -> float:
    """Seconds that the answer asks to wait (``retry-after``); 0 when it asks for none."""
    response = getattr(error, "response", None)
    if response is None:
        return 0.0
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(response.headers[name]) * unit_s)
        except (KeyError, ValueError):
            continue
    at = email.utils.parsedate_tz(response.headers.get("retry-after", ""))
    return max(0.0, email.utils.mktime_tz(at) - time.time()) if at else 0.0
