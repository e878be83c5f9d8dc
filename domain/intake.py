"""The door: what becomes of one raw message on ``intents.>``.

Invariants  every raw message gets exactly one answer, ``IntentQueued`` or ``IntentRefused`` with
            the reason and the message's position; whatever the bytes are, nothing is raised.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from domain.ids import name_id
from domain.intent import (
    DEFAULT_TIER,
    MAX_MESSAGE_BYTES,
    PRIORITY_BY_TIER,
    TIER_BY_TYPE,
    Intent,
    IntentQueued,
    IntentRefused,
    RawIntent,
    RefusalCode,
    Source,
    Submission,
)
from domain.view import made

INTENT_NAMESPACE = UUID("5d1e0f6c-64cf-5f0e-9d0e-3f5b2ce1c9a1")
PERSON_PREFIX = "intents.by."  # only services may publish there: the identity is proven
WORD_CHARS = 30  # longer ones are no words that come again
_WORD = re.compile(r"[^\W_]+")
WISH_BITS = 2048
SIMILARITY_MAX = 0.90  # name and purpose together; above it two open intents are one wish


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenIntent:
    """What the door knows of an intent that is not finished; equal to itself only."""

    intent_id: str
    service_name: str
    wish: "Wish"

    @classmethod
    def of(cls, intent: Intent) -> "OpenIntent":
        return cls.asking(intent.intent_id, intent.service_name, intent.purpose)

    @classmethod
    def asking(cls, intent_id: str, service_name: str, purpose: str) -> "OpenIntent":
        wish = wish_of(service_name, purpose)
        return cls(intent_id=intent_id, service_name=service_name, wish=wish)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an intent asks for, as it is compared: name and purpose without case, punctuation and
    word order."""

    text: str  # the words, a space between them
    size: int  # letter triples in them, each as often as it is there
    bits: int  # the set of them, of ``WISH_BITS``: a bit each, which several may share

    def triples(self) -> Counter[tuple[str, str, str]]:
        return Counter(chain.from_iterable(map(_triples, self.text.split())))


class Open(Protocol):
    """Very many open intents (``domain.open_intents``)."""

    def __len__(self) -> int: ...

    def twin(self, service_name: str, purpose: str) -> OpenIntent | None:
        """An open intent that asks for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The queue as it stands: the open intents, and how many there may be."""

    open: tuple[OpenIntent, ...] | Open
    capacity: int

    def twin(self, service_name: str, purpose: str) -> OpenIntent | None:
        """An open intent that asks for the same: same name, or name and purpose too alike."""
        if isinstance(self.open, tuple):
            return find_duplicate(service_name, purpose, self.open)
        return self.open.twin(service_name, purpose)


def judge(
    raw: RawIntent,
    *,
    position: int,
    queue: Queue,
    known: Callable[[str], Intent | None],
    at: datetime,
) -> IntentQueued | IntentRefused:
    """Return the one answer to a raw message.

    ``known`` gives the intent that is already queued under an id, if any.
    """
    refusal = _Refusal(raw, position, at)
    if len(raw.body) > MAX_MESSAGE_BYTES:
        size = f"{len(raw.body)} bytes, at most {MAX_MESSAGE_BYTES} are allowed"
        return refusal.of("too_large", f"the message has {size}")
    try:
        submission = Submission.model_validate_json(raw.body)
    except ValidationError as error:
        return _unusable(raw.body, error, refusal)
    intent = settle(submission, raw=raw, position=position)
    refused = _unplaced(intent, refusal, queue, known(intent.intent_id))
    return refused or queued(intent, raw_position=position, at=at)


def _unusable(body: bytes, error: ValidationError, refusal: "_Refusal") -> IntentRefused:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as unread:
        return refusal.of("malformed", f"the message is not JSON: {unread}")
    if not isinstance(read, dict):
        return refusal.of("malformed", f"the message is a JSON {_kind(read)}, not an object")
    field, message = first_error(error)
    return refusal.of("invalid", message, field=field)


def _unplaced(
    intent: Intent, refusal: "_Refusal", queue: Queue, known: Intent | None
) -> IntentRefused | None:
    """Why there is no place for it in the queue; None where there is."""
    if known is not None:
        if known == intent:
            return refusal.of("repeated", "this intent is known", existing=known.intent_id)
        reason = "the intent_id belongs to an intent with other content"
        return refusal.of("id_in_use", reason, field="intent_id", existing=known.intent_id)
    if twin := queue.twin(intent.service_name, intent.purpose):
        reason = (
            f"an open intent for {twin.service_name!r} wants the same"
            if twin.service_name != intent.service_name
            else f"an intent for service {twin.service_name!r} is still open"
        )
        return refusal.of("duplicate", reason, field="service_name", existing=twin.intent_id)
    if len(queue.open) >= queue.capacity:
        return refusal.of("queue_full", f"{queue.capacity} intents are open; try again later")
    return None


def queued(intent: Intent, *, raw_position: int, at: datetime) -> IntentQueued:
    """The first attempt of an intent."""
    values = {
        "type": "IntentQueued.v1",
        "at": at,
        "intent_id": intent.intent_id,
        "intent": intent,
        "raw_position": raw_position,
        "attempt": 1,
    }
    return made(IntentQueued, values)


def settle(submission: Submission, *, raw: RawIntent, position: int) -> Intent:
    """Return the intent with every default settled and the identity as far as it is proven."""
    person = raw.subject_name.removeprefix(PERSON_PREFIX)
    proven = person != raw.subject_name
    tier = submission.target_tier
    if tier is None:
        tier = TIER_BY_TYPE.get(submission.service_type, DEFAULT_TIER)
    fallback: Source = "api" if proven else "nats"
    values = {
        "intent_id": str(submission.intent_id) if submission.intent_id else derived_id(position),
        "service_name": submission.service_name,
        "purpose": submission.purpose,
        "key_features": submission.key_features,
        "submitted_by": person if proven else submission.submitted_by,
        "authenticated": proven,
        "source": submission.source or fallback,
        "service_type": submission.service_type,
        "priority": submission.priority or PRIORITY_BY_TIER[tier],
        "target_tier": tier,
        "kind": submission.kind,
        "dependencies": _dependencies(submission),
        "port": submission.port,
        "blueprint_context": submission.blueprint_context,
        "metadata": submission.metadata,
        "auto_build": submission.auto_build,
        "auto_deploy": submission.auto_deploy,
        "spec": submission.spec,
    }
    return made(Intent, values)  # of a submission that was validated


def _dependencies(submission: Submission) -> tuple[str, ...]:
    """Those of the intent and, since what is built declares them, those of a SPEC within it."""
    declared = (submission.spec or {}).get("dependencies")
    if not isinstance(declared, list | tuple):
        return submission.dependencies
    named = [name for name in declared if isinstance(name, str)]
    return tuple(dict.fromkeys((*submission.dependencies, *named)))


def derived_id(position: int) -> str:
    """The id of an intent whose message gives none."""
    return name_id(INTENT_NAMESPACE.bytes, str(position))


def claimed_id(body: bytes) -> str:
    """The intent_id a raw message claims, in canonical form; "" when there is none to read."""
    try:
        return str(UUID(_claims(body)["intent_id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def find_duplicate(
    service_name: str, purpose: str, open_intents: Iterable[OpenIntent]
) -> OpenIntent | None:
    """Return the open intent that asks for the same: same name, or name and purpose too alike."""
    wish = wish_of(service_name, purpose)
    for other in open_intents:
        if other.service_name == service_name or alike(wish, other.wish):
            return other
    return None


@lru_cache(maxsize=16)  # asked for when an intent is judged, and again when it is taken in
def wish_of(service_name: str, purpose: str) -> Wish:
    """Name and purpose of an intent as they are compared."""
    words = _WORD.findall(f"{service_name} {purpose}".lower())
    bits = 0
    for word in words:
        bits |= _known_bits(word) if len(word) <= WORD_CHARS else _bits(word)
    return Wish(" ".join(words), sum(map(len, words)), bits)


def _triples(word: str) -> Iterator[tuple[str, str, str]]:
    padded = f" {word} "
    return zip(padded, padded[1:], padded[2:], strict=False)


def _bits(word: str) -> int:
    bits = 0
    for number in map(hash, _triples(word)):
        bits |= _BIT[number % WISH_BITS]
    return bits


_BIT = tuple(1 << n for n in range(WISH_BITS))
_known_bits = lru_cache(maxsize=10_000)(_bits)


def similarity(a: Wish, b: Wish) -> float:
    """Dice coefficient of the letter triples: 0 nothing in common, 1 the same."""
    if not a.size and not b.size:
        return 1.0
    return 2 * (a.triples() & b.triples()).total() / (a.size + b.size)


def alike(a: Wish, b: Wish) -> bool:
    """Whether two intents with these wishes are one; of most pairs the bits alone say no."""
    may_differ = (1 - SIMILARITY_MAX) * (a.size + b.size)
    return differing(a, b) < may_differ and similarity(a, b) > SIMILARITY_MAX


def differing(a: Wish, b: Wish) -> int:
    """In how many letter triples they differ at least: quickly said, mostly close to the truth."""
    return (a.bits ^ b.bits).bit_count()


def first_error(error: ValidationError) -> tuple[str, str]:
    """The dotted field and the message of the first thing pydantic found wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return field, f"{field}: {first['msg']}" if field else first["msg"]


def _kind(value: object) -> str:
    match value:
        case list():
            return "array"
        case str():
            return "string"
        case bool():
            return "boolean"
        case None:
            return "null"
        case _:
            return "number"


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What every refusal of a message says."""

    raw: RawIntent
    position: int
    at: datetime

    def of(
        self, code: RefusalCode, reason: str, *, field: str = "", existing: str = ""
    ) -> IntentRefused:
        claims = _claims(self.raw.body)
        return IntentRefused(
            at=self.at,
            raw_position=self.position,
            code=code,
            reason=reason,
            field=field,
            intent_id=_text(claims.get("intent_id")),
            service_name=_text(claims.get("service_name")),
            existing=existing,
        )


def _text(claim: object) -> str:
    """Of a claim that is text, its beginning, with no half of a character that nobody can write."""
    return claim[:64].encode(errors="replace").decode() if isinstance(claim, str) else ""


def _claims(body: bytes) -> dict[str, Any]:
    """What a message says of itself; empty where it cannot be read."""
    if len(body) > MAX_MESSAGE_BYTES:
        return {}
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
