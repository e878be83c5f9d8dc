"""Stored events as messages: CloudEvents 1.0, structured, one JSON object a message.

State that is plain JSON is stored as ``data`` and can be read with ``nats sub``; compressed or
encrypted state is ``data_base64``. Either way the same bytes come back: JSON is only chosen when
writing it again gives the very same bytes.
"""

import base64
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from eventsourcing.persistence import DataError, Notification, StoredEvent

from infra.nats.writer import Message, header_lines

CONTENT_TYPE = "application/cloudevents+json"
_HEADERS = header_lines({"Content-Type": CONTENT_TYPE})
TRACKING_TYPE = "eventsourcing.persistence:Tracking"
VALUE_TYPE = "value"


class Decoded(NamedTuple):
    """``id`` is the message's own, by which a writer knows it again."""

    id: str
    event: StoredEvent


def message(subject: str, body: bytes, expected: int | None) -> Message:
    """``expected``: the position that the subject's last message must have; None for any."""
    return Message(subject, body, expected=expected, headers=_HEADERS)


def encode(event: StoredEvent, *, id: str, source: str) -> bytes:
    fields: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": event.topic,
        "subject": str(event.originator_id),
        "originatorversion": event.originator_version,
    }
    if not isinstance(event.originator_id, UUID):
        fields["originatortype"] = "text"
    put_state(fields, event.state)
    return orjson.dumps(fields)


def decode(body: bytes) -> Decoded:
    """Raises DataError: this is not a stored event."""
    fields = parse(body)
    return Decoded(str(fields.get("id", "")), StoredEvent(*_event(fields)))


def notification(position: int, body: bytes) -> Notification:
    """Raises DataError: this is not a stored event."""
    return Notification(*_event(parse(body)), id=position)


def encode_tracking(upstream: str, notification_id: int, *, id: str, source: str) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": TRACKING_TYPE,
            "subject": upstream,
            "datacontenttype": "application/json",
            "data": {"notification_id": notification_id},
        }
    )


def encode_value(key: str, value: bytes, *, id: str, source: str) -> bytes:
    fields: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": VALUE_TYPE,
        "subject": key,
    }
    put_state(fields, value)
    return orjson.dumps(fields)


def parse(body: bytes) -> dict[str, Any]:
    """Raises DataError: not a JSON object."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DataError(f"a stored message is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise DataError("a stored message is not a JSON object")
    return fields


def message_id(body: bytes) -> str:
    return str(parse(body).get("id", ""))


def put_state(fields: dict[str, Any], state: bytes) -> None:
    if _is_canonical(state):
        fields["datacontenttype"] = "application/json"
        fields["data"] = orjson.Fragment(state)
    else:
        fields["data_base64"] = base64.b64encode(state).decode()


def get_state(fields: dict[str, Any]) -> bytes:
    encoded = fields.get("data_base64")
    return orjson.dumps(fields["data"]) if encoded is None else base64.b64decode(encoded)


def _is_canonical(state: bytes) -> bool:
    if state[:1] not in (b"{", b"["):
        return False
    try:
        return orjson.dumps(orjson.loads(state)) == state
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False


def _event(fields: dict[str, Any]) -> tuple[UUID | str, int, str, bytes]:
    try:
        text = fields["subject"]
        originator_id = text if fields.get("originatortype") == "text" else UUID(text)
        return originator_id, fields["originatorversion"], fields["type"], get_state(fields)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"not a stored event: {error!r}") from error
