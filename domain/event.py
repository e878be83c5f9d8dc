"""What every stored fact has in common, and the table of all event types.

Stored as   ``events.<context>.<key>``, CloudEvents type ``phoenix.<context>.<EventName>.v<n>``
Invariants  an event type is registered once; a stored event changes only by a new version.
"""

from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.errors import UnknownEventType

EVENT_TYPES: dict[str, type["Event"]] = {}


class Value(BaseModel):
    """A frozen value inside an event or a command; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Value):
    """A fact. ``at`` is the moment it was decided (UTC), taken from the command.

    A concrete event names its ``context``, the field that is its ``key`` and a literal ``type``.
    """

    context: ClassVar[str]
    key: ClassVar[str]
    full_type: ClassVar[str]  # the CloudEvents type, for example ``phoenix.intent.IntentQueued.v1``
    short_type: ClassVar[str]  # for people, without the version: ``IntentQueued``

    type: str
    at: AwareDatetime

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        annotation = cls.model_fields["type"].annotation
        if get_origin(annotation) is not Literal:
            return  # an abstract base of one context
        full = f"phoenix.{cls.context}.{get_args(annotation)[0]}"
        known = EVENT_TYPES.setdefault(full, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{full} is registered by {known.__module__}.{known.__qualname__}")
        cls.full_type = full
        cls.short_type = full.split(".")[2]

    @property
    def stream_key(self) -> str:
        """The last part of the subject: which aggregate this is about."""
        return str(getattr(self, self.key))

    @property
    def subject(self) -> str:
        return f"events.{self.context}.{self.stream_key}"


def event_class(full_type: str) -> type[Event]:
    """Return the class of a stored CloudEvents type.

    Raises:
        UnknownEventType: written by a newer version of the system, or not ours.
    """
    try:
        return EVENT_TYPES[full_type]
    except KeyError:
        raise UnknownEventType(full_type) from None
