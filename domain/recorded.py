"""An event as it stands in the log."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.event import Event

E = TypeVar("E", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Generic[E]):
    """An event with its place in the log.

    ``position`` is the stream sequence: 1-based, grows, may skip for one reader's filter.
    ``correlation_id`` is the intent all this belongs to, ``causation_id`` what led to this event
    (an event id, or a position for raw intents), ``epoch`` the writing leader's term (0: none).
    """

    position: int
    event: E
    subject: str
    id: str
    actor: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    epoch: int = 0
    source: str = ""
    traceparent: str = ""
