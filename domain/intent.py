"""Intents: what somebody wants built, from the raw message to the end of its life.

Stream      ``events.intent.<intent_id>``; a refusal stands on ``events.intent.refused-<position>``,
            where ``position`` is the raw message's place in the log: exactly one answer a message.
Invariants  an intent is queued once; a terminal intent never changes again (later events on its
            stream are ignored by ``evolve``), except that a new attempt opens it again: ``retry``
            one that failed, and a person's override one that governance ended.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, assert_never
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from domain.canonical import canonical
from domain.errors import IllegalTransition, NotFound
from domain.event import Event, Value

Priority = Literal["critical", "high", "medium", "low"]
ServiceType = Literal["infrastructure", "sacred_loop", "domain", "api_gateway", "data"]
Kind = Literal["service", "component", "retire"]
Source = Literal["unified-chat", "api", "autonomous-agent", "cli", "nats"]
Status = Literal[
    "queued",
    "governance_check",
    "awaiting_approval",
    "spec_generation",
    "needs_detail",
    "building",
    "deploying",
    "completed",
    "failed",
    "rejected",
    "blocked",
    "cancelled",
    "expired",
]
RefusalCode = Literal[
    "malformed", "invalid", "too_large", "duplicate", "repeated", "queue_full", "id_in_use"
]
TERMINAL: frozenset[Status] = frozenset(
    ("completed", "failed", "rejected", "blocked", "cancelled", "expired")
)
RETRIABLE: frozenset[Status] = frozenset(("failed", "cancelled", "expired"))
# Ends that are a "no" of governance: an override that lets the intent go on opens it again.
GOVERNED: frozenset[Status] = frozenset(("blocked", "rejected", "expired"))
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")
PRIORITY_BY_TIER: tuple[Priority, ...] = ("critical", "high", "medium", "low")
TIER_BY_TYPE: dict[ServiceType, int] = {"infrastructure": 0, "sacred_loop": 1}
DEFAULT_TIER = 2

MAX_MESSAGE_BYTES = 256 * 1024

Slug = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", min_length=2, max_length=63)
]


def _storable(document: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError: a number in it that JSON cannot carry exactly: it would have no digest."""
    canonical(document)
    return document


Document = Annotated[dict[str, Any], AfterValidator(_storable)]
Feature = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Submission(Value):
    """The body of an intent as anyone may publish it (CONTRACTS section 3)."""

    intent_id: UUID | None = None
    service_name: Slug
    purpose: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=10, max_length=2000)
    ]
    key_features: tuple[Feature, ...] = Field(default=(), max_length=50)
    submitted_by: str = Field(default="", max_length=200)
    source: Source | None = None
    service_type: ServiceType = "domain"
    priority: Priority | None = None
    target_tier: int | None = Field(default=None, ge=0, le=3)
    kind: Kind = "service"
    dependencies: tuple[Slug, ...] = Field(default=(), max_length=50)
    port: int | None = Field(default=None, ge=1024, le=63535)
    blueprint_context: str = Field(default="", max_length=20_000)
    metadata: Document = Field(default_factory=dict)
    auto_build: bool = True
    auto_deploy: bool = True
    spec: Document | None = None


class Intent(Value):
    """A queued intent: a submission with every default settled."""

    intent_id: str
    service_name: Slug
    purpose: str
    key_features: tuple[str, ...] = ()
    submitted_by: str
    authenticated: bool = False  # submitted_by was proven by a token, not claimed by the body
    source: Source
    service_type: ServiceType
    priority: Priority
    target_tier: int
    kind: Kind = "service"
    dependencies: tuple[str, ...] = ()
    port: int | None = None
    blueprint_context: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    auto_build: bool = True
    auto_deploy: bool = True
    spec: dict[str, Any] | None = None


class RawIntent(Event):
    """A raw message on ``intents.>``: anyone's bytes, not written by this system."""

    context: ClassVar[str] = "raw"
    key: ClassVar[str] = "subject_name"

    type: Literal["RawIntent.v1"] = "RawIntent.v1"
    subject_name: str
    body: bytes


class _IntentEvent(Event):
    context: ClassVar[str] = "intent"
    key: ClassVar[str] = "intent_id"

    intent_id: str


class IntentQueued(_IntentEvent):
    type: Literal["IntentQueued.v1"] = "IntentQueued.v1"
    intent: Intent
    raw_position: int  # of the raw message this answers; for a retry, the same again
    attempt: int = 1


class IntentReprioritized(_IntentEvent):
    type: Literal["IntentReprioritized.v1"] = "IntentReprioritized.v1"
    priority: Priority


class IntentCancelled(_IntentEvent):
    type: Literal["IntentCancelled.v1"] = "IntentCancelled.v1"
    reason: str


class IntentCompleted(_IntentEvent):
    type: Literal["IntentCompleted.v1"] = "IntentCompleted.v1"
    outcome: str  # one sentence for people
    version: str = ""
    url: str = ""


class IntentFailed(_IntentEvent):
    type: Literal["IntentFailed.v1"] = "IntentFailed.v1"
    status: Literal["failed", "rejected", "blocked", "expired"]
    phase: str
    reason: str


class IntentRefused(Event):
    """The answer to a raw message that did not become an intent."""

    context: ClassVar[str] = "intent"
    key: ClassVar[str] = "refusal_id"

    type: Literal["IntentRefused.v1"] = "IntentRefused.v1"
    raw_position: int
    code: RefusalCode
    reason: str
    field: str = ""  # dotted path of the offending field, empty when it is none
    intent_id: str = ""  # as claimed by the message, where it could be read
    service_name: str = ""
    existing: str = ""  # the intent it repeats or duplicates

    @property
    def refusal_id(self) -> str:
        return f"refused-{self.raw_position}"


IntentEvent = Annotated[
    IntentQueued | IntentReprioritized | IntentCancelled | IntentCompleted | IntentFailed,
    Field(discriminator="type"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprioritize:
    intent_id: str
    priority: Priority
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    intent_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    intent_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    intent_id: str
    outcome: str
    version: str
    url: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    intent_id: str
    status: Literal["failed", "rejected", "blocked", "expired"]
    phase: str
    reason: str
    at: datetime


Command = Reprioritize | Cancel | Retry | Finish | Fail


@dataclass(frozen=True, slots=True)
class State:
    queued: IntentQueued | None = None
    priority: Priority = "medium"
    ended: Literal["", "completed", "failed", "rejected", "blocked", "cancelled", "expired"] = ""


INITIAL = State()


def evolve(state: State, event: IntentEvent) -> State:
    match event:
        case IntentQueued():
            return State(queued=event, priority=event.intent.priority)
        case _ if state.ended:
            return state  # the first end is the one that counts
        case IntentReprioritized(priority=priority):
            return replace(state, priority=priority)
        case IntentCancelled():
            return replace(state, ended="cancelled")
        case IntentCompleted():
            return replace(state, ended="completed")
        case IntentFailed(status=status):
            return replace(state, ended=status)
        case _:
            assert_never(event)


def decide(command: Command, state: State) -> tuple[IntentEvent, ...]:
    """Return what to record; ``()`` when it is already so.

    Raises:
        NotFound: there is no such intent.
        IllegalTransition: the intent has ended (or, for a retry, has not failed).
    """
    if state.queued is None:
        raise NotFound(f"no intent {command.intent_id}")
    match command:
        case Reprioritize():
            return _reprioritize(command, state)
        case Cancel():
            return _cancel(command, state)
        case Retry():
            return _retry(command, state, state.queued)
        case Finish():
            return _finish(command, state)
        case Fail():
            return _fail(command, state)
        case _:
            assert_never(command)


def _reprioritize(command: Reprioritize, state: State) -> tuple[IntentEvent, ...]:
    _still_open(state)
    if command.priority == state.priority:
        return ()
    event = IntentReprioritized(
        intent_id=command.intent_id, at=command.at, priority=command.priority
    )
    return (event,)


def _cancel(command: Cancel, state: State) -> tuple[IntentEvent, ...]:
    if state.ended == "cancelled":
        return ()
    _still_open(state)
    return (IntentCancelled(intent_id=command.intent_id, at=command.at, reason=command.reason),)


def _retry(command: Retry, state: State, queued: IntentQueued) -> tuple[IntentEvent, ...]:
    if not state.ended:
        return ()
    if state.ended not in RETRIABLE:
        raise IllegalTransition(f"a {state.ended} intent cannot be retried")
    return (queued.model_copy(update={"at": command.at, "attempt": queued.attempt + 1}),)


def _finish(command: Finish, state: State) -> tuple[IntentEvent, ...]:
    if state.ended:
        return ()  # cancelled or failed meanwhile: the first end counts
    event = IntentCompleted(
        intent_id=command.intent_id,
        at=command.at,
        outcome=command.outcome,
        version=command.version,
        url=command.url,
    )
    return (event,)


def _fail(command: Fail, state: State) -> tuple[IntentEvent, ...]:
    if state.ended:
        return ()
    event = IntentFailed(
        intent_id=command.intent_id,
        at=command.at,
        status=command.status,
        phase=command.phase,
        reason=command.reason,
    )
    return (event,)


def _still_open(state: State) -> None:
    if state.ended:
        raise IllegalTransition(f"the intent has ended: {state.ended}")
