"""The stored samples: one JSON line each, {subject, body}."""

from pathlib import Path

import orjson

from domain.catalog import EVENT_TYPES, MODULES
from domain.event import Event

FILE = Path(__file__).parent / "samples.jsonl"


def read() -> list[tuple[str, str, bytes]]:
    """(CloudEvents type, subject, body) of every sample."""
    if not FILE.exists():
        return []
    found = []
    for line in FILE.read_bytes().splitlines():
        stored = orjson.loads(line)
        body = stored["body"].encode()
        found.append((orjson.loads(body)["type"], stored["subject"], body))
    return found


def known() -> dict[str, type[Event]]:
    """The platform's event types that are stored (a raw intent is anyone's bytes)."""
    modules = {module.__name__ for module in MODULES}
    return {
        full_type: cls
        for full_type, cls in EVENT_TYPES.items()
        if cls.__module__ in modules and cls.context != "raw"
    }
