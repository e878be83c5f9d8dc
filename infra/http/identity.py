"""Who sends a request, and the rule that every write needs to know.

A person is proven by ``Authorization: Bearer <token>`` or, where a service offers it, by its own
``authenticate(request)`` (the dashboard's session). Reads need nobody. A handler with
``opt={"reads": True}`` only computes an answer and counts as a read whatever its method.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Guard, Receive, Scope, Send

from infra.ports import Authenticator, Person

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
Connection = ASGIConnection[Any, Any, Any, Any]
OwnWay = Callable[[Request[Any, Any, Any]], Awaitable[Person | None]]


class Identity(ASGIMiddleware):
    """Puts the proven ``Person`` (or None) into ``scope["user"]``.

    A token that is not known is refused at once, also on reads: its sender believes to be somebody.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, auth: Authenticator, own_way: OwnWay | None = None) -> None:
        self._auth = auth
        self._own_way = own_way

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        scope["user"] = await self._person(Request(scope))
        await next_app(scope, receive, send)

    async def _person(self, request: Request[Any, Any, Any]) -> Person | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            person = await self._auth.person(token.strip())
            if person is None:
                raise _unauthorized("this token is not known here, or has been revoked")
            return person
        return await self._own_way(request) if self._own_way else None


def write_guard(*, open_writes: bool) -> Guard:
    """Return the guard of one service: writes need a person, unless it is open on loopback."""

    def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        if open_writes or connection.scope.get("method") in _SAFE or handler.opt.get("reads"):
            return
        if connection.scope.get("user") is None:
            raise _unauthorized("this request changes something: send Authorization: Bearer TOKEN")

    return guard


def person_of(request: Request[Any, Any, Any]) -> Person:
    """Return the person who sent this request.

    Raises:
        NotAuthorizedException: nobody is signed in.
    """
    person = request.scope.get("user")
    if not isinstance(person, Person):
        raise _unauthorized("send Authorization: Bearer TOKEN")
    return person


def _unauthorized(detail: str) -> NotAuthorizedException:
    return NotAuthorizedException(detail, headers={"WWW-Authenticate": "Bearer"})
