"""From an accepted SPEC to a running service, and every way in which that can go wrong."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.build import build_id
from domain.delivery_events import DeploymentStarted
from domain.instance import LeadershipTaken
from domain.intent import IntentCancelled
from infra.ports import Fence, Term
from infra.settings import BASE_PORTS
from infra.signing import public_key, verify
from infra.trust import TRUST
from services.build_executor.work import Step, open_work
from tests.executor.world import SPEC, T0, executor, intent_of
from tests.support.context import World

LINE = ["BuildStarted", "CodeGenerated", "TestsPassed", "ArtifactPackaged"]


async def test_a_spec_becomes_a_proven_service_with_signed_provenance(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept()
        done = await site.build(build, "healthy", "failed", "rolled_back")
        assert done["status"] == "healthy", done
        assert await site.events(f"events.build.{build}") == LINE
        deployed = await site.events("events.deployment.parking-lots")
        assert deployed == ["DeploymentStarted", "DeploymentHealthy"]
        assert await site.events(f"events.port.{done['port']}") == ["PortReserved"]
        assert done["tests_passed"] > 5
        assert (done["version"], done["sandbox"]) == ("1.0.0", "bubblewrap")

        objects = site.world.ctx.objects
        envelope = await objects.get(done["provenance_digest"])
        statement = verify(envelope, public_key(tmp_path))
        definition = statement["predicate"]["buildDefinition"]
        named = {d["name"]: d["digest"]["sha256"] for d in definition["resolvedDependencies"]}
        assert named["spec"] == done["spec_digest"]
        assert {"source-tree", "templates", "decision"} <= set(named)
        sbom = json.loads(await objects.get(done["sbom_digest"]))
        assert sbom["specVersion"] == "1.6"

        async with httpx.AsyncClient(verify=TRUST, trust_env=False) as client:
            health = (await client.get(f"{done['url']}/health")).json()
        assert (health["service"], health["version"]) == ("parking-lots", "1.0.0")
        unpacked = site.launcher.installed[0] / "parking_lots" / "service.py"
        assert "def create" in unpacked.read_text()
        log = await site.world.client.get(f"/builds/{build}/log")
        assert "passed" in log.text
        listed = await site.world.call("GET", "/deployments")
        assert listed["items"][0]["version"] == "1.0.0"


async def test_a_deployment_declares_what_its_spec_does_not_only_its_intent(tmp_path: Path) -> None:
    async with executor(tmp_path, lead=False) as site:
        spec = {"dependencies": ["prices"], "key_features": ["Register parking lots"]}
        build = await site.accept(spec, dependencies=("stock",))
        await site.world.seen()
        (claim,) = open_work(site.world.ctx)
        await Step(site.world.ctx, healthy_s=0.1)(claim, site.world.term)
        (started, *_) = await site.world.log.read("events.deployment.parking-lots")
    assert isinstance(started.event, DeploymentStarted)
    assert started.event.build_id == build
    assert started.event.dependencies == ("prices",)
    assert started.event.features == ("Register parking lots",)


async def test_an_upgrade_keeps_its_port_and_a_dark_one_goes_back_on_its_own(
    tmp_path: Path,
) -> None:
    async with executor(tmp_path, healthy_s=3.0) as site:
        first = await site.build(await site.accept(), "healthy")
        second = await site.build(await site.accept({"title": "Second"}), "healthy")
        assert (second["version"], second["port"]) == ("1.1.0", first["port"])
        site.launcher.broken.add("1.2.0")
        third = await site.build(await site.accept({"title": "Third"}), "rolled_back")
        assert "after 3 s" in third["reason"]
        row = await site.world.call("GET", "/deployments/parking-lots")
        assert (row["version"], row["status"]) == ("1.1.0", "healthy")
        assert await site.events(f"events.port.{first['port']}") == ["PortReserved"]

        path = f"/builds/{second['build_id']}/rollback"
        await site.world.call("POST", path, json={}, token="eve", expect=403)
        answer = await site.world.call("POST", path, json={"reason": "slow"}, token="ann")
        assert (answer["version"], answer["to_version"]) == ("1.1.0", "1.0.0")
        again = await site.world.call("POST", path, json={}, token="ann")
        assert again["to_version"] == ""  # it is given up already


async def test_a_first_version_that_stays_dark_frees_its_port(tmp_path: Path) -> None:
    async with executor(tmp_path, healthy_s=1.0) as site:
        site.launcher.broken.add("1.0.0")
        done = await site.build(await site.accept(), "rolled_back")
        assert await site.events(f"events.port.{done['port']}") == ["PortReserved", "PortReleased"]
        types = await site.events("events.deployment.parking-lots")
        assert types == ["DeploymentStarted", "DeploymentFailed", "DeploymentRolledBack"]


async def test_a_service_waits_for_people_where_the_intent_says_so(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept(auto_build=False, auto_deploy=False)
        waiting = await site.build(build, "waiting")
        assert waiting["waits_for_approval"] == "build"
        path = f"/builds/{build}/approve"
        await site.world.call("POST", path, json={}, expect=401)
        await site.world.call("POST", path, json={}, token="eve", expect=403)
        await site.world.call("POST", path, json={}, token="bob")
        packaged = await site.build(build, "packaged")
        assert packaged["waits_for_approval"] == "deploy"
        assert await site.events("events.deployment.parking-lots") == []
        await site.world.call("POST", path, json={}, token="bob")
        await site.build(build, "healthy")
        await site.world.call("POST", path, json={}, token="bob", expect=409)


async def test_a_build_can_be_cancelled_by_its_submitter_and_stays_cancelled(
    tmp_path: Path,
) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept(auto_build=False)
        await site.build(build, "waiting")
        await site.world.call("POST", f"/builds/{build}/cancel", json={}, token="ann")
        answer = await site.build(build, "cancelled")
        assert "cancelled by ann" in answer["reason"]
        await site.world.call("POST", f"/builds/{build}/approve", json={}, token="ann", expect=409)
        assert await site.events(f"events.build.{build}") == ["BuildCancelled"]


async def test_a_build_under_way_ends_when_its_intent_is_cancelled(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept()
        row = await site.build(build, "building")
        cancelled = IntentCancelled(intent_id=row["intent_id"], at=T0, reason="changed my mind")
        await site.world.append(cancelled)
        done = await site.build(build, "cancelled")
        assert "changed my mind" in done["reason"]
        assert await site.events("events.deployment.parking-lots") == []


async def test_a_new_leader_goes_on_after_the_last_finished_step(tmp_path: Path) -> None:
    async with executor(tmp_path, lead=False) as site:
        build = await site.accept(auto_deploy=False)
        await site.world.seen()
        (claim,) = open_work(site.world.ctx)
        step = Step(site.world.ctx)
        await step(claim, site.world.term)
        before = await site.world.log.read(f"events.build.{build}")
        await step(claim, site.world.term)  # the same leader once more: nothing new
        assert len(await site.world.log.read(f"events.build.{build}")) == len(before)
        assert [recorded.event.short_type for recorded in before] == LINE


async def test_a_claim_of_an_older_epoch_is_taken_over_and_nothing_is_tested_twice(
    tmp_path: Path,
) -> None:
    async with executor(tmp_path, lead=False) as site:
        build = await site.accept(auto_deploy=False)
        await site.world.seen()
        (claim,) = open_work(site.world.ctx)
        crashing = Step(site.world.ctx)
        site.world.ctx.objects = _Failing(site.world.ctx.objects, after=1)
        with pytest.raises(OSError, match="lost"):  # after the tests, before the artifact
            await crashing(claim, site.world.term)
        assert await site.events(f"events.build.{build}") == LINE[:3]
        site.world.ctx.objects = site.world.ctx.objects.real
        newer = await _take_over(site.world)
        await Step(site.world.ctx)(claim, newer)
        types = await site.events(f"events.build.{build}")
        assert types == [*LINE[:3], "BuildStarted", "ArtifactPackaged"]


async def test_a_build_that_waits_ends_with_its_intent(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept(auto_build=False)
        waiting = await site.build(build, "waiting")
        cancelled = IntentCancelled(
            intent_id=waiting["intent_id"], at=T0, reason="no longer wanted"
        )
        await site.world.append(cancelled, correlation_id=waiting["intent_id"])
        ended = await site.build(build, "cancelled")
        assert "the intent has ended" in ended["reason"]
        assert await site.events(f"events.build.{build}") == ["BuildCancelled"]


async def test_parts_of_this_system_are_not_generated(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        named = await site.build(await site.accept({"service_name": "registry"}), "failed")
        assert "part of this system" in named["reason"]


async def test_a_port_of_somebody_else_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        clash = await site.build(await site.accept(port=BASE_PORTS["registry"] + 1000), "failed")
        assert "belongs to another service" in clash["reason"]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 8302 + 1000 + site.world.ctx.port_shift))
            listener.listen()
            busy = await site.build(await site.accept(port=8302), "failed")
        assert "in use on this host" in busy["reason"]
        assert await site.events("events.port.8302") == []


async def test_a_retired_service_frees_its_port_and_may_come_back(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        first = await site.build(await site.accept(), "healthy")
        await site.clear(intent_of(SPEC, kind="retire"))
        async with _soon():
            while "DeploymentRetired" not in await site.events("events.deployment.parking-lots"):
                await site.world.ctx.views.changed(timeout_s=0.1)
        port = f"events.port.{first['port']}"
        assert await site.events(port) == ["PortReserved", "PortReleased"]
        again = await site.build(await site.accept({"title": "Again"}), "healthy")
        assert again["version"] == "1.1.0"


async def test_a_submitted_spec_goes_through_governance_as_an_intent(tmp_path: Path) -> None:
    async with executor(tmp_path, lead=False) as site:
        await site.world.call("POST", "/builds/submit", json={}, token="ann", expect=422)
        answer = await site.world.call(
            "POST", "/builds/submit", json={"spec": SPEC}, token="ann", expect=202
        )
        raw: Any = await site.world.log.get(answer["position"])
        assert json.loads(raw.event.body)["spec"] == SPEC
        assert raw.event.subject_name.endswith("ann")
        assert answer["build_id"] == build_id(answer["intent_id"], 1)
        missing = {"intent_id": str(uuid4())}
        await site.world.call("POST", "/builds/submit", json=missing, token="ann", expect=404)
        await site.world.call("GET", "/builds?status=odd", expect=422)
        await site.world.call("GET", "/builds/none", expect=404)


async def test_two_services_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        one = await site.accept()
        two = await site.accept({"service_name": "bike-racks"})
        rows = [await site.build(build, "healthy", "failed") for build in (one, two)]
        assert [row["status"] for row in rows] == ["healthy", "healthy"], rows
        assert rows[0]["port"] != rows[1]["port"]


async def test_the_artifact_that_is_deployed_is_the_one_that_was_built(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        done = await site.build(await site.accept(), "healthy")
        (started, _) = await site.world.log.read("events.deployment.parking-lots")
        assert isinstance(started.event, DeploymentStarted)
        assert started.event.artifact_digest == done["artifact_digest"]
        assert started.epoch == 1
        assert started.correlation_id == done["intent_id"]


class _Failing:
    """An object store whose connection is lost after some calls."""

    def __init__(self, real: Any, *, after: int) -> None:
        self.real = real
        self._left = after

    async def put(self, data: bytes, *, description: str = "") -> str:
        if self._left == 0:
            raise OSError("connection lost")
        self._left -= 1
        return str(await self.real.put(data, description=description))

    async def get(self, digest: str) -> bytes:
        return bytes(await self.real.get(digest))


def _soon() -> asyncio.Timeout:
    return asyncio.timeout(20)


async def _take_over(world: World) -> Term:
    event = LeadershipTaken(
        at=T0, service=world.ctx.service, instance="instance-2", epoch=2, reason="expired"
    )
    position = await world.append(event)
    return Term(Fence(world.ctx.service, position, 2))


async def test_a_policy_can_demand_a_sandbox_that_this_host_must_then_give(tmp_path: Path) -> None:
    async with executor(tmp_path, sandbox="process") as site:
        build = await site.accept(sandbox="landlock")
        row = await site.build(build, "failed", "healthy")
        assert row["reason"] == (
            "sandbox: policy demands the sandbox level landlock; PHOENIX_SANDBOX=process gives one"
            " here of level process"
        )
        line = await site.events(f"events.build.{build}")
        assert line == ["BuildStarted", "CodeGenerated", "BuildFailed"]
        weaker = await site.accept({"service_name": "bike-racks"}, sandbox="process")
        assert (await site.build(weaker, "failed", "healthy"))["status"] == "healthy"


async def test_a_build_is_tested_at_the_landlock_level(tmp_path: Path) -> None:
    async with executor(tmp_path, sandbox="landlock") as site:
        build = await site.accept(sandbox="landlock")
        row = await site.build(build, "failed", "healthy")
        assert (row["status"], row["sandbox"]) == ("healthy", "landlock"), row["reason"]
