"""Which running services need which: asked of every intent, so answered from memory.

Invariants  a service is not its own dependent, also where dependencies go in circles.
"""

from collections.abc import Iterable

from domain.governance_events import BlastRadius

NOBODY = BlastRadius()


class Dependents:
    """Declared dependencies, looked up from their other end. Mutable: one holder keeps it."""

    def __init__(self) -> None:
        self._needs: dict[str, frozenset[str]] = {}
        self._needed_by: dict[str, set[str]] = {}

    def learn(self, service: str, needs: Iterable[str]) -> None:
        """A service runs and needs these, and nothing else any more; none: or it ended."""
        before, now = self._needs.pop(service, frozenset[str]()), frozenset(needs)
        for name in before - now:
            self._needed_by[name].discard(service)
        for name in now - before:
            self._needed_by.setdefault(name, set()).add(service)
        if now:
            self._needs[service] = now

    def of(self, service: str) -> BlastRadius:
        """Everybody who needs it, directly or through others."""
        direct = self._needed_by.get(service)
        if not direct:
            return NOBODY
        found, left = {service, *direct}, list(direct)
        while left:
            more = self._needed_by.get(left.pop(), set()) - found
            found |= more
            left.extend(more)
        direct = direct - {service}
        further = found - direct - {service}
        return BlastRadius(direct=tuple(sorted(direct)), further=tuple(sorted(further)))
