"""Who accepts where: the base follows the leader, and every port always has somebody."""

from hypothesis import given
from hypothesis import strategies as st

from phoenix.slots import Seat, assign


def seat(number: int, *slots: int, leads: bool = False, ready: bool = True) -> Seat:
    return Seat(number, leads, ready, frozenset(slots))


def test_the_leader_has_the_base_and_each_standby_its_own_port() -> None:
    seats = [seat(0, leads=True), seat(1), seat(2)]
    assert assign(seats, 3) == {0: {0}, 1: {1}, 2: {2}}


def test_the_promoted_one_takes_the_base_and_keeps_its_port_until_the_reborn_comes() -> None:
    fallen = [seat(1, 1, leads=True), seat(2, 2)]
    assert assign(fallen, 3) == {1: {0, 1}, 2: {2}}
    reborn = [seat(0), seat(1, 0, 1, leads=True), seat(2, 2)]
    assert assign(reborn, 3) == {0: {1}, 1: {0}, 2: {2}}


def test_without_a_leader_a_ready_standby_serves_the_base() -> None:
    seats = [seat(0, ready=False), seat(2, 2)]
    assert 0 in assign(seats, 3)[2]


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Seat], int]:
    size = draw(st.integers(1, 5))
    numbers = draw(st.sets(st.integers(0, size - 1), min_size=1))
    leader = draw(st.sampled_from([*sorted(numbers), -1]))
    slots = st.frozensets(st.integers(0, size - 1))
    seats = [Seat(n, n == leader, draw(st.booleans()), draw(slots)) for n in sorted(numbers)]
    return seats, size


@given(groups())
def test_every_port_has_exactly_one_owner_and_nothing_moves_without_news(
    group: tuple[list[Seat], int],
) -> None:
    seats, size = group
    first = assign(seats, size)
    owned = [slot for slots in first.values() for slot in slots]
    assert sorted(owned) == list(range(size))
    settled = [Seat(s.seat, s.leads, s.ready, first[s.seat]) for s in seats]
    assert assign(settled, size) == first
