"""Which instance accepts on which port: the base slot follows the leader. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """One living instance as the launcher sees it."""

    seat: int
    leads: bool
    ready: bool  # its views have caught up once
    slots: frozenset[int]  # where it accepts now


def assign(seats: Sequence[Seat], slots: int) -> dict[int, frozenset[int]]:
    """Return where each seat accepts; every slot has somebody as long as anybody lives.

    The leader has the base slot; each other keeps one of the rest. A slot without an owner of its
    own is served by who served it before, else by the leader. Without a leader the first ready one
    serves the base: reads need no leader, and it will probably be the next.
    """
    if not seats:
        return {}
    head = _head(seats)
    owner: dict[int, int] = {0: head.seat}
    others = sorted((s for s in seats if s.seat != head.seat), key=lambda s: (not s.ready, s.seat))
    for other in others:
        kept = sorted(slot for slot in other.slots if slot > 0 and slot not in owner)
        if kept:
            owner[other.seat if other.seat in kept else kept[0]] = other.seat
    for other in others:
        if other.seat in owner.values():
            continue
        free = [slot for slot in range(1, slots) if slot not in owner]
        if free:
            owner[other.seat if other.seat in free else free[0]] = other.seat
    for slot in range(1, slots):
        if slot not in owner:
            owner[slot] = _stand_in(slot, seats, head)
    return {
        seat.seat: frozenset(slot for slot, who in owner.items() if who == seat.seat)
        for seat in seats
    }


def _head(seats: Sequence[Seat]) -> Seat:
    return min(seats, key=lambda s: (not s.leads, not s.ready, 0 not in s.slots, s.seat))


def _stand_in(slot: int, seats: Sequence[Seat], head: Seat) -> int:
    before = [seat.seat for seat in seats if slot in seat.slots]
    return before[0] if before else head.seat
