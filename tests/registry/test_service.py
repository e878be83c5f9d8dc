"""The running registry: what its leader records and what each endpoint answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.delivery_events import (
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    ServiceDegraded,
    ServiceDeregistered,
    ServiceRecovered,
    ServiceRegistered,
)
from domain.governance_events import ModeChanged
from domain.instance import InstanceDied, InstancePromoted
from services.registry.service import create
from tests.registry.world import World, leads, ready, running, started
from tests.support.context import T0

FEED = {"name": "price-feed", "version": "2.1", "port": 9100, "features": ["Prices"]}


@pytest.fixture
async def standby(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as world:
        yield world


@pytest.fixture
async def leader(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path, lead=True, everywhere=True, heartbeat_s=1) as world:
        yield world


async def deploy(world: World, version: str = "1.0.0", name: str = "revenue") -> None:
    await world.append(
        DeploymentStarted(
            at=T0,
            service_name=name,
            version=version,
            intent_id="i-1",
            build_id="b-1",
            artifact_digest="d",
            provenance_digest="p",
            wheel="w.whl",
            port=8300,
            features=("Totals",),
            dependencies=("registry",),
        )
    )
    await world.append(
        DeploymentHealthy(
            at=T0,
            service_name=name,
            version=version,
            url="http://127.0.0.1:8300",
            checks=("GET /health",),
            duration_s=1,
        )
    )


async def registered_as(world: World, name: str, version: str, *, build_id: str) -> None:
    """Wait until the newest registration is this one."""
    async with asyncio.timeout(5):
        while True:
            last = (await world.recorded(f"events.service.{name}"))[-1]
            if isinstance(last, ServiceRegistered) and last.build_id == build_id:
                assert last.version == version
                return
            await world.ctx.views.changed(timeout_s=0.02)


async def test_a_healthy_deployment_is_registered_with_its_intent(leader: World) -> None:
    await deploy(leader)

    (event,) = await leader.recorded("events.service.revenue")

    assert isinstance(event, ServiceRegistered)
    assert (event.version, event.port, event.intent_id) == ("1.0.0", 8300, "i-1")
    (recorded,) = await leader.log.read("events.service.revenue")
    assert (recorded.correlation_id, recorded.epoch, recorded.actor) == ("i-1", 1, "registry")
    one = await leader.get("/services/revenue")
    assert one["features"] == ["Totals"]
    assert one["dependencies"] == ["registry"]
    assert one["status"] == "active"


async def test_a_retired_deployment_is_taken_off_the_list(leader: World) -> None:
    await deploy(leader)
    await leader.recorded("events.service.revenue")
    await leader.append(
        DeploymentRetired(at=T0, service_name="revenue", version="1.0.0", by="ann", reason="old")
    )

    found = await leader.recorded("events.service.revenue", count=2)

    assert isinstance(found[1], ServiceDeregistered)
    await leader.get("/services/revenue", expect=404)


async def test_a_built_in_service_is_registered_once_an_instance_is_ready(leader: World) -> None:
    await leader.append(started("registry"))
    await leader.append(ready("registry"))

    (event,) = await leader.recorded("events.service.registry")

    assert isinstance(event, ServiceRegistered)
    assert (event.builtin, event.port, event.tier) == (True, 8000, 0)
    assert event.features == tuple(create(leader.ctx).features)


async def test_a_part_of_this_system_that_goes_back_is_registered_as_it_is_installed(
    leader: World,
) -> None:
    await leader.append(started("registry", version="0.1.0+b1"), ready("registry"))
    await deploy(leader, "0.1.0+b1", "registry")
    await registered_as(leader, "registry", "0.1.0+b1", build_id="b-1")

    back = DeploymentRolledBack(
        at=T0, service_name="registry", version="0.1.0+b1", by="ann", reason="slow"
    )
    await leader.append(back, started("registry", version="0.1.0"), ready("registry"))

    await registered_as(leader, "registry", "0.1.0", build_id="")


async def test_a_service_that_stops_answering_is_degraded_and_one_that_answers_recovers(
    leader: World,
) -> None:
    dead = {**FEED, "url": "http://127.0.0.1:1"}
    await leader.call("POST", "/services/register", dead, token="ann", expect=201)
    found = await leader.recorded("events.service.price-feed", count=2, within_s=10)
    assert isinstance(found[1], ServiceDegraded)
    assert "no answer at http://127.0.0.1:1" in found[1].reason
    listed = await leader.get("/services/price-feed")
    assert (listed["status"], listed["reason"]) == ("degraded", found[1].reason)

    alive = {**FEED, "url": leader.url}
    await leader.call("POST", "/services/register", alive, token="ann", expect=201)
    assert (await leader.get("/services/price-feed"))["status"] == "active"


async def test_a_service_reports_its_own_trouble_by_heartbeat(standby: World) -> None:
    await standby.call("POST", "/services/register", FEED, token="ann", expect=201)
    path = "/services/price-feed/heartbeat"

    ill = await standby.call("POST", path, {"status": "error", "problem": "disk full"}, token="bob")
    await standby.call("POST", path, {"status": "error", "problem": "disk full"}, token="bob")
    well = await standby.call("POST", path, {"status": "active"}, token="bob")

    assert (ill["status"], well["status"]) == ("degraded", "active")
    events = await standby.recorded("events.service.price-feed", count=3)
    assert [type(event) for event in events] == [
        ServiceRegistered,
        ServiceDegraded,
        ServiceRecovered,
    ]


async def test_registering_twice_is_one_registration(standby: World) -> None:
    first = await standby.call("POST", "/services/register", FEED, token="ann", expect=201)
    second = await standby.call("POST", "/services/register", FEED, token="ann", expect=201)
    assert first == second
    assert first["url"] == "http://127.0.0.1:9100"
    assert len(await standby.log.read("events.service.price-feed")) == 1


async def test_writes_need_a_person_and_reads_do_not(standby: World) -> None:
    await standby.call("POST", "/services/register", FEED, expect=401)
    await standby.call("DELETE", "/services/price-feed", expect=401)
    assert (await standby.get("/services"))["items"] == []


async def test_the_parts_of_the_system_cannot_be_removed_or_replaced_over_http(
    standby: World,
) -> None:
    await standby.append(
        ServiceRegistered(
            at=T0, name="registry", version="0", tier=0, port=8000, url="http://h", builtin=True
        )
    )
    taken = {**FEED, "name": "registry"}
    await standby.call("POST", "/services/register", taken, token="ann", expect=409)
    await standby.call("DELETE", "/services/registry", token="ann", expect=409)
    await standby.call("DELETE", "/services/unknown", token="ann", expect=404)


async def test_an_external_service_is_removed_by_hand(standby: World) -> None:
    await standby.call("POST", "/services/register", FEED, token="ann", expect=201)
    await standby.call("DELETE", "/services/price-feed?reason=moved", token="ann")
    await standby.get("/services/price-feed", expect=404)
    *_, last = await standby.log.read("events.service.price-feed")
    assert (last.event.by, last.event.reason) == ("ann", "moved")  # type: ignore[attr-defined]


async def test_the_port_shift_of_the_host_is_in_ports_and_addresses(standby: World) -> None:
    standby.ctx.port_shift = 500
    await standby.append(
        ServiceRegistered(
            at=T0, name="revenue", version="1", tier=2, port=8300, url="http://old", build_id="b"
        )
    )
    one = await standby.get("/services/revenue")
    assert (one["port"], one["url"]) == (8800, "http://127.0.0.1:8800")


async def test_phoenix_shows_every_group_with_roles_capacity_and_the_last_failover(
    standby: World,
) -> None:
    await standby.append(*(started("governance", seat, port=8213) for seat in range(3)))
    await standby.append(*(ready("governance", seat) for seat in range(3)))
    await standby.append(leads("governance", 1, 2))
    await standby.append(
        InstancePromoted(
            at=T0,
            service="governance",
            instance="governance-1",
            epoch=2,
            capacity=2,
            failover_s=0.011,
        )
    )

    answer = await standby.get("/phoenix")

    (group,) = [g for g in answer["groups"] if g["service"] == "governance"]
    assert [i["role"] for i in group["instances"]] == ["standby", "active", "standby"]
    assert [i["port"] for i in group["instances"]] == [8213, 9213, 10213]
    assert (group["leader"], group["epoch"], group["capacity_percent"]) == ("governance-1", 2, 500)
    assert (group["last_failover_s"], group["failovers"], group["whole"]) == (0.011, 1, True)


async def test_phoenix_says_how_instances_are_at_this_moment_and_what_does_not_answer(
    tmp_path: Path,
) -> None:
    async with running(create, tmp_path, everywhere=True) as world:
        mine = started("registry", 0, instance="tested-0")
        await world.append(mine, ready("registry", 0), started("registry", 1), leads("registry"))
        async with asyncio.timeout(5):
            while (await world.get("/health"))["requests_per_s"] == 0:  # full seconds count
                await world.get("/livez")

        (group,) = (await world.get("/phoenix"))["groups"]

        live = {i["instance"]: i["live"] for i in group["instances"]}
        assert live["tested-0"]["status"] == "active"
        assert live["tested-0"]["lag"] == 0
        assert live["tested-0"]["position"] == await world.log.last_position()
        assert live["tested-0"]["requests_per_s"] > 0
        assert set(live["registry-1"].values()) == {None}
        again = (await world.get("/phoenix"))["groups"][0]["instances"]
        assert {i["instance"]: i["live"] for i in again} == live  # asked at most once a second


async def test_the_metrics_carry_every_group(standby: World) -> None:
    await standby.append(*(started("governance", seat, port=8213) for seat in range(3)))
    await standby.append(*(ready("governance", seat) for seat in range(3)))
    await standby.append(leads("governance", 1, 2))
    died = {"at": T0, "service": "governance", "instance": "governance-2", "reason": "signal 9"}
    await standby.append(InstanceDied(**died, was_leader=False, planned=False))
    text = await standby.get("/metrics")
    for name, value in (
        ("epoch", 2),
        ("led", 1),
        ("instances", 3),
        ("instances_ready", 2),
        ("capacity", 3),
        ("restarts", 1),
        ("failovers", 0),
    ):
        assert f'phoenix_service_{name}{{name="governance"}} {float(value)}' in text


async def test_the_description_of_the_system_now_and_as_it_was(standby: World) -> None:
    mode = ModeChanged(at=T0, mode="autonomous", by="settings")
    before = await standby.append(mode)
    await standby.call("POST", "/services/register", FEED, token="ann", expect=201)

    now = await standby.get("/ssot")
    past = await standby.get("/ssot", at=str(before))

    assert [s["name"] for s in now["services"]] == ["price-feed"]
    assert now["governance"]["mode"] == "autonomous"
    assert past["services"] == []
    assert (past["position"], past["governance"]["mode"]) == (before, "autonomous")
    same = await standby.get("/ssot", at=str(now["position"]))
    assert same["services"] == now["services"]


async def test_the_description_at_a_time_is_that_of_the_last_event_before_it(
    standby: World,
) -> None:
    for hour, mode in enumerate(("supervised", "autonomous", "aggressive")):
        at = T0 + timedelta(hours=hour)
        await standby.append(ModeChanged.model_validate({"at": at, "mode": mode, "by": "x"}))
    moment = (T0 + timedelta(hours=1, minutes=30)).isoformat()
    assert (await standby.get("/ssot", at=moment))["governance"]["mode"] == "autonomous"
    earlier = (T0 - timedelta(days=1)).isoformat()
    assert (await standby.get("/ssot", at=earlier))["position"] == 0


async def test_a_place_that_is_not_in_the_log_is_refused(standby: World) -> None:
    for wrong in ("999", "yesterday", "2030-01-01T00:00:00"):
        assert (await standby.get("/ssot", at=wrong, expect=422))["field"] == "at"


async def test_the_description_as_markdown(standby: World) -> None:
    pipe = {**FEED, "features": ["a | b"]}
    await standby.call("POST", "/services/register", pipe, token="ann", expect=201)
    text = await standby.get("/ssot", accept="text/markdown")
    assert text.startswith("# The system as it is")
    assert "| price-feed | 2.1 | 2 | active | http://127.0.0.1:9100 | nothing |" in text
    assert "- a \\| b" in text
