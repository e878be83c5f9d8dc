"""Old versions of events, made new when they are read. The log itself never changes.

When an event changes in a way that old data does not fit, its class becomes the next version and a
function here takes the data of the one before to it. Steps are chained: v1 -> v2 -> v3.

Invariants  a step leads to a later version of the same event; a type has one step or a class,
            never both; samples of every version stay in ``tests/history/samples.jsonl``.
"""

from collections.abc import Callable
from typing import Any

from domain.event import EVENT_TYPES

Data = dict[str, Any]
Step = Callable[[Data], Data]

STEPS: dict[str, tuple[str, Step]] = {}


def upcaster(old: str, new: str) -> Callable[[Step], Step]:
    """Register a step between two full types, for example ``phoenix.intent.IntentQueued.v1``.

    The function gets ``data`` with ``at`` and returns it as the next version has it.

    Raises:
        TypeError: not the next versions of one event, or there is such a step.
    """
    if old in STEPS:
        raise TypeError(f"{old} has a step already")
    if _name(old) != _name(new) or _version(old) >= _version(new):
        raise TypeError(f"{new} is not a later version of {old}")

    def register(step: Step) -> Step:
        STEPS[old] = (new, step)
        return step

    return register


def current(full_type: str) -> str:
    """The version that this type is read as: itself if there is nothing newer."""
    while full_type not in EVENT_TYPES and full_type in STEPS:
        full_type = STEPS[full_type][0]
    return full_type


def upcast(full_type: str, data: Data) -> Data:
    """Return data of this type as ``current(full_type)`` has it."""
    while full_type not in EVENT_TYPES and full_type in STEPS:
        full_type, step = STEPS[full_type]
        data = step(data)
    return data


def _name(full_type: str) -> str:
    return full_type.rpartition(".v")[0]


def _version(full_type: str) -> int:
    return int(full_type.rpartition(".v")[2])
