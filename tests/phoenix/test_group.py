"""A group of real processes: what happens when one of them falls."""

import asyncio
import os
import signal
import time

import psutil
import pytest

from domain.instance import InstanceDied, InstancePromoted, LeadershipTaken
from phoenix.group import Release
from phoenix.member import Member
from tests.phoenix.fire import under_fire
from tests.phoenix.running import (
    HEARTBEAT_S,
    LEASE_S,
    TINY,
    Running,
    answers,
    running_group,
    until,
)
from tests.support.nats import Server

pytestmark = pytest.mark.alone


async def test_one_leads_two_stand_by_and_each_has_its_port(tiny: Running) -> None:
    healths = [await tiny.health(slot) for slot in range(3)]
    assert [health["role"] for health in healths] == ["active", "standby", "standby"]
    assert [health["capacity"] for health in healths] == [1, 2, 2]
    assert len({health["pid"] for health in healths}) == 3
    assert all(health["status"] == "active" for health in healths)


async def test_a_killed_leader_is_followed_at_once_and_replaced(tiny: Running) -> None:
    before = tiny.group.leader
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: tiny.group.leader not in (None, before), within_s=1.0)
    now = await tiny.health()
    assert (now["role"], now["capacity"]) == ("active", 2)
    assert now["epoch"] > before.epoch
    await tiny.whole()
    assert [(await tiny.health(slot))["capacity"] for slot in range(3)] == [2, 2, 2]
    events = await tiny.events()
    (died,) = [e for e in events if isinstance(e, InstanceDied)]
    assert (died.reason, died.was_leader, died.planned) == ("signal 9", True, False)
    (promoted,) = [e for e in events if isinstance(e, InstancePromoted)]
    assert promoted.failover_s is not None
    assert promoted.failover_s < 0.5
    terms = [r.event for r in await tiny.log.read("events.leadership.tiny")]
    assert [t.epoch for t in terms if isinstance(t, LeadershipTaken)] == [1, 2]


async def test_a_killed_standby_is_replaced_and_the_leader_stays(tiny: Running) -> None:
    leader = tiny.group.leader
    victim = next(m for m in tiny.group.members.values() if not m.leads)
    os.kill(victim.pid, signal.SIGKILL)
    await until(lambda: tiny.group.members.get(victim.seat) is not victim)
    await tiny.whole()
    assert tiny.group.leader is leader
    assert tiny.group.failovers == 0


async def test_no_connection_is_refused_and_none_waits_long_while_instances_are_killed(
    tiny: Running,
) -> None:
    answered, refused, slowest_s, stop = 0, 0, 0.0, False

    async def ask(slot: int) -> None:
        nonlocal answered, refused, slowest_s
        while not stop:
            started = time.monotonic()
            try:
                answered += await answers(tiny.group.plan.ports[slot])
            except ConnectionRefusedError:
                refused += 1
            slowest_s = max(slowest_s, time.monotonic() - started)

    asking = [asyncio.create_task(ask(slot)) for slot in range(3)]
    for seat in (0, 1, 2, 0, 1, 2, 0, 1):
        os.kill(tiny.group.members[seat].pid, signal.SIGKILL)
        await until(lambda: not tiny.group.whole, within_s=2.0)
        await tiny.whole()
    stop = True
    await asyncio.gather(*asking)
    assert refused == 0
    assert answered > 100
    assert slowest_s < 2.0


async def test_under_traffic_kills_refuse_nothing_lose_nothing_and_do_nothing_twice(
    tiny: Running,
) -> None:
    outcome = await under_fire(tiny.group, tiny.log, kills=6, seed=1, per_s=200)
    assert (outcome.refused, outcome.unanswered, outcome.wrong) == (0, 0, {})
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert len(outcome.acknowledged) > 100
    assert outcome.slowest_s < 2.0
    assert outcome.kills == 6


async def test_after_so_many_promotions_an_hour_a_person_has_to_look(server: Server) -> None:
    async with running_group(server, failovers_per_hour=2) as tiny:
        for _ in range(2):
            await killed_leader(tiny)
            await tiny.whole()
        assert tiny.group.held
        last = await killed_leader(tiny)
        await until(lambda: [m.state for m in tiny.group.members.values()] == ["ready"] * 3)
        await asyncio.sleep(LEASE_S * 1.5)  # not even the lease makes anybody lead
        assert tiny.group.leader is None
        assert "phoenix switchover tiny" in tiny.group.error
        health = await tiny.health()  # reads go on
        assert (health["status"], health["role"]) == ("active", "standby")
        assert await tiny.group.switchover()
        await tiny.whole()
        assert not tiny.group.held
        assert tiny.group.error == ""
        leader = tiny.group.leader
        assert leader is not None
        assert leader.epoch == last.epoch + 1


async def killed_leader(tiny: Running) -> Member:
    leader = tiny.group.leader
    assert leader is not None
    os.kill(leader.pid, signal.SIGKILL)
    await until(lambda: tiny.group.leader is not leader)
    return leader


async def test_a_stopped_leader_is_followed_within_the_lease_and_replaced(tiny: Running) -> None:
    before = tiny.group.leader
    assert before is not None
    os.kill(before.pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    await until(lambda: tiny.group.leader not in (None, before), within_s=LEASE_S + 2.0)
    assert time.monotonic() - stopped_at < LEASE_S + 0.5
    await until(lambda: not psutil.pid_exists(before.pid))
    await tiny.whole()


@pytest.mark.parametrize("leads", [False, True], ids=["standby", "leader"])
async def test_an_instance_whose_loop_hangs_is_replaced(tiny: Running, leads: bool) -> None:
    victim = next(m for m in tiny.group.members.values() if m.leads == leads)
    (slot,) = victim.slots
    port = tiny.group.plan.ports[slot]
    hanging = asyncio.create_task(tiny.http.post(f"http://127.0.0.1:{port}/hang"))
    await until(
        lambda: tiny.group.members.get(victim.seat) not in (victim, None),
        within_s=HEARTBEAT_S * 3 + 2,
    )
    await tiny.whole()
    await asyncio.gather(hanging, return_exceptions=True)
    reasons = [e.reason for e in await tiny.events() if isinstance(e, InstanceDied)]
    assert len(reasons) == 1
    assert reasons[0].startswith(("missed heartbeats", "deposed and not responding"))
    leader = tiny.group.leader
    assert leader is not None
    assert (leader.epoch > 1) == leads


async def test_instances_outlive_the_fork_server_and_a_new_one_replaces_them(
    tiny: Running,
) -> None:
    pids = {member.pid for member in tiny.group.members.values()}
    os.kill(tiny.forker.pid, signal.SIGKILL)
    await until(lambda: tiny.forker.restarts == 1)
    assert {(await tiny.health(slot))["pid"] for slot in range(3)} == pids
    leader = tiny.group.leader
    assert leader is not None
    os.kill(leader.pid, signal.SIGKILL)
    await until(lambda: not tiny.group.whole)
    await tiny.whole(within_s=30)
    assert (await tiny.health())["pid"] in pids - {leader.pid}
    events = await tiny.events()
    assert [e.reason for e in events if isinstance(e, InstanceDied)] == ["signal 9"]


async def test_a_switchover_fails_no_request(tiny: Running) -> None:
    before = tiny.group.leader
    assert before is not None
    url = f"http://127.0.0.1:{tiny.base}"
    slow = asyncio.create_task(tiny.http.get(f"{url}/slow?ms=800"))
    await until(lambda: before.beat.get("in_flight", 0) > 0)
    assert await tiny.group.switchover()
    answer = await slow
    assert answer.json() == {"pid": before.pid}
    assert (await tiny.health())["pid"] != before.pid
    await tiny.whole()
    (promoted,) = [e for e in await tiny.events() if isinstance(e, InstancePromoted)]
    assert promoted.failover_s is None  # planned


async def test_switchovers_under_traffic_fail_no_request_and_break_no_connection(
    tiny: Running,
) -> None:
    outcome = await under_fire(tiny.group, tiny.log, switchovers=5, seed=2, per_s=100)
    assert outcome.switchovers == 5
    assert (outcome.refused, outcome.unanswered, outcome.wrong) == (0, 0, {})
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert outcome.repeats <= 1  # a kept connection may be closed at the moment it is used
    assert len(outcome.acknowledged) > 50
    assert tiny.group.failovers == 0


async def test_a_release_that_does_not_start_never_takes_the_group_down(tiny: Running) -> None:
    leader = tiny.group.leader
    broken = Release(reference="tests.phoenix.tiny:broken", version="2")
    assert not await tiny.group.roll(broken)
    assert tiny.group.leader is leader
    assert "version 2" in tiny.group.error
    await tiny.whole(within_s=30)
    assert tiny.group.runs(TINY)


async def test_a_release_that_falls_when_it_leads_goes_back_to_the_one_before(
    tiny: Running,
) -> None:
    unfit = Release(reference="tests.phoenix.tiny:unfit", version="2")
    assert not await tiny.group.roll(unfit)
    assert "version 2 cannot lead: " in tiny.group.error
    await tiny.whole(within_s=30)
    assert tiny.group.runs(TINY)
    assert (await tiny.health())["role"] == "active"
    assert not tiny.group.held  # its falls cost no promotion that others may need


async def test_a_new_release_replaces_the_standbys_first_and_the_leader_last(
    tiny: Running,
) -> None:
    second = Release(reference="tests.phoenix.tiny:create", version="2")
    assert await tiny.group.roll(second)
    await tiny.whole()
    assert tiny.group.runs(second)
    deaths = [e.was_leader for e in await tiny.events() if isinstance(e, InstanceDied)]
    assert len(deaths) == 3
    assert tiny.group.failovers == 0
