"""Sign-in with a cookie: it holds the token encrypted, so that a revoked token ends the session.

Key         one file in the data directory, shared by the instances on this host.
Safety      HttpOnly, SameSite=Strict, twelve hours. Cookies do not know ports, so another service
            on this host counts as the same site: a write is taken only from a page of this very
            origin, and a form must also carry the secret that its session holds.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from litestar import Request
from litestar.datastructures import Cookie

from infra.ports import Authenticator, Person

LIFETIME_S = 12 * 3600
KEY_FILE = Path("keys") / "dashboard-session.key"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_STATE = "dashboard_session"
AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. ``csrf`` is what its forms must carry; ``token`` is the person's own."""

    person: Person
    csrf: str
    token: str = field(repr=False)


class Sessions:
    """Makes and reads the cookie."""

    def __init__(self, auth: Authenticator, data_dir: Path, *, port: int) -> None:
        self._auth = auth
        self._fernet = Fernet(_shared_key(data_dir / KEY_FILE))
        # Cookies are shared by all ports of a host: two systems on it need two names.
        self.cookie = f"phoenix_session_{port}"

    async def sign_in(self, token: str) -> Cookie | None:
        """Return the cookie of a new session, or None when the token is not known."""
        if await self._auth.person(token) is None:
            return None
        content = json.dumps({"token": token, "csrf": secrets.token_urlsafe(24)})
        value = self._fernet.encrypt(content.encode()).decode()
        return self._cookie(value, max_age=LIFETIME_S)

    def sign_out(self) -> Cookie:
        return self._cookie("", max_age=0)

    async def authenticate(self, request: AnyRequest) -> Person | None:
        """The person of this request's session; None without one that counts here."""
        session = await self._read(request)
        if session is None:
            return None
        if request.method not in _SAFE and not same_origin(request.headers):
            return None
        request.scope["state"][_STATE] = session
        return session.person

    def of(self, request: AnyRequest) -> Session | None:
        """The session that ``authenticate`` found."""
        found = request.scope["state"].get(_STATE)
        return found if isinstance(found, Session) else None

    async def _read(self, request: AnyRequest) -> Session | None:
        value = request.cookies.get(self.cookie, "")
        if not value:
            return None
        try:
            content = json.loads(self._fernet.decrypt(value.encode(), ttl=LIFETIME_S))
        except (InvalidToken, ValueError):
            return None
        person = await self._auth.person(content["token"])
        return Session(person, content["csrf"], content["token"]) if person else None

    def _cookie(self, value: str, *, max_age: int) -> Cookie:
        return Cookie(
            key=self.cookie,
            value=value,
            path="/",
            max_age=max_age,
            httponly=True,
            samesite="strict",
        )


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a write comes from a page of this origin, or from no page at all.

    Every browser names the origin of a cross-site write; a program that keeps cookies names none.
    """
    origin = headers.get("origin")
    if origin is not None:
        return origin.split("://", 1)[-1] == headers.get("host")
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def matches(session: Session, given: str) -> bool:
    """Whether a form carries its session's secret."""
    return secrets.compare_digest(session.csrf.encode(), given.encode())


def _shared_key(path: Path) -> bytes:
    """The key in the file, made on first use; several instances may ask at once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent)  # 0600 from the start
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
        try:
            os.link(part, path)  # unlike a rename, this leaves the first one's key in place
        except FileExistsError:
            pass
        finally:
            os.unlink(part)
    return path.read_bytes()
