"""The door answers every raw message once, whatever its bytes."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import digest
from domain.intake import (
    INTENT_NAMESPACE,
    OpenIntent,
    Queue,
    claimed_id,
    derived_id,
    find_duplicate,
    judge,
    similarity,
    wish_of,
)
from domain.intent import (
    MAX_MESSAGE_BYTES,
    Intent,
    IntentQueued,
    IntentRefused,
    RawIntent,
    Submission,
)
from infra.codec import decode, encode
from infra.ports import Meta

T0 = datetime(2030, 1, 1, tzinfo=UTC)
EMPTY = Queue(open=(), capacity=10)
GOOD: dict[str, Any] = {
    "service_name": "revenue-analytics",
    "purpose": "Track revenues by source and month",
}


def raw(body: object, subject: str = "intents.submit") -> RawIntent:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawIntent(at=T0, subject_name=subject, body=data)


def answer(
    body: object,
    *,
    queue: Queue = EMPTY,
    known: Intent | None = None,
    subject: str = "intents.submit",
) -> IntentQueued | IntentRefused:
    return judge(raw(body, subject), position=7, queue=queue, known=lambda _: known, at=T0)


def queued(body: object, **more: Any) -> IntentQueued:
    result = answer(body, **more)
    assert isinstance(result, IntentQueued), result
    return result


def refused(body: object, **more: Any) -> IntentRefused:
    result = answer(body, **more)
    assert isinstance(result, IntentRefused), result
    return result


def test_a_good_intent_is_queued_with_every_default_settled() -> None:
    event = queued(GOOD)
    assert event.intent_id == str(uuid5(INTENT_NAMESPACE, "7"))
    assert event.raw_position == 7
    intent = event.intent
    assert (intent.target_tier, intent.priority, intent.source) == (2, "medium", "nats")
    assert (intent.auto_build, intent.auto_deploy, intent.kind) == (True, True, "service")


FULL: dict[str, Any] = {
    **GOOD,
    "intent_id": "5D1E0F6C-64CF-4F0E-9D0E-3F5B2CE1C9A1",
    "purpose": "  Track revenues by source and month  ",
    "key_features": [" totals ", "by month"],
    "submitted_by": "ann",
    "source": "cli",
    "service_type": "sacred_loop",
    "priority": "low",
    "target_tier": 3,
    "kind": "component",
    "dependencies": ["registry"],
    "port": 8301,
    "blueprint_context": "ours",
    "metadata": {"a": [1, 2.5, None]},
    "auto_build": False,
    "auto_deploy": False,
    "spec": {"records": []},
}


@pytest.mark.parametrize("body", [GOOD, FULL])
@pytest.mark.parametrize("subject", ["intents.submit", "intents.by.bob"])
def test_what_is_settled_unchecked_is_what_a_check_would_have_made_of_it(
    body: dict[str, Any], subject: str
) -> None:
    assert FULL.keys() == Submission.model_fields.keys()
    event = queued(body, subject=subject)
    checked = IntentQueued.model_validate(event.model_dump())
    assert checked == event
    assert checked.model_dump_json() == event.model_dump_json()


@pytest.mark.parametrize(
    ("service_type", "tier", "priority"),
    [("infrastructure", 0, "critical"), ("sacred_loop", 1, "high"), ("data", 2, "medium")],
)
def test_tier_and_priority_follow_the_service_type(
    service_type: str, tier: int, priority: str
) -> None:
    intent = queued({**GOOD, "service_type": service_type}).intent
    assert (intent.target_tier, intent.priority) == (tier, priority)


@pytest.mark.parametrize(
    ("declared", "all_of_them"),
    [
        (["prices", "stock"], ("stock", "prices")),  # what is judged is what will be built
        ([], ("stock",)),
        ("prices", ("stock",)),  # no list: the factory says what is wrong with that SPEC
        ([7, None, "prices"], ("stock", "prices")),
    ],
)
def test_dependencies_that_stand_only_in_the_spec_are_the_intents(
    declared: object, all_of_them: tuple[str, ...]
) -> None:
    event = queued({**GOOD, "dependencies": ["stock"], "spec": {"dependencies": declared}})
    assert event.intent.dependencies == all_of_them


def test_a_proven_identity_replaces_what_the_body_claims() -> None:
    body = {**GOOD, "submitted_by": "somebody-else"}
    claimed = queued(body).intent
    assert (claimed.submitted_by, claimed.authenticated) == ("somebody-else", False)
    proven = queued(body, subject="intents.by.ada").intent
    assert (proven.submitted_by, proven.authenticated, proven.source) == ("ada", True, "api")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"{", "malformed", ""),
        (b"\xff\xfe", "malformed", ""),
        (b"[" * 20_000, "malformed", ""),
        (["a", "list"], "malformed", ""),
        (b"null", "malformed", ""),
        ({}, "invalid", "service_name"),
        ({**GOOD, "service_name": "Not A Slug"}, "invalid", "service_name"),
        ({**GOOD, "purpose": "short"}, "invalid", "purpose"),
        ({**GOOD, "key_features": "text"}, "invalid", "key_features"),
        ({**GOOD, "target_tier": 4}, "invalid", "target_tier"),
        ({**GOOD, "port": "eighty"}, "invalid", "port"),
        ({**GOOD, "intent_id": "not-a-uuid"}, "invalid", "intent_id"),
        ({**GOOD, "unknown": 1}, "invalid", "unknown"),
        ({**GOOD, "metadata": {"n": [2**53]}}, "invalid", "metadata"),
        ({**GOOD, "metadata": {"n": float("nan")}}, "invalid", "metadata"),
        ({**GOOD, "spec": {"limits": {"p95_ms": 10**30}}}, "invalid", "spec"),
        ({**GOOD, "service_name": "\ud800", "intent_id": "\udfff" * 70}, "invalid", ""),
        (b" " * (MAX_MESSAGE_BYTES + 1), "too_large", ""),
    ],
)
def test_a_bad_message_is_refused_with_its_field_and_position(
    body: object, code: str, field: str
) -> None:
    event = refused(body)
    assert (event.code, event.field, event.raw_position) == (code, field, 7)
    assert event.reason
    assert event.subject == "events.intent.refused-7"


def test_the_same_service_name_is_a_duplicate_while_the_first_is_open() -> None:
    first = queued(GOOD).intent
    event = refused(
        {**GOOD, "purpose": "Something else entirely, about boats"},
        queue=Queue(open=(OpenIntent.of(first),), capacity=10),
    )
    assert (event.code, event.existing) == ("duplicate", first.intent_id)


def test_name_and_purpose_too_alike_are_a_duplicate() -> None:
    first = queued(GOOD).intent
    alike = {"service_name": "revenue-analytic", "purpose": GOOD["purpose"] + "."}
    event = refused(alike, queue=Queue(open=(OpenIntent.of(first),), capacity=10))
    assert (event.code, event.existing) == ("duplicate", first.intent_id)
    other = {"service_name": "ticket-desk", "purpose": "Answer support tickets in order"}
    assert queued(other, queue=Queue(open=(OpenIntent.of(first),), capacity=10))


def test_a_full_queue_refuses_and_says_so() -> None:
    first = OpenIntent.of(queued(GOOD).intent)
    other = {"service_name": "ticket-desk", "purpose": "Answer support tickets in order"}
    assert refused(other, queue=Queue(open=(first,), capacity=1)).code == "queue_full"


def test_the_same_id_with_the_same_content_is_one_intent() -> None:
    body = {**GOOD, "intent_id": str(UUID(int=5))}
    first = queued(body).intent
    again = refused(body, known=first)
    assert (again.code, again.existing) == ("repeated", first.intent_id)
    other = refused({**body, "purpose": "Another purpose altogether"}, known=first)
    assert (other.code, other.field) == ("id_in_use", "intent_id")


def test_the_id_of_a_message_is_the_claimed_one_in_canonical_form() -> None:
    loud = str(UUID(int=255)).upper()
    assert claimed_id(json.dumps({"intent_id": loud}).encode()) == loud.lower()
    assert claimed_id(b"{") == ""
    assert claimed_id(json.dumps({"intent_id": 5}).encode()) == ""
    assert claimed_id(b"[1]") == ""
    assert derived_id(1) != derived_id(2)


@given(st.binary(max_size=400))
def test_no_bytes_can_make_the_door_raise(body: bytes) -> None:
    event = answer(body)
    assert event.raw_position == 7
    assert claimed_id(body) == "" or UUID(claimed_id(body))


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**52, 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))  # halves of characters among them
)
NESTED = st.recursive(
    ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*FULL, "other"]), ANYTHING | NESTED),
    st.dictionaries(st.text(), NESTED, max_size=3),
)
def test_no_json_object_makes_the_door_raise_or_give_an_answer_that_cannot_be_kept(
    body: dict[str, Any], document: dict[str, Any]
) -> None:
    for given_body in (body, {**GOOD, "metadata": document}, {**GOOD, "spec": document}):
        event = answer(given_body)
        stored = encode(event, id="1", meta=Meta(command_id="1", actor="test"))
        read = decode(event.subject, stored, position=8, time=T0).event
        assert read == event
        if isinstance(read, IntentQueued):
            digest(read.intent.model_dump(mode="json"))
        else:
            assert isinstance(read, IntentRefused)
            assert read.reason


@given(st.text(min_size=2, max_size=60), st.text(min_size=10, max_size=200))
def test_every_intent_is_like_itself(name: str, purpose: str) -> None:
    wish = wish_of(name, purpose)
    assert similarity(wish, wish) == 1.0
    twin = OpenIntent(intent_id="x", service_name="another-name", wish=wish)
    assert find_duplicate(name, purpose, [twin]) is (twin if wish.size else None)
