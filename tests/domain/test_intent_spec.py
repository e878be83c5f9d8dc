"""What may happen to an intent after it was queued."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import IllegalTransition, NotFound
from domain.intent import (
    INITIAL,
    Cancel,
    Command,
    Fail,
    Finish,
    Intent,
    IntentCancelled,
    IntentCompleted,
    IntentEvent,
    IntentFailed,
    IntentQueued,
    IntentReprioritized,
    Reprioritize,
    Retry,
    State,
    decide,
    evolve,
)
from tests.support.spec import Decider

T0 = datetime(2030, 1, 1, tzinfo=UTC)
intent: Decider[Command, State, IntentEvent] = Decider(INITIAL, evolve, decide)
WANTED = Intent(
    intent_id="i",
    service_name="revenue-analytics",
    purpose="Track revenues by source",
    submitted_by="ada",
    source="api",
    service_type="domain",
    priority="medium",
    target_tier=2,
)
QUEUED = IntentQueued(intent_id="i", at=T0, intent=WANTED, raw_position=3)
COMPLETED = IntentCompleted(intent_id="i", at=T0, outcome="runs", version="1.0.0", url="http://x")
FAILED = IntentFailed(intent_id="i", at=T0, status="failed", phase="building", reason="tests")
CANCELLED = IntentCancelled(intent_id="i", at=T0, reason="no need")
FINISH = Finish(intent_id="i", outcome="runs", version="1.0.0", url="http://x", at=T0)
FAIL = Fail(intent_id="i", status="failed", phase="building", reason="tests", at=T0)


def test_priority_changes_while_the_intent_is_open() -> None:
    change = Reprioritize(intent_id="i", priority="high", at=T0)
    intent.given(QUEUED).when(change).then(
        IntentReprioritized(intent_id="i", at=T0, priority="high")
    )
    intent.given(QUEUED, COMPLETED).when(change).then_raises(IllegalTransition, "completed")


def test_an_open_intent_can_be_cancelled_once() -> None:
    cancel = Cancel(intent_id="i", reason="no need", at=T0)
    intent.given(QUEUED).when(cancel).then(CANCELLED)
    intent.given(QUEUED, FAILED).when(cancel).then_raises(IllegalTransition, "failed")


def test_what_does_not_exist_is_not_found() -> None:
    intent.given().when(Retry(intent_id="i", at=T0)).then_raises(NotFound)


def test_a_failed_intent_is_retried_as_the_next_attempt() -> None:
    again = QUEUED.model_copy(update={"attempt": 2})
    intent.given(QUEUED, FAILED).when(Retry(intent_id="i", at=T0)).then(again)
    intent.given(QUEUED, COMPLETED).when(Retry(intent_id="i", at=T0)).then_raises(
        IllegalTransition, "completed"
    )


def test_the_first_end_is_the_one_that_counts() -> None:
    intent.given(QUEUED).when(FINISH).then(COMPLETED)
    intent.given(QUEUED, CANCELLED).when(FINISH).then()
    intent.given(QUEUED, CANCELLED).when(FAIL).then()
    intent.given(QUEUED, CANCELLED, COMPLETED).when(
        Reprioritize(intent_id="i", priority="low", at=T0)
    ).then_raises(IllegalTransition, "cancelled")


commands: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            FINISH,
            FAIL,
            Retry(intent_id="i", at=T0),
            Cancel(intent_id="i", reason="r", at=T0),
            Reprioritize(intent_id="i", priority="low", at=T0),
            Reprioritize(intent_id="i", priority="high", at=T0),
        ]
    )
)


@given(st.lists(commands, max_size=20))
def test_after_any_commands_a_repeat_is_quiet_and_an_end_is_final(script: list[Command]) -> None:
    state = evolve(INITIAL, QUEUED)
    for command in script:
        try:
            events = decide(command, state)
        except IllegalTransition:
            continue
        ended_before = state.ended
        for event in events:
            state = evolve(state, event)
        if ended_before and events:
            assert isinstance(command, Retry)
        assert decide(command, state) == ()
