"""An event as it stands in the log."""

from typing import Generic, NamedTuple, TypeVar

from domain.event import Event

E = TypeVar("E", bound=Event, covariant=True)


class Recorded(NamedTuple, Generic[E]):
    """An event with its place in the log. Name the fields when you make one.

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
