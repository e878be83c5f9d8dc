"""Why a running service runs, who wanted and allowed it, and with what it was made: one answer."""

from collections.abc import Sequence
from typing import Any

from domain.delivery_events import (
    ArtifactPackaged,
    DeploymentEvent,
    DeploymentHealthy,
    DeploymentRolledBack,
    ServiceDeregistered,
    ServiceRegistered,
    SpecAccepted,
    TestsPassed,
)
from domain.deployment import fold
from domain.errors import NotFound
from domain.intent import IntentQueued
from domain.recorded import Recorded
from infra.ports import Context
from services.governance import answers

History = Sequence[Recorded[Any]]


async def provenance(ctx: Context, service: str) -> dict[str, Any]:
    """All that the log says about how this service came to run, read from the log itself.

    The version is the one that runs, also after going back to it. What was not deployed but runs
    (the system's own parts as installed, and whoever registered from outside) has no decision:
    ``why`` says so.

    Raises:
        NotFound: no service of this name was ever deployed or registered.
    """
    deployments = await ctx.log.read(f"events.deployment.{service}")
    registrations = await ctx.log.read(f"events.service.{service}")
    proven = fold(r.event for r in deployments if isinstance(r.event, DeploymentEvent)).proven
    registered = _last(registrations, ServiceRegistered, build_id="")
    if not proven and registered is not None:
        return _as_registered(registered, registrations)
    version = proven[-1] if proven else None
    healthy = _last(deployments, DeploymentHealthy, version=version)
    if healthy is None:
        raise NotFound(f"no service {service} was deployed or registered")
    event: DeploymentHealthy = healthy.event
    intents = await ctx.log.read(f"events.intent.{event.intent_id}")
    governance = await ctx.log.read(f"events.governance.{event.intent_id}")
    specs = await ctx.log.read(f"events.spec.{event.intent_id}")
    builds = await ctx.log.read(f"events.build.{event.build_id}")
    back = _last(deployments, DeploymentRolledBack, to_version=event.version)
    before = healthy.position
    intent = _intent([r for r in intents if r.position < before])
    why, who = _governed([r for r in governance if r.position < before])
    return {
        "service": service,
        "version": event.version,
        "url": event.url,
        "since": (back or healthy).event.at.isoformat(),
        "position": before,
        "running": bool(proven),
        "intent_id": event.intent_id,
        "why": why,
        "who": {"submitted_by": intent["submitted_by"] if intent else "", **who},
        "intent": intent,
        "rolled_back": _rolled_back(back) if back else None,
        "with_what": {
            **_rules(governance, before),
            **_built([r for r in (*specs, *builds, *deployments) if r.position <= before]),
        },
        "trail": _trail((intents, governance, specs, builds, deployments), event.intent_id, back),
    }


def _as_registered(registered: Recorded[Any], registrations: History) -> dict[str, Any]:
    """What runs without a deployment of this system: nobody decided it here."""
    event: ServiceRegistered = registered.event
    gone = _last(registrations, ServiceDeregistered)
    reasoning = (
        "a part of this system, as installed: no intent built it"
        if event.builtin
        else "registered from outside: this system neither decided nor built it"
    )
    return {
        "service": event.name,
        "version": event.version,
        "url": event.url,
        "since": event.at.isoformat(),
        "position": registered.position,
        "running": gone is None or gone.position < registered.position,
        "intent_id": "",
        "why": {"decision": None, "reasoning": reasoning},
        "who": {"registered_by": registered.actor, "approvals": [], "override": None},
        "intent": None,
        "rolled_back": None,
        "with_what": {"dependencies": list(event.dependencies)},
        "trail": _trail((registrations,), ""),
    }


def _rolled_back(back: Recorded[Any]) -> dict[str, Any]:
    """From which version, by whom and why this one runs again."""
    event: DeploymentRolledBack = back.event
    return {
        "from_version": event.version,
        "by": event.by,
        "reason": event.reason,
        "position": back.position,
    }


def _governed(history: History) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Why: the decision with every condition's value; who: everybody who answered."""
    decision_id = next((r.event.decision_id for r in reversed(history) if _decides(r)), "")
    found = answers.full(history, decision_id) if decision_id else None
    if found is None:
        return None, {"approvals": [], "override": None}
    why = ("decision", "reasoning", "policy_applied", "conditions", "alignment_score", "mode")
    more = ("decision_reasoning", "risk_level", "risk_factors", "tier", "evidence", "standing")
    return (
        {"decision_id": decision_id, **{name: found[name] for name in (*why, *more)}},
        {"approvals": found["approvals"], "override": found["override"]},
    )


def _decides(recorded: Recorded[Any]) -> bool:
    return bool(recorded.event.type.startswith("DecisionMade"))


def _intent(history: History) -> dict[str, Any] | None:
    queued = _last(history, IntentQueued)
    if queued is None:
        return None
    intent = queued.event.intent
    return {
        "service_name": intent.service_name,
        "purpose": intent.purpose,
        "submitted_by": intent.submitted_by,
        "authenticated": intent.authenticated,
        "source": intent.source,
        "at": queued.event.at.isoformat(),
        "position": queued.position,
    }


def _rules(history: History, before: int) -> dict[str, Any]:
    """The policies and the blueprint that the decision stands on."""
    found: dict[str, Any] = {}
    for recorded in history:
        if recorded.position >= before:
            break
        event = recorded.event
        for name in ("bundle_digest", "blueprint_digest", "intent_digest"):
            if hasattr(event, name):
                found[name] = getattr(event, name)
        if hasattr(event, "assessment"):
            found["evaluator"] = event.assessment.evaluator
            found["rubric_version"] = event.assessment.rubric_version
    return found


def _built(history: History) -> dict[str, Any]:
    accepted, tested = _last(history, SpecAccepted), _last(history, TestsPassed)
    packaged, healthy = _last(history, ArtifactPackaged), _last(history, DeploymentHealthy)
    found: dict[str, Any] = {}
    if accepted:
        found |= {"spec_digest": accepted.event.digest, "spec_score": accepted.event.score}
    if tested:
        found["tests"] = {"passed": tested.event.passed, "sandbox": tested.event.sandbox}
    if packaged:
        names = ("artifact_digest", "wheel", "sbom_digest", "provenance_digest", "key_id")
        found |= {name: getattr(packaged.event, name) for name in names}
    if healthy:
        found |= {"build_id": healthy.event.build_id, "checks": list(healthy.event.checks)}
    return found


def _trail(
    parts: Sequence[History], intent_id: str, back: Recorded[Any] | None = None
) -> list[dict[str, Any]]:
    """Every event on the way, in the log's order: whoever doubts the answer reads these. ``back``
    led here, too, though it is of the intent that was given up."""
    of_it = {
        r.position: r
        for history in parts
        for r in history
        if getattr(r.event, "intent_id", intent_id) == intent_id or r is back
    }
    return [
        {
            "position": r.position,
            "type": r.event.type,
            "at": r.event.at.isoformat(),
            "actor": r.actor,
            "epoch": r.epoch,
        }
        for _, r in sorted(of_it.items())
    ]


def _last(history: History, kind: type[Any], **values: str | None) -> Recorded[Any] | None:
    """The newest event of a kind with these values; None asks for nothing."""
    wanted = {name: value for name, value in values.items() if value is not None}
    for recorded in reversed(history):
        event = recorded.event
        if isinstance(event, kind) and all(getattr(event, n) == v for n, v in wanted.items()):
            return recorded
    return None
