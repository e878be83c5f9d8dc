"""One call says why a service runs, who allowed it and with what it was made."""

from typing import Any

from domain.delivery_events import (
    ArtifactPackaged,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    ServiceDeregistered,
    ServiceRegistered,
    SpecAccepted,
)
from domain.event import Event
from tests.governance.world import World
from tests.support.context import T0

REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"


def started(intent_id: str, version: str = "1.0.0") -> DeploymentStarted:
    return DeploymentStarted(
        at=T0,
        service_name="some-service",
        version=version,
        intent_id=intent_id,
        build_id=f"build-{version}",
        artifact_digest="wheel",
        provenance_digest="envelope",
        wheel="some_service.whl",
        port=8300,
    )


def healthy(intent_id: str, version: str = "1.0.0") -> tuple[Event, Event]:
    proven = DeploymentHealthy(
        at=T0,
        service_name="some-service",
        version=version,
        intent_id=intent_id,
        build_id=f"build-{version}",
        url="http://127.0.0.1:8300",
        checks=("health",),
        duration_s=1.0,
    )
    return (started(intent_id, version), proven)


def back(intent_id: str, version: str, to: str) -> DeploymentRolledBack:
    return DeploymentRolledBack(
        at=T0, service_name="some-service", version=version, intent_id=intent_id,
        to_version=to, by="bob", reason="slow",
    )  # fmt: skip


def registered(name: str, **fields: Any) -> ServiceRegistered:
    return ServiceRegistered(name=name, at=T0, version="9", tier=0, port=1, url="u", **fields)


async def test_a_running_service_is_traced_to_its_decision_people_and_artifact(
    world: World,
) -> None:
    intent = await world.queue(REVENUE, submitted_by="carol")
    await world.decided(intent)
    await world.append(
        SpecAccepted(intent_id=intent.intent_id, at=T0, digest="spec", score=93, gate=90)
    )
    await world.append(
        ArtifactPackaged(
            build_id="build-1.0.0",
            intent_id=intent.intent_id,
            at=T0,
            artifact_digest="wheel",
            wheel="some_service-1.0.0-py3-none-any.whl",
            sbom_digest="sbom",
            provenance_digest="envelope",
            key_id="key",
            size_bytes=1,
            duration_s=1.0,
        )
    )
    await world.append(*healthy(intent.intent_id))

    answer = await world.get("/governance/audit", service="some-service")

    assert answer["running"] is True
    assert answer["intent"]["submitted_by"] == "carol"
    assert answer["why"]["decision"] == "auto_approve"
    assert answer["why"]["policy_applied"] == "auto_approve_tier2_aligned"
    assert any(line["value"] is True for line in answer["why"]["conditions"])
    assert answer["who"] == {"submitted_by": "carol", "approvals": [], "override": None}
    made_with = answer["with_what"]
    assert (made_with["spec_digest"], made_with["artifact_digest"]) == ("spec", "wheel")
    assert made_with["bundle_digest"]
    assert made_with["blueprint_digest"]
    positions = [line["position"] for line in answer["trail"]]
    assert positions == sorted(positions)
    assert [line["type"] for line in answer["trail"]][-1] == "DeploymentHealthy.v1"


async def test_what_comes_after_a_deployment_does_not_explain_it(world: World) -> None:
    intent = await world.queue(REVENUE)
    await world.decided(intent)
    await world.append(*healthy(intent.intent_id))
    body = {"intent_id": intent.intent_id, "decision": "blocked", "reason": "too late"}
    await world.post("/governance/override", body, token="bob")
    retired = DeploymentRetired(
        at=T0, service_name="some-service", version="1.0.0", by="bob", reason="no longer wanted"
    )
    await world.append(retired)
    answer = await world.get("/governance/audit", service="some-service")
    assert answer["who"]["override"] is None
    assert answer["why"]["standing"] == "cleared"
    assert answer["running"] is False


async def test_after_an_upgrade_and_back_the_answer_is_about_the_version_that_runs(
    world: World,
) -> None:
    first, second = await world.queue(REVENUE, submitted_by="carol"), await world.queue(REVENUE)
    await world.decided(first)
    await world.decided(second)
    await world.append(*healthy(first.intent_id))
    await world.append(started(second.intent_id, "1.1.0"))
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["running"]) == ("1.0.0", True)  # not proven yet

    await world.append(healthy(second.intent_id, "1.1.0")[1])
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["intent_id"]) == ("1.1.0", second.intent_id)
    assert answer["rolled_back"] is None

    position = await world.append(back(second.intent_id, "1.1.0", "1.0.0"))
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["running"]) == ("1.0.0", True)
    assert answer["who"]["submitted_by"] == "carol"
    assert answer["with_what"]["build_id"] == "build-1.0.0"
    assert answer["rolled_back"] == {
        "from_version": "1.1.0", "by": "bob", "reason": "slow", "position": position,
    }  # fmt: skip
    assert answer["trail"][-1]["position"] == position

    failed = DeploymentFailed(
        at=T0, service_name="some-service", version="1.2.0", intent_id="", reason="dark"
    )
    await world.append(started("", "1.2.0"), failed, back("", "1.2.0", "1.0.0"))
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["rolled_back"]["from_version"]) == ("1.0.0", "1.2.0")


async def test_a_part_of_this_system_runs_as_installed_until_it_was_built(world: World) -> None:
    await world.append(registered("some-service", builtin=True))
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["running"]) == ("9", True)
    assert answer["why"]["decision"] is None
    assert "as installed" in answer["why"]["reasoning"]
    assert answer["who"]["registered_by"] == "test"

    intent = await world.queue(REVENUE)
    await world.decided(intent)
    await world.append(*healthy(intent.intent_id))
    answer = await world.get("/governance/audit", service="some-service")
    assert answer["why"]["decision"] == "auto_approve"

    await world.append(back(intent.intent_id, "1.0.0", ""))  # the installed source again
    answer = await world.get("/governance/audit", service="some-service")
    assert (answer["version"], answer["running"]) == ("9", True)
    assert "as installed" in answer["why"]["reasoning"]


async def test_who_registered_from_outside_is_no_decision_of_this_system(world: World) -> None:
    await world.append(registered("till"))
    answer = await world.get("/governance/audit", service="till")
    assert "from outside" in answer["why"]["reasoning"]
    await world.append(ServiceDeregistered(name="till", at=T0, by="bob"))
    answer = await world.get("/governance/audit", service="till")
    assert answer["running"] is False


async def test_a_service_that_was_never_deployed_is_not_found(world: World) -> None:
    await world.seen()
    answer = await world.client.get("/governance/audit", params={"service": "nobody"})
    assert answer.status_code == 404
