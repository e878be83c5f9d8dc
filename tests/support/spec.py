"""Given past events, when a command, then these new ones: for every decider."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import pytest

Command = TypeVar("Command")
State = TypeVar("State")
Event = TypeVar("Event")


class Decider(Generic[Command, State, Event]):
    def __init__(
        self,
        initial: State,
        evolve: Callable[[State, Event], State],
        decide: Callable[[Command, State], Sequence[Event]],
    ) -> None:
        self.initial = initial
        self.evolve = evolve
        self.decide = decide

    def given(self, *events: Event) -> "Given[Command, State, Event]":
        return Given(self, events)


class Given(Generic[Command, State, Event]):
    def __init__(self, decider: Decider[Command, State, Event], events: tuple[Event, ...]) -> None:
        self.decider = decider
        self.state = decider.initial
        for event in events:
            self.state = decider.evolve(self.state, event)

    def when(self, command: Command) -> "When[Command, State, Event]":
        return When(self, command)


class When(Generic[Command, State, Event]):
    def __init__(self, given: Given[Command, State, Event], command: Command) -> None:
        self._given = given
        self._command = command

    def then(self, *expected: Event) -> None:
        """The command leads to exactly these events, and repeated on top of them to none."""
        decider = self._given.decider
        events = tuple(decider.decide(self._command, self._given.state))
        assert events == expected
        state = self._given.state
        for event in events:
            state = decider.evolve(state, event)
        assert tuple(decider.decide(self._command, state)) == ()

    def then_raises(
        self, error: type[Exception], match: str | None = None, **attributes: Any
    ) -> None:
        with pytest.raises(error, match=match) as caught:
            self._given.decider.decide(self._command, self._given.state)
        for name, value in attributes.items():
            assert getattr(caught.value, name) == value
