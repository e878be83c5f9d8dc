"""The election under seeded faults: safe at every tick, live when the faults end."""

import pytest

from phoenix.lease import Action, Election, Lead, Put, Read, Record, Role, Timing
from tests.phoenix.election_world import Unsafe, World

SEEDS = range(60)
LONG_SEEDS = range(1000, 4000)


def exercise(seed: int) -> World:
    world = World(seed)
    world.run(60.0)
    world.heal()
    world.run(12.0)
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_never_two_may_act_and_one_leads_when_the_faults_end(seed: int) -> None:
    world = exercise(seed)
    assert len(world.leaders()) == 1
    assert world.acted_s > 10.0  # it was not safe by never leading


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_thousands_of_seeds_are_safe() -> None:
    for seed in LONG_SEEDS:
        assert len(exercise(seed).leaders()) == 1, seed


class ReadExtends(Election):
    """The mistake that the design rules out: reading one's own record counts as a renewal."""

    def seen(self, now: float, record: Record | None, *, answer: bool = False) -> list[Action]:
        if self.role is Role.HOLDER and record is not None and record.holder == self.me:
            self._act_until = max(self._act_until, now + self.timing.act_s)
        return super().seen(now, record, answer=answer)


class Impatient(Election):
    """Another mistake: a standby that claims before the holder's own limit."""

    def _patience(self) -> float:
        return super()._patience() * 0.4


@pytest.mark.parametrize("mistake", [ReadExtends, Impatient])
def test_the_simulation_finds_a_planted_mistake(mistake: type[Election]) -> None:
    def unsafe(seed: int) -> bool:
        world = World(seed, make=mistake)
        try:
            world.run(60.0)
        except Unsafe:
            return True
        return False

    assert any(unsafe(seed) for seed in range(400))


def test_a_dead_holder_is_replaced_within_the_lease() -> None:
    world = World(1, faults=False)
    world.run(3.0)
    (first,) = world.leaders()
    world.crash(first, told=False)
    world.run(world.timing.lease_s * 1.15)
    (second,) = world.leaders()
    assert second.name != first.name


def test_a_death_that_the_launcher_saw_is_answered_at_once() -> None:
    world = World(2, faults=False)
    world.run(3.0)
    (first,) = world.leaders()
    world.crash(first, told=True)
    world.run(0.05)
    assert [leader.name for leader in world.leaders()] != [first.name]
    assert len(world.leaders()) == 1


def test_an_outage_of_the_server_changes_no_leader() -> None:
    world = World(3, faults=False)
    world.run(3.0)
    (before,) = world.leaders()
    world.server_up = False
    world.run(6.0)
    assert world.leaders() == []  # the holder stops acting while nothing is acknowledged
    world.server_up = True
    world.run(1.5)
    assert world.leaders() == [before]
    assert len(world.epochs) == 1


def test_the_preferred_instance_leads_first() -> None:
    for seed in range(20):
        world = World(seed, faults=False)
        world.run(1.0)
        assert [leader.seat for leader in world.leaders()] == [0]


def test_a_read_never_extends_a_term() -> None:
    timing = Timing(3.0)
    election = Election("a", timing, preferred=True)
    actions = election.seen(100.0, None, answer=True)
    assert actions == [Put("claim", "a", 1, 0)]
    assert Lead(1, "first start") in election.put_done(100.1, 100.0, 7)
    election.seen(101.0, Record("a", 1, 8))
    assert election.may_act(101.9)
    assert not election.may_act(102.0)


def late_claim() -> Election:
    """A standby whose claim was stored, and whose answer came after the time it could act."""
    election = Election("a", Timing(3.0), preferred=True)
    assert election.seen(100.0, None, answer=True) == [Put("claim", "a", 1, 0)]
    assert election.put_done(102.1, 100.0, 7) == [Read()]
    assert not election.may_act(102.1)
    assert election.role is Role.STANDBY
    return election


def test_a_claim_that_is_acknowledged_too_late_is_claimed_again_before_anybody_leads() -> None:
    election = late_claim()
    assert election.seen(102.2, Record("a", 1, 7), answer=True) == [Put("claim", "a", 1, 7)]
    actions = election.put_done(102.3, 102.2, 8)
    assert [action for action in actions if isinstance(action, Lead)] == [Lead(1, "first start")]
    assert election.may_act(102.2 + election.timing.act_s - 0.01)


def test_whoever_claimed_meanwhile_keeps_the_key_from_a_claim_acknowledged_too_late() -> None:
    election = late_claim()
    actions = election.seen(102.2, Record("b", 2, 8), answer=True)
    assert not any(isinstance(action, Put | Lead) for action in actions)
    assert election.role is Role.STANDBY
    assert not election.may_act(102.2)
