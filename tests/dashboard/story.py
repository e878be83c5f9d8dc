"""Intents, decisions and questions to people as governance writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from domain.build import build_id
from domain.delivery_events import ServiceRegistered, SpecAccepted, SpecNeedsDetail
from domain.governance import shown_digest
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalDelegated,
    ApprovalRequested,
    Assessment,
    ConditionValue,
    Decision,
    DecisionMade,
    Evidence,
    ModeChanged,
    Policy,
    PolicyAdopted,
    Usage,
)
from domain.intent import Intent, IntentQueued
from tests.registry.world import World, leads, ready, started

PURPOSE = "AI-powered blueprint alignment and auto-approval governance engine"


def now() -> datetime:
    return datetime.now(UTC)


def intent(name: str, *, purpose: str = PURPOSE, tier: int = 0, by: str = "dev") -> Intent:
    return Intent(
        intent_id=str(uuid5(NAMESPACE_URL, name)),
        service_name=name,
        purpose=purpose,
        key_features=("Scores every intent against the blueprint", "Explains each decision"),
        submitted_by=by,
        authenticated=True,
        source="cli",
        service_type="infrastructure" if tier == 0 else "domain",
        priority="critical" if tier == 0 else "medium",
        target_tier=tier,
        dependencies=("registry",),
    )


def _assessed(asked: Intent, *, score: float, at: datetime) -> AlignmentAssessed:
    assessment = Assessment(
        alignment_score=score,
        aligned=True,
        risk_level="low",
        risk_factors=("Touches how intents are approved",) if asked.target_tier == 0 else (),
        reasoning="Close to what the blueprint grows towards; nothing in it is risky by itself.",
        recommendations=("Name who may change its policies",),
        tier=asked.target_tier,
        claimed_tier=asked.target_tier,
        evaluator="rubric",
        rubric_version="1",
        evidence=(
            Evidence(
                criterion="improves_itself",
                points=0.35,
                quote="auto-approval governance engine",
                reference="1. An autonomous system that improves itself",
                note="infrastructure that makes this safer is welcome",
            ),
            Evidence(criterion="clear_purpose", points=0.2, note="one sentence, concrete"),
            Evidence(criterion="scope", points=-0.05, note="no limits are named"),
        ),
    )
    return AlignmentAssessed(
        intent_id=asked.intent_id,
        at=at,
        assessment=assessment,
        blueprint_digest="b" * 64,
        intent_digest="i" * 64,
    )


def _made(asked: Intent, decision: Decision, *, score: float, at: datetime) -> DecisionMade:
    person = decision == "requires_approval"
    policy = "require_approval_tier0" if person else "auto_approve_tier2_aligned"
    return DecisionMade(
        intent_id=asked.intent_id,
        at=at,
        decision_id=str(uuid5(NAMESPACE_URL, f"{asked.intent_id}/decision")),
        decision=decision,
        policy_applied=policy,
        conditions=(
            ConditionValue(
                policy_id="block_misaligned", expression="alignment_score < 0.70", value=False
            ),
            ConditionValue(
                policy_id="require_approval_tier0", expression="tier == 0", value=person
            ),
            ConditionValue(
                policy_id="auto_approve_tier2_aligned",
                expression="tier >= 2 && alignment_score >= 0.85 && risk_level == 'low'",
                value=not person,
            ),
        ),
        inputs={"tier": asked.target_tier, "alignment_score": score, "risk_level": "low"},
        mode="autonomous",
        bundle_digest="d" * 64,
        reasoning="Tier 0 goes before a person." if person else "Aligned, and low risk.",
        next_action="send_to_approval_dashboard" if person else "forward_to_spec_assembly",
        service_name=asked.service_name,
    )


async def ask(
    world: World,
    name: str = "governance-engine",
    *,
    purpose: str = PURPOSE,
    by: str = "dev",
    quorum: int = 1,
    ttl: timedelta = timedelta(hours=72),
    warning: str = "",
    usage: Usage | None = None,
    bundle_digest: str = "d" * 64,
) -> ApprovalRequested:
    """Queue a tier-0 intent and ask people about it; return the question."""
    asked = intent(name, purpose=purpose, by=by)
    at = now()
    queued = IntentQueued(intent_id=asked.intent_id, at=at, intent=asked, raw_position=1)
    await world.append(queued, correlation_id=asked.intent_id, actor="intent-queue")
    made = _made(asked, "requires_approval", score=0.95, at=at)
    made = made.model_copy(update={"bundle_digest": bundle_digest})
    request = ApprovalRequested(
        intent_id=asked.intent_id,
        at=at,
        approval_id=str(uuid5(NAMESPACE_URL, f"{asked.intent_id}/approval")),
        decision_id=made.decision_id,
        digest=shown_digest(asked, made),
        summary=f"{name}: {purpose}",
        reasons=(made.reasoning,),
        quorum=quorum,
        expires_at=at + ttl,
        service_name=name,
        submitted_by=by,
        alignment_score=0.95,
        risk_level="low",
        tier=0,
        warning=warning,
    )
    assessed = _assessed(asked, score=0.95, at=at)
    told = assessed.assessment.model_copy(update={"usage": usage})
    await world.append(
        assessed.model_copy(update={"assessment": told}),
        made,
        request,
        correlation_id=asked.intent_id,
        actor="governance",
    )
    await world.seen()
    return request


async def ask_again(world: World, asked: ApprovalRequested) -> ApprovalRequested:
    """Put the question again, as governance does under changed policies; return the new one."""
    history = await world.log.read(f"events.governance.{asked.intent_id}")
    made = next(r.event for r in history if isinstance(r.event, DecisionMade))
    id = str(uuid5(NAMESPACE_URL, f"{asked.approval_id}/again"))
    made = made.model_copy(update={"decision_id": f"{id}/decision", "bundle_digest": "e" * 64})
    update = {"approval_id": id, "decision_id": made.decision_id, "digest": "f" * 64}
    again = asked.model_copy(update=update)
    await world.append(made, again, correlation_id=asked.intent_id, actor="governance")
    return again


async def auto(world: World, name: str = "revenue-analytics") -> Intent:
    """Queue a tier-2 intent that policy approves by itself."""
    purpose = "Track revenues by source and month and show monthly totals"
    asked = intent(name, purpose=purpose, tier=2)
    await cleared(world, asked)
    return asked


async def cleared(world: World, asked: Intent) -> None:
    """Queue an intent and let policy approve it."""
    at = now()
    await world.append(
        IntentQueued(intent_id=asked.intent_id, at=at, intent=asked, raw_position=2),
        correlation_id=asked.intent_id,
        actor="intent-queue",
    )
    await world.append(
        _assessed(asked, score=0.92, at=at),
        _made(asked, "auto_approve", score=0.92, at=at),
        correlation_id=asked.intent_id,
        actor="governance",
    )
    await world.seen()


async def rules(world: World) -> None:
    """The first mode and two policies, as governance puts them on the record."""
    shipped: list[dict[str, Any]] = [
        {
            "policy_id": "block_misaligned",
            "description": "What leads away from the blueprint is not built",
            "conditions": ["alignment_score < 0.70"],
            "outcome": "blocked",
            "priority": 100,
        },
        {
            "policy_id": "require_approval_tier0",
            "description": "Infrastructure goes before a person",
            "conditions": ["tier == 0"],
            "outcome": "requires_approval",
            "priority": 10,
            "modes": ["supervised", "autonomous"],
        },
    ]
    await world.append(
        ModeChanged(at=now(), mode="autonomous", by="settings", reason="first start")
    )
    await world.append(
        *(
            PolicyAdopted(
                at=now(), policy=Policy.model_validate(p), bundle_digest="d" * 64, by="shipped"
            )
            for p in shipped
        )
    )
    await world.seen()


async def services(world: World) -> None:
    """Two registered services with three instances each."""
    for name, port in (("governance", 8213), ("registry", 8000)):
        await world.append(*(started(name, seat, port=port, at=now()) for seat in range(3)))
        await world.append(*(ready(name, seat) for seat in range(3)))
        await world.append(leads(name))
        await world.append(
            ServiceRegistered(
                name=name,
                at=now(),
                version="0.1.0",
                tier=0,
                port=port,
                url=f"http://127.0.0.1:{port}",
                features=("Decides by policy", "Explains itself"),
                dependencies=("nats",),
                builtin=True,
            )
        )
    await world.seen()


async def held(world: World, name: str = "room-booking") -> str:
    """A build that may start only when a person says so; return its id."""
    asked = intent(name, purpose="Keeps bookings of rooms", tier=2).model_copy(
        update={"auto_build": False}
    )
    await cleared(world, asked)
    accepted = SpecAccepted(
        intent_id=asked.intent_id, at=now(), score=94.0, digest="s" * 64, gate=90.0
    )
    await world.append(accepted, correlation_id=asked.intent_id, actor="sovereign-factory")
    await world.seen()
    return build_id(asked.intent_id, 1)


async def asks(world: World, name: str = "team-helper") -> Intent:
    """An intent whose SPEC needs detail from a person."""
    asked = await auto(world, name)
    question = SpecNeedsDetail(
        intent_id=asked.intent_id,
        at=now(),
        attempt=1,
        questions=("Which records does it keep?",),
        service_name=name,
    )
    await world.append(question, correlation_id=asked.intent_id, actor="sovereign-factory")
    await world.seen()
    return asked


def wishes() -> Intent:
    """An intent that wants code which a model writes."""
    fields = [
        {"name": "amount", "type": "decimal", "required": True, "min": "0"},
        {"name": "fee", "type": "decimal"},
    ]
    fee = {
        "name": "late_fee",
        "record": "invoice",
        "on": ["create", "update"],
        "does": "The fee is 5 % of the amount.",
        "sets": ["fee"],
    }
    asked = intent("invoice-desk", purpose="Keeps invoices and what is due", tier=2)
    spec = {"records": [{"name": "invoice", "fields": fields}]}
    return asked.model_copy(update={"spec": spec, "metadata": {"custom": [fee]}})


async def delegated(world: World) -> None:
    """Bob lets Eve answer in his place."""
    until = now() + timedelta(days=3)
    await world.append(
        ApprovalDelegated(
            at=now(), approver="bob", delegate="eve", until=until, reason="on holiday"
        )
    )
    await world.seen()
