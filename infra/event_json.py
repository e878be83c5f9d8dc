"""An event as people and programs read it, in streams and from the command line."""

from typing import Any

from domain.event import Event
from domain.intent import RawIntent
from domain.recorded import Recorded


def as_json(recorded: Recorded[Event]) -> dict[str, Any]:
    """An event for people and programs: its envelope's facts and its data."""
    event = recorded.event
    data = (
        {"body": event.body[:2000].decode(errors="replace")}
        if isinstance(event, RawIntent)
        else event.model_dump(mode="json", exclude={"type", "at"})
    )
    return {
        "position": recorded.position,
        "id": recorded.id,
        "type": event.full_type,
        "subject": recorded.subject,
        "time": event.at.isoformat(),
        "actor": recorded.actor,
        "correlationid": recorded.correlation_id,
        "causationid": recorded.causation_id,
        "epoch": recorded.epoch,
        "data": data,
    }
