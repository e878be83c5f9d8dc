"""Who needs the service that an intent is about: looked up, recorded, counted as risk."""

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.delivery_events import (
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    ServiceDeregistered,
    ServiceRegistered,
)
from domain.dependents import NOBODY, Dependents
from domain.event import Event
from domain.governance_events import AlignmentAssessed, Assessment, BlastRadius, DecisionMade
from domain.rubric import evaluate
from tests.governance.labelled import BLUEPRINT
from tests.governance.world import World, governance, intent_of
from tests.support.context import T0

REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"
NAMES = st.sampled_from("abcde")


# --- looking up -----------------------------------------------------------------------------------


def test_dependents_are_found_from_the_other_end_directly_and_through_others() -> None:
    known = Dependents()
    known.learn("orders", ("prices", "stock"))
    known.learn("shop", ("orders",))
    known.learn("reports", ("shop", "prices"))

    assert known.of("prices") == BlastRadius(direct=("orders", "reports"), further=("shop",))
    assert known.of("stock") == BlastRadius(direct=("orders",), further=("reports", "shop"))
    assert known.of("reports") == NOBODY


def test_who_ends_or_needs_something_else_is_no_dependent_any_more() -> None:
    known = Dependents()
    known.learn("orders", ("prices",))
    known.learn("orders", ("stock",))
    assert (known.of("prices"), known.of("stock").direct) == (NOBODY, ("orders",))
    known.learn("orders", ())
    assert known.of("stock") == NOBODY


@given(st.lists(st.tuples(NAMES, st.frozensets(NAMES)), max_size=12))
def test_the_answer_is_that_of_walking_all_that_is_declared(
    said: list[tuple[str, frozenset[str]]],
) -> None:
    known, needs = Dependents(), dict[str, frozenset[str]]()
    for service, names in said:
        known.learn(service, names)
        needs[service] = names
    for service in "abcde":
        direct = {n for n, names in needs.items() if service in names} - {service}
        reached = set(direct)
        for _ in needs:
            reached |= {n for n, names in needs.items() if names & reached}
        further = reached - direct - {service}
        wanted = BlastRadius(direct=tuple(sorted(direct)), further=tuple(sorted(further)))
        assert known.of(service) == wanted


# --- weighing -------------------------------------------------------------------------------------


def weighed(direct: int, further: int = 0, **fields: Any) -> Assessment:
    names = [f"needs-{n:02d}" for n in range(direct + further)]
    radius = BlastRadius(direct=tuple(names[:direct]), further=tuple(names[direct:]))
    return evaluate(intent_of(REVENUE, **fields), BLUEPRINT, radius)


def test_each_dependent_adds_published_points_of_risk_up_to_a_bound() -> None:
    assert weighed(0).risk_level == "low"
    assert weighed(1).risk_factors == ("running services that need it: 1 (+2)",)
    assert weighed(1, 1).risk_level == "low"
    assert weighed(1, 2).risk_level == "medium"
    assert weighed(2).risk_level == "medium"
    assert weighed(60).risk_factors == ("running services that need it: 60 (+9)",)
    assert weighed(60).risk_level == "high"  # never critical by itself
    assert weighed(60, kind="retire").risk_level == "critical"


def test_the_evidence_names_who_needs_it_and_the_score_stays_what_it_was() -> None:
    plain, reaching = weighed(0), weighed(2, 1)
    (line,) = [each for each in reaching.evidence if each.criterion == "blast radius"]
    assert line.points == 0
    assert "running services that need it: 2, that need those: 1" in line.note
    assert "needs-00, needs-01, needs-02" in line.note
    assert "Small parts" in line.reference
    assert reaching.alignment_score == plain.alignment_score
    assert not [each for each in plain.evidence if each.criterion == "blast radius"]
    assert "and 2 more" in next(
        each.note for each in weighed(12).evidence if each.criterion == "blast radius"
    )


# --- the running service --------------------------------------------------------------------------


def deployed(name: str, *needs: str, version: str = "1.0.0") -> tuple[Event, ...]:
    started = DeploymentStarted(
        service_name=name, version=version, at=T0, artifact_digest="a", provenance_digest="p",
        wheel="w", port=8300, dependencies=needs,
    )  # fmt: skip
    healthy = DeploymentHealthy(
        service_name=name, version=version, at=T0, url="u", checks=(), duration_s=1
    )
    return (started, healthy)


async def assessed(world: World, **fields: Any) -> tuple[AlignmentAssessed, DecisionMade]:
    await world.seen()
    found = await world.decided(await world.queue(REVENUE, **fields))
    assessment, made = found[:2]
    assert isinstance(assessment, AlignmentAssessed)
    assert isinstance(made, DecisionMade)
    return assessment, made


async def test_an_upgrade_of_what_others_need_goes_before_a_person(world: World) -> None:
    for events in (deployed("orders", "prices"), deployed("shop", "orders"),
                   deployed("desk", "prices")):  # fmt: skip
        await world.append(*events)

    found, made = await assessed(world, service_name="prices")

    radius = BlastRadius(direct=("desk", "orders"), further=("shop",))
    assert found.assessment.blast_radius == radius
    assert found.assessment.risk_level == "medium"
    assert made.decision == "requires_approval"
    assert made.inputs["dependents"] == ("desk", "orders", "shop")
    answer = await world.get(f"/governance/decisions/{made.intent_id}")
    assert answer["blast_radius"] == {"direct": ["desk", "orders"], "further": ["shop"]}
    assert (await assessed(world, service_name="shop"))[1].decision == "auto_approve"


async def test_only_what_runs_counts_and_in_the_version_that_runs(world: World) -> None:
    await world.append(deployed("orders", "prices")[0])  # started, not proven
    assert (await assessed(world, service_name="prices"))[0].assessment.blast_radius == NOBODY

    await world.append(*deployed("orders", "prices", version="1.1.0"))
    await world.append(*deployed("orders", "stock", version="1.2.0"))
    assert (await assessed(world, service_name="prices"))[0].assessment.blast_radius == NOBODY

    back = DeploymentRolledBack(
        service_name="orders", version="1.2.0", to_version="1.1.0", at=T0, by="ann", reason="slow"
    )
    await world.append(back)
    found = (await assessed(world, service_name="prices"))[0].assessment.blast_radius
    assert found == BlastRadius(direct=("orders",))

    gone = DeploymentRetired(service_name="orders", version="1.1.0", at=T0, by="a", reason="r")
    await world.append(gone)
    assert (await assessed(world, service_name="prices"))[0].assessment.blast_radius == NOBODY


async def test_what_registered_itself_from_outside_counts_until_it_leaves(world: World) -> None:
    await world.append(
        ServiceRegistered(
            name="till", version="9", tier=2, port=9000, url="u", at=T0, dependencies=("prices",)
        )
    )
    found = (await assessed(world, service_name="prices"))[0].assessment.blast_radius
    assert found == BlastRadius(direct=("till",))
    await world.append(ServiceDeregistered(name="till", at=T0, by="ann"))
    assert (await assessed(world, service_name="prices"))[0].assessment.blast_radius == NOBODY


async def test_a_new_leader_and_a_standby_know_what_was_deployed_before(tmp_path: Path) -> None:
    async with governance(tmp_path, lead=False) as world:
        await world.append(*deployed("orders", "prices"))
        body = {"intent": {"service_name": "prices", "purpose": REVENUE}}
        answer = await world.post("/governance/check-alignment", body)
        assert answer["blast_radius"] == {"direct": ["orders"], "further": []}

        leading = asyncio.create_task(world.service.lead(world.term))
        found, _ = await assessed(world, service_name="prices")
        assert found.assessment.blast_radius == BlastRadius(direct=("orders",))
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)


async def test_a_replay_repeats_the_assessment_as_things_stood(world: World) -> None:
    await world.append(*deployed("orders", "prices"), *deployed("desk", "prices"))
    found, made = await assessed(world, service_name="prices")
    await world.append(
        DeploymentRetired(service_name="orders", version="1.0.0", at=T0, by="a", reason="r")
    )

    answer = await world.post(f"/governance/decisions/{made.decision_id}/replay")

    assert found.assessment.blast_radius == BlastRadius(direct=("desk", "orders"))
    assert answer["identical"] is True
    assert answer["assessment"] == {"repeatable": True, "identical": True}


async def test_an_assessment_from_before_is_repeated_without_a_blast_radius(world: World) -> None:
    intent = await world.queue(REVENUE, service_name="prices")
    now, made = (await world.decided(intent))[:2]
    assert isinstance(now, AlignmentAssessed)
    assert isinstance(made, DecisionMade)
    old = {"rubric_version": "3", "blast_radius": None}
    before = now.model_copy(
        update={"assessment": now.assessment.model_copy(update=old), "attempt": 2}
    )
    inputs = {name: value for name, value in made.inputs.items() if name != "dependents"}
    decision = made.model_copy(update={"inputs": inputs, "attempt": 2, "decision_id": "old"})
    await world.append(*deployed("orders", "prices"))
    await world.append(before, decision)
    queued = (await world.log.read(f"events.intent.{intent.intent_id}"))[0].event
    await world.append(queued.model_copy(update={"attempt": 2}))

    answer = await world.post("/governance/decisions/old/replay")

    assert answer["identical"] is True
    assert answer["assessment"] == {"repeatable": True, "identical": True}


async def test_a_policy_may_ask_who_needs_it(world: World) -> None:
    policy = {
        "policy_id": "shared_parts",
        "conditions": ["size(dependents) > 0"],
        "outcome": "requires_approval",
    }
    await world.post("/governance/policies", policy, token="ann", expect=201)
    await world.append(*deployed("orders", "prices"))

    assert (await assessed(world, service_name="prices"))[1].policy_applied == "shared_parts"
    assert (await assessed(world, service_name="orders"))[1].decision == "auto_approve"
