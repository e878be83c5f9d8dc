"""Who may approve, asked of the user list at most once a second."""

import asyncio
import time

from domain.governance import APPROVER_ROLES
from infra.ports import Authenticator

_FRESH_S = 1.0


class People:
    def __init__(self, auth: Authenticator) -> None:
        self._auth = auth
        self._names: tuple[str, ...] = ()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def approvers(self) -> tuple[str, ...]:
        """The names of everybody who may approve, sorted, each once."""
        if time.monotonic() - self._asked_at < _FRESH_S:
            return self._names
        async with self._asking:  # one asks, the decisions of the same moment wait for it
            now = time.monotonic()
            if now - self._asked_at >= _FRESH_S:
                self._names = tuple(await self._auth.people(*APPROVER_ROLES))
                self._asked_at = now
            return self._names
