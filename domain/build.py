"""Build: one attempt of an intent on its way from an accepted SPEC to a signed artifact.

Stream      ``events.build.<build_id>``
Invariants  the claim's epoch never goes down; a finished step is not recorded twice; a failed or
            cancelled build never changes again (a leader's late step after a person's cancel is
            ignored by ``evolve``: its append carries a fence, not a version).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never

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
from domain.governance import NAMESPACE
from domain.ids import name_id

Approvable = Literal["build", "deploy"]
Finished = CodeGenerated | TestsPassed | TestsFailed | ArtifactPackaged
FIRST_VERSION = "1.0.0"


def build_id(intent_id: str, attempt: int) -> str:
    """The id of the build of one attempt of an intent: known before the build starts."""
    return name_id(NAMESPACE.bytes, f"{intent_id}/{attempt}")


def next_version(used: tuple[str, ...]) -> str:
    """The version after those a service has had: 1.0.0, then 1.1.0, 1.2.0, ..."""
    if not used:
        return FIRST_VERSION
    newest = max(tuple(map(int, version.split("."))) for version in used)
    return f"{newest[0]}.{newest[1] + 1}.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Claim a build under the leader's epoch, for the first time or again."""

    build_id: str
    intent_id: str
    service_name: str
    version: str
    spec_digest: str
    epoch: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A step has been done; ``event`` is its result."""

    event: Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    build_id: str
    intent_id: str
    step: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    build_id: str
    intent_id: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    build_id: str
    intent_id: str
    by: str
    step: Approvable
    at: datetime


Command = Start | Record | Fail | Cancel | Approve


@dataclass(frozen=True, slots=True)
class State:
    started: BuildStarted | None = None
    generated: CodeGenerated | None = None
    tests: TestsPassed | TestsFailed | None = None
    packaged: ArtifactPackaged | None = None
    approved: frozenset[str] = frozenset()
    ended: Literal["", "failed", "cancelled"] = ""
    reason: str = ""


INITIAL = State()


def evolve(state: State, event: BuildEvent) -> State:
    if state.ended:
        return state  # the first end counts
    match event:
        case BuildStarted(epoch=epoch):
            older = state.started is not None and epoch < state.started.epoch
            return state if older else replace(state, started=event)
        case CodeGenerated():
            return replace(state, generated=state.generated or event)
        case TestsPassed() | TestsFailed():
            return replace(state, tests=state.tests or event)
        case ArtifactPackaged():
            return replace(state, packaged=state.packaged or event)
        case BuildFailed(step=step, reason=reason):
            return replace(state, ended="failed", reason=f"{step}: {reason}")
        case BuildCancelled(reason=reason):
            return replace(state, ended="cancelled", reason=reason)
        case BuildApproved(step=step):
            return replace(state, approved=state.approved | {step})
        case _:
            assert_never(event)


def decide(command: Command, state: State) -> tuple[BuildEvent, ...]:
    """Return what to record; ``()`` when it is already so.

    Raises:
        IllegalTransition: the build has ended, or the step's predecessor is missing.
        StaleEpoch: a newer leader has claimed this build.
    """
    match command:
        case Start():
            return _start(command, state)
        case Record(event=event):
            return _record(event, state)
        case Fail():
            return _fail(command, state)
        case Cancel():
            return _cancel(command, state)
        case Approve():
            return _approve(command, state)
        case _:
            assert_never(command)


def _start(command: Start, state: State) -> tuple[BuildEvent, ...]:
    _still_open(state)
    before = state.started
    if before is not None and command.epoch < before.epoch:
        raise StaleEpoch(given=command.epoch, current=before.epoch)
    if before is not None and command.epoch == before.epoch:
        return ()
    event = BuildStarted(
        build_id=command.build_id,
        intent_id=command.intent_id,
        at=command.at,
        service_name=command.service_name,
        version=before.version if before else command.version,
        spec_digest=command.spec_digest,
        epoch=command.epoch,
        attempt=before.attempt + 1 if before else 1,
    )
    return (event,)


def _record(event: Finished, state: State) -> tuple[BuildEvent, ...]:
    _still_open(state)
    done, needed = _done_and_needed(event, state)
    if done is not None:
        return ()
    if needed is None:
        raise IllegalTransition(f"{type(event).__name__} comes before its turn")
    return (event,)


def _done_and_needed(event: Finished, state: State) -> tuple[object, object]:
    """The same step's earlier result, and the step it follows; None where missing."""
    match event:
        case CodeGenerated():
            return state.generated, state.started
        case TestsPassed() | TestsFailed():
            return state.tests, state.generated
        case ArtifactPackaged():
            passed = state.tests if isinstance(state.tests, TestsPassed) else None
            return state.packaged, passed
        case _:
            assert_never(event)


def _fail(command: Fail, state: State) -> tuple[BuildEvent, ...]:
    if state.ended:
        return ()
    event = BuildFailed(
        build_id=command.build_id,
        intent_id=command.intent_id,
        at=command.at,
        step=command.step,
        reason=command.reason,
    )
    return (event,)


def _cancel(command: Cancel, state: State) -> tuple[BuildEvent, ...]:
    if state.ended == "cancelled":
        return ()
    _still_open(state)
    event = BuildCancelled(
        build_id=command.build_id,
        intent_id=command.intent_id,
        at=command.at,
        by=command.by,
        reason=command.reason,
    )
    return (event,)


def _approve(command: Approve, state: State) -> tuple[BuildEvent, ...]:
    if command.step in state.approved:
        return ()
    _still_open(state)
    if command.step == "build" and state.started is not None:
        return ()  # it is under way: nothing waits for this
    event = BuildApproved(
        build_id=command.build_id,
        intent_id=command.intent_id,
        at=command.at,
        by=command.by,
        step=command.step,
    )
    return (event,)


def _still_open(state: State) -> None:
    if state.ended:
        raise IllegalTransition(f"the build has ended: {state.ended}, {state.reason}")
