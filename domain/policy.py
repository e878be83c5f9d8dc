"""Policies: which inputs they may read, and how their answers become one decision.

A policy holds when all its conditions are true. The strictest outcome of those that hold wins
(``blocked`` > ``requires_approval`` > ``auto_approve``); when none holds a person decides; an error
in any condition of the mode's policies means that nothing is approved automatically. A mode is the
set of policies that name it, or that name no mode. The conditions are evaluated by ``infra.cel``.

A shadow policy is evaluated and recorded with every decision but does not act. Freezes and
schedules are conditions on ``date``, ``weekday`` and ``hour`` (UTC, of the decision's own moment).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from domain.canonical import digest
from domain.event import Value
from domain.governance_events import (
    Assessment,
    BlastRadius,
    ConditionValue,
    Decision,
    Mode,
    NextAction,
    Policy,
    PolicyAdopted,
    PolicyRetired,
)
from domain.intent import Intent
from domain.sandbox import SandboxLevel, strictest

InputType = Literal["bool", "int", "double", "string", "list"]
Inputs = dict[str, bool | int | float | str | tuple[str, ...]]

# What a condition may read. Adopting a policy checks its types against this table.
VARIABLES: Mapping[str, InputType] = {
    "alignment_score": "double",
    "aligned": "bool",
    "risk_level": "string",
    "tier": "int",
    "claimed_tier": "int",
    "self_reference": "bool",
    "effects": "list",
    "user_present": "bool",
    "mode": "string",
    "kind": "string",
    "service_type": "string",
    "priority": "string",
    "source": "string",
    "submitted_by": "string",
    "authenticated": "bool",
    "dependencies": "list",
    "dependents": "list",  # the running services in the blast radius
    "evaluator": "string",
    "date": "string",  # 2026-12-24: dates compare as strings do
    "weekday": "string",  # monday
    "hour": "int",  # 0-23
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

SEVERITY: Mapping[Decision, int] = {"auto_approve": 0, "requires_approval": 1, "blocked": 2}
NEXT_ACTION: Mapping[Decision, NextAction] = {
    "auto_approve": "forward_to_spec_assembly",
    "requires_approval": "send_to_approval_dashboard",
    "blocked": "notify_user",
}


class PolicyCase(Value):
    """A unit test inside a bundle: these inputs, this mode, this decision."""

    name: str
    mode: Mode
    inputs: Inputs
    decision: Decision


class Bundle(Value):
    """A set of policies that is in force as one; order does not matter."""

    policies: tuple[Policy, ...]
    tests: tuple[PolicyCase, ...] = ()

    def of(self, mode: Mode) -> tuple[Policy, ...]:
        """The policies of one mode, highest priority first."""
        chosen = [policy for policy in self.policies if not policy.modes or mode in policy.modes]
        return tuple(sorted(chosen, key=lambda policy: (-policy.priority, policy.policy_id)))

    def with_policy(self, policy: Policy) -> "Bundle":
        """The bundle in which this policy stands instead of the one with its id, if any."""
        others = [p for p in self.policies if p.policy_id != policy.policy_id]
        return self.model_copy(update={"policies": (*others, policy)})

    def without(self, policy_id: str) -> "Bundle":
        kept = tuple(p for p in self.policies if p.policy_id != policy_id)
        return self.model_copy(update={"policies": kept})

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the policies (not the tests), whatever their order."""
        ordered = sorted(self.policies, key=lambda policy: policy.policy_id)
        return digest([policy.model_dump(mode="json") for policy in ordered])


def bundle_after(bundle: Bundle, event: object) -> Bundle:
    """The policies in force once this event counts; those of any other event are as before."""
    match event:
        case PolicyAdopted(policy=policy):
            return bundle.with_policy(policy)
        case PolicyRetired(policy_id=policy_id):
            return bundle.without(policy_id)
        case _:
            return bundle


POLICIES_SUBJECT = "events.governance.policies"


def signed(change: PolicyAdopted | PolicyRetired) -> dict[str, Any]:
    """The statement that is signed when a policy is adopted or retired."""
    whose = {"bundle_digest": change.bundle_digest, "by": change.by}
    if isinstance(change, PolicyRetired):
        return {"retired": change.policy_id, **whose}
    return {"policy": change.policy.model_dump(mode="json"), **whose}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policies say. ``policy_applied`` is "" when none held; ``shadow`` is what they would
    say if the shadow policies acted too, None where there are none; ``sandbox`` is the weakest
    level that those which hold accept for the tests of a build, None for any.
    """

    decision: Decision
    policy_applied: str
    conditions: tuple[ConditionValue, ...]
    reasoning: str
    shadow: Decision | None = None
    sandbox: SandboxLevel | None = None

    @property
    def next_action(self) -> NextAction:
        return NEXT_ACTION[self.decision]


class Conditions(Protocol):
    """Evaluates the conditions of a bundle that was checked before."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def digest(self) -> str:
        """The bundle's, taken once."""

    def outcome(self, mode: Mode, inputs: Inputs) -> Outcome:
        """What ``outcome_of`` makes of the mode's policies and the values of their conditions."""


def inputs_of(
    intent: Intent,
    assessment: Assessment,
    *,
    mode: Mode,
    user_present: bool,
    at: datetime | None = None,
) -> Inputs:
    """All that policies see of one intent; stored with the decision so that it can be replayed.

    Without ``at`` a condition that asks for the time cannot be evaluated: a person decides.
    """
    return _moment(at) | {
        "alignment_score": assessment.alignment_score,
        "aligned": assessment.aligned,
        "risk_level": assessment.risk_level,
        "tier": assessment.tier,
        "claimed_tier": assessment.claimed_tier,
        "self_reference": assessment.self_reference,
        "effects": assessment.effects,
        "user_present": user_present,
        "mode": mode,
        "kind": intent.kind,
        "service_type": intent.service_type,
        "priority": intent.priority,
        "source": intent.source,
        "submitted_by": intent.submitted_by,
        "authenticated": intent.authenticated,
        "dependencies": intent.dependencies,
        "dependents": _dependents(assessment.blast_radius),
        "evaluator": assessment.evaluator,
    }


def _dependents(radius: BlastRadius | None) -> tuple[str, ...]:
    return () if radius is None else (*radius.direct, *radius.further)


def _moment(at: datetime | None) -> Inputs:
    if at is None:
        return {}
    utc = at.astimezone(UTC)
    return {"date": utc.date().isoformat(), "weekday": WEEKDAYS[utc.weekday()], "hour": utc.hour}


def typed(inputs: Mapping[str, object]) -> Inputs:
    """Inputs read back from JSON, each in its declared type (JSON writes 1.0 as 1)."""
    result: Inputs = {}
    for name, value in inputs.items():
        if VARIABLES.get(name) == "double" and isinstance(value, int):
            result[name] = float(value)
        elif isinstance(value, list | tuple):
            result[name] = tuple(str(item) for item in value)
        elif isinstance(value, bool | int | float | str):
            result[name] = value
    return result


def conclude(policies: Iterable[Policy], conditions: tuple[ConditionValue, ...]) -> Outcome:
    """Turn the values of all conditions into one outcome: pure, total, and never lenient.

    A policy whose conditions are missing from ``conditions`` does not hold and counts as an error.
    """
    values: dict[str, list[bool | None]] = {}
    for condition in conditions:
        values.setdefault(condition.policy_id, []).append(condition.value)
    holding: list[Policy] = []
    failed: list[str] = []
    for policy in policies:
        found = values.get(policy.policy_id, [])
        if len(found) != len(policy.conditions) or None in found:
            failed.append(policy.policy_id)
        elif all(found):
            holding.append(policy)
    winner = min(
        holding,
        key=lambda p: (-SEVERITY[p.outcome], -p.priority, p.policy_id),
        default=None,
    )
    if failed and (winner is None or winner.outcome == "auto_approve"):
        names = ", ".join(failed)
        reason = f"a condition of {names} could not be evaluated, so a person decides"
        return Outcome("requires_approval", "", conditions, reason)
    if winner is None:
        reason = "no policy of this mode holds, so a person decides"
        return Outcome("requires_approval", "", conditions, reason)
    return Outcome(winner.outcome, winner.policy_id, conditions, _because(winner))


def _demanded(
    policies: Iterable[Policy], conditions: tuple[ConditionValue, ...]
) -> SandboxLevel | None:
    """A policy that cannot be evaluated demands what it would if it held."""
    demanding = {p.policy_id: p for p in policies if p.sandbox is not None}
    if not demanding:
        return None
    no = {c.policy_id for c in conditions if c.value is False}
    return strictest(policy.sandbox for name, policy in demanding.items() if name not in no)


def _because(policy: Policy) -> str:
    about = f": {policy.description}" if policy.description else ""
    return f"{policy.policy_id} holds ({' and '.join(policy.conditions)}){about}"


def outcome_of(policies: Sequence[Policy], values: tuple[ConditionValue, ...]) -> Outcome:
    """As ``conclude``, of all policies of a mode, with what shadows say and the sandbox demanded.

    ``values`` holds every condition of theirs with its value, or with an error and None.
    """
    acting = [policy for policy in policies if not policy.shadow]
    outcome = conclude(acting, values)
    if demanded := _demanded(acting, values):
        outcome = replace(outcome, sandbox=demanded)
    if len(acting) == len(policies):
        return outcome
    return replace(outcome, shadow=conclude(policies, values).decision)
