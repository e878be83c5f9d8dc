"""One call says why a service runs, who allowed it and with what it was made."""

from domain.delivery_events import (
    ArtifactPackaged,
    DeploymentHealthy,
    DeploymentRetired,
    SpecAccepted,
)
from tests.governance.world import World
from tests.support.context import T0

REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"


def healthy(intent_id: str, version: str = "1.0.0") -> DeploymentHealthy:
    return DeploymentHealthy(
        at=T0,
        service_name="some-service",
        version=version,
        intent_id=intent_id,
        build_id="build-1",
        url="http://127.0.0.1:8300",
        checks=("health",),
        duration_s=1.0,
    )


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
            build_id="build-1",
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
    await world.append(healthy(intent.intent_id))

    answer = await world.get("/governance/audit", service="some-service")

    assert answer["running"] is True
    assert answer["intent"]["submitted_by"] == "carol"
    assert answer["why"]["decision"] == "auto_approve"
    assert answer["why"]["policy_applied"] == "auto_approve_tier2_aligned"
    assert any(line["value"] is True for line in answer["why"]["conditions"])
    assert answer["who"] == {"approvals": [], "override": None}
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
    await world.append(healthy(intent.intent_id))
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


async def test_a_service_that_was_never_deployed_is_not_found(world: World) -> None:
    await world.seen()
    answer = await world.client.get("/governance/audit", params={"service": "nobody"})
    assert answer.status_code == 404
