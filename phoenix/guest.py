"""What a generated service sees of the platform: the log to read, whom a token belongs to, no more.

Server      its context's log and objects use a connection without a service's rights: the server
            refuses a write to the log, to a lease or to an artifact, whoever sends it there.
Process     the host's own connection lives in the same process, and Python hides nothing from code
            that searches for it, nor the credentials file from a process of the same user. This
            keeps a service from writing by mistake; code that is not trusted needs another user.
Outside     with ``PHOENIX_NATS_URL`` every connection signs in with the same credentials, and only
            the refusals in ``ReadOnlyLog`` are left.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NoReturn

from domain.errors import LogRefused
from infra.ports import Append, Authenticator, Fence, Guard, Meta, Outcome, Person, Write
from infra.settings import Settings
from phoenix.gate import LogReads
from phoenix.reference import names
from phoenix.spec import InstanceSpec


def is_guest(spec: InstanceSpec) -> bool:
    """Whether this is a generated service: deployed from an artifact, and no part of the system."""
    return bool(spec.artifact) and spec.reference not in names()


def without_secrets(settings: Settings) -> Settings:
    """Return what a guest may know; its environment loses the same."""
    os.environ.pop("ANTHROPIC_API_KEY", None)
    return settings.model_copy(update={"anthropic_api_key": None})


class ReadOnlyLog(LogReads):
    """Implements ``infra.ports.EventLog`` without its writing half."""

    async def append(
        self, writes: Sequence[Write], *, meta: Meta, fence: Fence | Guard | None = None
    ) -> tuple[int, ...]:
        """Raises: LogRefused: always."""
        _refuse()

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        """Raises: LogRefused: always."""
        _refuse()

    async def submit(self, body: bytes, *, person: str = "", message_id: str = "") -> int:
        """Raises: LogRefused: always; intents come from people and the services they sign in to."""
        _refuse()


class Persons:
    """Implements ``infra.ports.Authenticator`` and nothing that changes who may do what."""

    def __init__(self, users: Authenticator) -> None:
        self._users = users

    async def person(self, token: str) -> Person | None:
        return await self._users.person(token)

    async def people(self, *roles: str) -> Sequence[str]:
        return await self._users.people(*roles)


def _refuse() -> NoReturn:
    raise LogRefused(
        "a generated service keeps its data in a log of its own, not in the platform's"
    )
