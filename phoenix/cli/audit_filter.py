"""Which events ``phoenix audit show`` prints."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

import typer

from domain.catalog import EVENT_TYPES
from domain.event import Event
from domain.intent import IntentQueued
from domain.recorded import Recorded


@dataclass(slots=True)
class Filter:
    """What all has to hold; "" and None ask for nothing. Show it every event, oldest first.

    A service's events are those that it wrote, those about it, and those of every intent that
    asked for it, which is known once the intent has been seen.
    """

    intent: str
    service: str
    actor: str
    type: str
    begin: datetime | None
    end: datetime | None
    after: int
    _intents: set[str] = field(default_factory=set)

    def keep(self, recorded: Recorded[Event]) -> bool:
        event = recorded.event
        ours = not self.service or self._concerns(recorded)
        return (
            ours
            and recorded.position > self.after
            and (not self.intent or recorded.correlation_id == self.intent)
            and (not self.actor or recorded.actor == self.actor)
            and (not self.type or event.short_type == self.type)
            and (self.begin is None or event.at >= self.begin)
            and (self.end is None or event.at <= self.end)
        )

    def _concerns(self, recorded: Recorded[Event]) -> bool:
        event = recorded.event
        if isinstance(event, IntentQueued) and event.intent.service_name == self.service:
            self._intents.add(event.intent_id)
        return (
            recorded.source == self.service
            or recorded.correlation_id in self._intents
            or self.service in _about(event)
        )


def type_named(text: str) -> str:
    """The event type that a person means: ``DecisionMade``, also with its version or context.

    Raises:
        BadParameter: there is no such event; names the nearest.
    """
    known = {kind.short_type for kind in EVENT_TYPES.values()}
    parts = [part for part in text.split(".") if part in known]
    if not text or parts:
        return parts[0] if parts else ""
    near = get_close_matches(text, known, n=3)
    hint = f", but {' and '.join(near)}" if near else " (docs/events.md lists them)"
    raise typer.BadParameter(f"no event is called {text!r}{hint}", param_hint="--type")


def _about(event: Event) -> Iterable[str]:
    named = [getattr(event, name, "") for name in ("service_name", "service")]
    return (*named, event.stream_key) if event.context == "service" else named
