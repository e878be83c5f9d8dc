"""Outages that the registry's leader sees from outside, and what it answers about uptime."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.delivery_events import ServiceRegistered
from domain.errors import StaleEpoch
from domain.event import Event
from domain.instance import InstanceDied, OutageBegan, OutageEnded
from infra.ports import Fence, Term
from services.registry.outages import Outages
from services.registry.service import create
from tests.registry.world import World, leads, ready, running, started
from tests.support.context import FastClock

NOWHERE = "http://127.0.0.1:1"
SUBJECT = "events.instance.prices"


@pytest.fixture
async def leader(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path, lead=True, everywhere=True, heartbeat_s=1) as world:
        await serve(world, "prices")
        yield world


async def serve(world: World, name: str) -> None:
    now = world.ctx.clock.now()
    await world.append(*(started(name, seat, at=now) for seat in range(3)))
    await world.append(*(ready(name, seat) for seat in range(3)))
    await world.append(leads(name).model_copy(update={"at": now}))
    await world.append(
        ServiceRegistered(name=name, at=now, version="1", tier=2, port=8300, url="", build_id="b-1")
    )
    await world.seen()


async def outages(world: World, count: int) -> list[Event]:
    every = await world.recorded(SUBJECT, count=6 + count)
    return [event for event in every if isinstance(event, OutageBegan | OutageEnded)]


async def test_an_outage_is_recorded_from_the_last_success_to_the_first(leader: World) -> None:
    url = leader.url
    leader.ctx.host_url = lambda port: NOWHERE
    (began,) = await outages(leader, 1)
    leader.ctx.host_url = lambda port: url
    _, ended = await outages(leader, 2)

    assert isinstance(began, OutageBegan)
    assert isinstance(ended, OutageEnded)
    assert began.since is not None
    assert "no answer" in began.reason
    assert 0 < ended.duration_s < 10
    assert (ended.at - began.since).total_seconds() == pytest.approx(ended.duration_s, abs=0.002)
    recorded = (await leader.log.read(SUBJECT))[-1]
    assert (recorded.epoch, recorded.actor) == (1, "registry")  # fenced
    told = await leader.get("/phoenix/uptime", window="hour")
    (one,) = [s for s in told["services"] if s["service"] == "prices"]
    assert one["down_s"] == pytest.approx(ended.duration_s, abs=0.002)
    assert one["last_outages"][0]["reason"] == began.reason
    assert one["state"] == "up"


async def test_one_lost_answer_is_no_outage(leader: World) -> None:
    outages, clock = Outages(leader.ctx, fresh_s=15), FastClock()
    leader.ctx.clock = clock
    before = len(await leader.log.read(SUBJECT))
    for problem in ("", "no answer", "", "no answer"):
        await outages.looked("prices", problem, leader.term)
    assert len(await leader.log.read(SUBJECT)) == before
    assert outages.suspects == {"prices"}


async def test_a_new_leader_ends_the_outage_that_its_predecessor_began(leader: World) -> None:
    first, second = (Outages(leader.ctx, fresh_s=15) for _ in range(2))
    for problem in ("", "gone", "gone", "gone"):
        await first.looked("prices", problem, leader.term)
    await leader.seen()
    await second.looked("prices", "gone", leader.term)
    await second.looked("prices", "", leader.term)
    found = await outages(leader, 2)
    assert [type(event) for event in found] == [OutageBegan, OutageEnded]


async def test_a_replaced_leader_can_record_no_outage(leader: World) -> None:
    old = Term(Fence("registry", leader.term.fence.position - 1, 0))
    watching = Outages(leader.ctx, fresh_s=15)
    await watching.looked("prices", "gone", old)
    with pytest.raises(StaleEpoch):
        await watching.looked("prices", "gone", old)


async def test_a_success_long_ago_says_nothing_about_the_time_since(leader: World) -> None:
    clock = leader.ctx.clock = FastClock()
    watching = Outages(leader.ctx, fresh_s=15)
    await watching.looked("prices", "", leader.term)
    clock.ahead += clock.ahead.__class__(hours=2)  # this process was asleep
    await watching.looked("prices", "gone", leader.term)
    await watching.looked("prices", "gone", leader.term)
    (began,) = await outages(leader, 1)
    assert isinstance(began, OutageBegan)
    assert began.since is not None
    assert (began.at - began.since).total_seconds() < 5


async def test_what_was_stopped_on_purpose_is_not_looked_after(leader: World) -> None:
    for seat in range(3):
        await leader.append(
            InstanceDied(
                at=leader.ctx.clock.now(),
                service="prices",
                instance=f"prices-{seat}",
                reason="stopped",
                was_leader=seat == 0,
                planned=True,
            )
        )
    await leader.seen()
    watching = Outages(leader.ctx, fresh_s=15)
    for _ in range(3):
        await watching.looked("prices", "gone", leader.term)
    every = await leader.log.read(SUBJECT)
    assert not [r for r in every if isinstance(r.event, OutageBegan)]


async def test_the_groups_and_the_metrics_carry_the_uptime(leader: World) -> None:
    told = await leader.get("/phoenix")
    (group,) = [g for g in told["groups"] if g["service"] == "prices"]
    assert set(group["uptime"]) == {"hour", "day", "month"}
    assert group["uptime"]["month"]["availability"] == 1.0
    text = await leader.get("/metrics")
    assert 'phoenix_service_availability_ratio{name="prices",window="month"} 1.0' in text
    assert 'phoenix_service_up{name="prices"} 1.0' in text
    assert "phoenix_service_error_budget_left_seconds" in text


async def test_the_cost_is_instances_times_price(leader: World) -> None:
    told = await leader.get("/phoenix/uptime")
    (one,) = [s for s in told["services"] if s["service"] == "prices"]
    assert one["cost"] == {
        "instances": 3,
        "price_usd": 25.0,
        "month_usd": 75.0,
        "extra_usd": 50.0,
    }
    assert told["cost"]["extra_usd"] == 50.0
    assert one["budget_s"] == pytest.approx(777.6)
    await leader.get("/phoenix/uptime", window="year", expect=422)
