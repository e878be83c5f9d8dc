"""People and their tokens in the bucket ``PHOENIX_USERS``: an ``infra.ports.Authenticator``.

Stored      ``user.<hex of the name>``: JSON {name, roles, digest, revoked}; ``digest`` is the
            token's SHA-256, the token itself is shown once and kept nowhere.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from domain.errors import ConflictError, Invalid, NotFound
from infra.nats.kv import CasBucket
from infra.ports import Clock, Person

ROLES = frozenset({"admin", "approver", "operator", "reader"})
ADMIN = "admin"
TOKEN_FILE = "admin.token"
CACHE_S = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@+-]{0,63}")


class User(BaseModel):
    """A person as stored."""

    model_config = ConfigDict(frozen=True)

    name: str
    roles: frozenset[str]
    digest: str
    revoked: bool = False


class KvUsers:
    """Who a token belongs to. Answers are up to ``CACHE_S`` old, so a revocation acts by then."""

    def __init__(self, bucket: CasBucket, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock
        self._users: dict[str, User] = {}
        self._revisions: dict[str, int] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def person(self, token: str) -> Person | None:
        """The person a bearer token belongs to, or None."""
        if not token:
            return None
        digest = _digest(token)
        for user in (await self._current()).values():
            if hmac.compare_digest(user.digest, digest) and not user.revoked:
                return Person(user.name, user.roles)
        return None

    async def people(self, *roles: str) -> Sequence[str]:
        """The names of everyone not revoked, sorted; with roles, of those who have one of them."""
        wanted = frozenset(roles) or ROLES
        users = (await self._current()).values()
        return sorted(user.name for user in users if wanted & user.roles and not user.revoked)

    async def list(self) -> Sequence[User]:
        """Everyone, by name, as stored now."""
        self._read_at = None
        return sorted((await self._current()).values(), key=lambda user: user.name)

    async def add(self, name: str, roles: Iterable[str]) -> str:
        """Add a person (or give a revoked one a new token) and return the token: once.

        Raises:
            Invalid: the name or a role is not allowed.
            ConflictError: there is such a person.
        """
        wanted = frozenset(roles)
        if not _NAME.fullmatch(name):
            raise Invalid("name", "letters, digits, _ @ + -, at most 64")
        if not wanted or not wanted <= ROLES:
            raise Invalid("roles", f"one or more of {', '.join(sorted(ROLES))}")
        token = secrets.token_urlsafe(32)
        user = User(name=name, roles=wanted, digest=_digest(token))
        present = await self._bucket.get(_key(name))
        if present is None:
            await self._bucket.create(_key(name), _encoded(user))
        elif User.model_validate_json(present[0]).revoked:
            await self._bucket.update(_key(name), _encoded(user), present[1])
        else:
            raise ConflictError(name)
        self._read_at = None
        return token

    async def revoke(self, name: str) -> None:
        """Take a person's token away; the name stays known.

        Raises:
            NotFound: there is no such person.
        """
        present = await self._bucket.get(_key(name))
        if present is None:
            raise NotFound(f"no user {name}")
        user = User.model_validate_json(present[0])
        if not user.revoked:
            revoked = user.model_copy(update={"revoked": True})
            await self._bucket.update(_key(name), _encoded(revoked), present[1])
        self._read_at = None

    async def ensure_admin(self, data_dir: Path) -> Path:
        """Return the file with the local administrator's token; made once, mode 0600.

        A token file without its user (a new log in an old directory) is kept and made valid.
        """
        path = data_dir / TOKEN_FILE
        token = path.read_text().strip() if path.exists() else ""
        if not token:
            token = secrets.token_urlsafe(32)
            _write_private(path, token)
        person = await self.person(token)
        if person is None:
            roles = frozenset({"admin", "approver"})
            user = User(name=ADMIN, roles=roles, digest=_digest(token))
            await self._bucket.put(_key(ADMIN), _encoded(user))
            self._read_at = None
        return path

    async def _current(self) -> dict[str, User]:
        async with self._reading:  # one reads for all who ask at this moment
            return await self._read()

    async def _read(self) -> dict[str, User]:
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < CACHE_S:
            return self._users
        revisions = await self._bucket.keys()
        for key, revision in revisions.items():
            if self._revisions.get(key) != revision:
                present = await self._bucket.get(key)
                if present is not None:
                    self._users[key] = User.model_validate_json(present[0])
        self._users = {key: user for key, user in self._users.items() if key in revisions}
        self._revisions = revisions
        self._read_at = now
        return self._users


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key(name: str) -> str:
    # A key may not hold @ or +; hex keeps every name apart.
    return f"user.{name.encode().hex()}"


def _encoded(user: User) -> bytes:
    return orjson.dumps(user.model_dump(mode="json"))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    part.replace(path)
