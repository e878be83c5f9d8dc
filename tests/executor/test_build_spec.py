"""What a build allows, refuses and stays quiet about."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.build import (
    INITIAL,
    Approve,
    Cancel,
    Command,
    Fail,
    Record,
    Start,
    State,
    decide,
    evolve,
    next_version,
)
from domain.delivery_events import (
    ArtifactPackaged,
    BuildApproved,
    BuildCancelled,
    BuildEvent,
    BuildFailed,
    BuildStarted,
    CodeGenerated,
    TestsFailed,
    TestsPassed,
)
from domain.errors import IllegalTransition, StaleEpoch
from tests.support.spec import Decider

T0 = datetime(2030, 1, 1, tzinfo=UTC)
IDS: dict[str, Any] = {"build_id": "b", "intent_id": "i", "at": T0}
build: Decider[Command, State, BuildEvent] = Decider(INITIAL, evolve, decide)


def started(epoch: int = 1, attempt: int = 1, version: str = "1.0.0") -> BuildStarted:
    return BuildStarted(
        **IDS, service_name="s", version=version, spec_digest="d", epoch=epoch, attempt=attempt
    )


def start(epoch: int = 1, version: str = "1.0.0") -> Start:
    return Start(**IDS, service_name="s", version=version, spec_digest="d", epoch=epoch)


GENERATED = CodeGenerated(
    **IDS, files=1, lines=1, tree_digest="t", generator_version="1", duration_s=0.1
)
PASSED = TestsPassed(**IDS, passed=3, sandbox="bubblewrap", duration_s=1.0)
FAILED = TestsFailed(**IDS, passed=2, failed=1, sandbox="bubblewrap", report="no", duration_s=1.0)
PACKAGED = ArtifactPackaged(
    **IDS,
    artifact_digest="a",
    wheel="w",
    sbom_digest="s",
    provenance_digest="p",
    key_id="k",
    size_bytes=1,
    duration_s=0.1,
)
CANCELLED = BuildCancelled(**IDS, by="ann", reason="no longer wanted")


def test_a_build_is_claimed_once_for_one_epoch() -> None:
    build.given().when(start(1)).then(started(1))


def test_a_newer_leader_takes_the_claim_over_and_keeps_the_version() -> None:
    build.given(started(1)).when(start(2, version="1.1.0")).then(started(2, attempt=2))


def test_an_older_leader_is_refused() -> None:
    build.given(started(1), started(2)).when(start(1)).then_raises(StaleEpoch, given=1, current=2)


def test_steps_follow_one_another() -> None:
    build.given(started()).when(Record(event=GENERATED)).then(GENERATED)
    build.given(started(), GENERATED).when(Record(event=PASSED)).then(PASSED)
    build.given(started(), GENERATED, PASSED).when(Record(event=PACKAGED)).then(PACKAGED)


def test_a_step_before_its_turn_is_refused() -> None:
    build.given(started()).when(Record(event=PASSED)).then_raises(IllegalTransition)
    build.given(started(), GENERATED).when(Record(event=PACKAGED)).then_raises(IllegalTransition)


def test_nothing_is_packaged_whose_tests_failed() -> None:
    build.given(started(), GENERATED, FAILED).when(Record(event=PACKAGED)).then_raises(
        IllegalTransition
    )


def test_a_finished_step_is_not_recorded_again_with_another_result() -> None:
    other = PASSED.model_copy(update={"passed": 99})
    build.given(started(), GENERATED, PASSED).when(Record(event=other)).then()
    build.given(started(), GENERATED, PASSED).when(Record(event=FAILED)).then()


def test_a_person_cancels_and_the_leaders_late_step_changes_nothing() -> None:
    cancel = Cancel(**IDS, by="ann", reason="no longer wanted")
    build.given(started()).when(cancel).then(CANCELLED)
    late = build.given(started(), CANCELLED, GENERATED)
    assert late.state.generated is None
    late.when(Record(event=PASSED)).then_raises(IllegalTransition, match="cancelled")


def test_an_ended_build_stays_ended() -> None:
    failed = BuildFailed(**IDS, step="test", reason="1 failed")
    build.given(started(), failed).when(start(2)).then_raises(IllegalTransition)
    build.given(started(), failed).when(Fail(**IDS, step="x", reason="y")).then()
    build.given(started(), failed).when(Cancel(**IDS, by="ann", reason="")).then_raises(
        IllegalTransition
    )


def test_a_person_lets_a_waiting_step_go_on_once() -> None:
    approved = BuildApproved(**IDS, by="ann", step="deploy")
    approve = Approve(**IDS, by="ann", step="deploy")
    build.given(started(), GENERATED, PASSED, PACKAGED).when(approve).then(approved)
    build.given(approved).when(Approve(**IDS, by="bob", step="deploy")).then()


def test_versions_count_on_from_the_newest() -> None:
    assert next_version(()) == "1.0.0"
    assert next_version(("1.0.0", "1.9.0", "1.10.0", "1.2.0")) == "1.11.0"


COMMANDS = st.sampled_from(
    [
        *(start(epoch) for epoch in (1, 2, 3)),
        *(Record(event=event) for event in (GENERATED, PASSED, FAILED, PACKAGED)),
        Fail(**IDS, step="x", reason="y"),
        Cancel(**IDS, by="ann", reason="z"),
        Approve(**IDS, by="ann", step="build"),
        Approve(**IDS, by="ann", step="deploy"),
    ]
)


@given(st.lists(COMMANDS, max_size=20))
def test_whatever_is_asked_each_step_stands_once_and_the_epoch_only_grows(
    commands: list[Command],
) -> None:
    state = INITIAL
    events: list[BuildEvent] = []
    for command in commands:
        try:
            new = decide(command, state)
        except (IllegalTransition, StaleEpoch):
            continue
        for event in new:
            state = evolve(state, event)
        assert decide(command, state) == () or isinstance(command, Fail)
        events += new
    for kind in (CodeGenerated, TestsPassed | TestsFailed, ArtifactPackaged):
        assert sum(isinstance(event, kind) for event in events) <= 1
    epochs = [event.epoch for event in events if isinstance(event, BuildStarted)]
    assert epochs == sorted(set(epochs))
    ends = [n for n, e in enumerate(events) if isinstance(e, BuildFailed | BuildCancelled)]
    assert not ends or ends == [len(events) - 1]
