"""Names on the server: one stream per application and purpose, one subject per originator.

Stream      ``es-<application>-<purpose>``; purposes: events, snapshots, tracking, dcb, keys
Subjects    ``es.<application>.<purpose>.<originator>``; ``es.<application>.processed.<upstream>``
            for a process application's position, in the stream of its events
Invariants  two names never meet: what a subject cannot hold is written as ``=XX`` (UTF-8, hex),
            and a token of more than 200 bytes as ``==`` and its SHA-256.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

EVENTS = "events"
TRACKING = "tracking"
DCB = "dcb"
KEYS = "keys"
DEFAULT_APPLICATION = "default"
TOKEN_MAX = 200

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Names:
    """What one application's messages of one purpose are called."""

    application: str
    purpose: str

    @property
    def stream(self) -> str:
        # The last "-" separates: a purpose never holds one.
        return f"es-{token(self.application)}-{token(self.purpose).replace('-', '=2D')}"

    @property
    def subjects(self) -> list[str]:
        """What the stream takes."""
        prefixes = [self.purpose]
        if self.purpose == EVENTS:
            prefixes += ["processed", "values"]
        elif self.purpose == TRACKING:
            prefixes.append("values")
        elif self.purpose == DCB:
            return [self.dcb]
        return [f"{self._of(prefix)}.>" for prefix in prefixes]

    @property
    def all(self) -> str:
        """The pattern of every message that is an event."""
        return f"{self._of(self.purpose)}.>"

    @property
    def dcb(self) -> str:
        return self._of(DCB)

    def originator(self, originator_id: UUID | str) -> str:
        return f"{self._of(self.purpose)}.{token(str(originator_id))}"

    def tracked(self, upstream: str) -> str:
        """Where the position in another application's events is kept."""
        prefix = TRACKING if self.purpose == TRACKING else "processed"
        return f"{self._of(prefix)}.{token(upstream)}"

    def value(self, key: str) -> str:
        """Where a view keeps one value."""
        return f"{self._of('values')}.{token(key)}"

    def _of(self, prefix: str) -> str:
        return _prefix(self.application, prefix)


@lru_cache(maxsize=1024)
def _prefix(application: str, prefix: str) -> str:
    return f"es.{token(application)}.{token(prefix)}"


def token(text: str) -> str:
    """``text`` as one token of a subject."""
    if _PLAIN.fullmatch(text) and len(text) <= TOKEN_MAX:
        return text
    escaped = _OTHER.sub(lambda found: "".join(f"={b:02X}" for b in found[0].encode()), text)
    if len(escaped) > TOKEN_MAX:
        return f"=={hashlib.sha256(text.encode()).hexdigest()}"
    return escaped or "="
