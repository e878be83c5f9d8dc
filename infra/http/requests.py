"""What handlers take from a request: its command id, and the position it wants to see."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from domain.errors import Invalid
from infra.ports import Reading

_NAMESPACE = UUID("0b3c4a52-7f2e-5d7e-8a40-8a86f3f4a1de")
_KEY_MAX = 200
POSITION_HEADER = "X-Log-Position"


def now() -> datetime:
    return datetime.now(UTC)


def command_id(request: Request[Any, Any, Any]) -> str:
    """Return the id of this command: the same for a repeat with the same ``Idempotency-Key``.

    The key counts for one person, method and path, so that two people cannot meet in one.
    """
    key = request.headers.get("idempotency-key", "")
    if not key:
        return str(uuid4())
    if len(key) > _KEY_MAX:
        raise Invalid("Idempotency-Key", f"may have at most {_KEY_MAX} characters")
    person = getattr(request.scope.get("user"), "name", "")
    return str(uuid5(_NAMESPACE, f"{person} {request.method} {request.url.path} {key}"))


class ReadYourWrites(ASGIMiddleware):
    """A request with ``?after=<position>`` (or ``X-Log-Position``) waits for the views."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, views: Reading, *, timeout_s: float = 5.0) -> None:
        self._views = views
        self._timeout_s = timeout_s

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if position := _wanted(Request(scope)):
            await self._views.reach(position, timeout_s=self._timeout_s)
        await next_app(scope, receive, send)


def _wanted(request: Request[Any, Any, Any]) -> int:
    value = request.query_params.get("after") or request.headers.get(POSITION_HEADER)
    if not value:
        return 0
    try:
        return int(value)
    except ValueError:
        raise Invalid("after", "must be a log position, a whole number") from None
