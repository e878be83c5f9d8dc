"""A transcoder that keeps what plain JSON drops: tuples and subclasses of the basic types.

Chosen with ``TRANSCODER_TOPIC=infra.eventsourcing_jetstream.transcoder:ExactTranscoder``. What
the library's own ``JSONTranscoder`` has written is read as before.
"""

from typing import Any

import orjson
from eventsourcing.persistence import JSONTranscoder, Transcoding, TranscodingNotRegisteredError

_PLAIN = (str, int, float, bool, type(None))


class TupleAsList(Transcoding):
    type = tuple
    name = "tuple_as_list"

    def encode(self, obj: tuple[Any, ...]) -> list[Any]:
        return list(obj)

    def decode(self, data: list[Any]) -> tuple[Any, ...]:
        return tuple(data)


class ExactTranscoder(JSONTranscoder):
    """Every value comes back with the type that it had."""

    def __init__(self) -> None:
        super().__init__()
        self.register(TupleAsList())

    def encode(self, obj: Any) -> bytes:
        """Raises TranscodingNotRegisteredError: a type has no transcoding."""
        plain = self._plain(obj)
        try:
            return orjson.dumps(plain)
        except orjson.JSONEncodeError:  # a whole number of more than 64 bits, a lone surrogate
            return super().encode(plain)

    def _plain(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in _PLAIN:
            return obj
        if kind is dict:
            return {key: self._plain(value) for key, value in obj.items()}
        if kind is list:
            return [self._plain(value) for value in obj]
        transcoding = self.types.get(kind)
        if transcoding is None:
            raise TranscodingNotRegisteredError(
                f"Object of type {kind} is not serializable. Please define "
                "and register a custom transcoding for this type."
            )
        return {"_type_": transcoding.name, "_data_": self._plain(transcoding.encode(obj))}
