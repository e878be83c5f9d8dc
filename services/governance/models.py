"""The bodies of governance's requests, with an example each for OpenAPI."""

from typing import Any, Literal, cast
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from domain.delegation import NAME_CHARS_MAX
from domain.governance_events import Mode, Policy
from domain.policy import PolicyCase

_INTENT: Any = {
    "service_name": "revenue-analytics",
    "purpose": "Revenue analytics: track revenues by source and month and show monthly totals",
    "key_features": ["Monthly totals", "Totals by source"],
}
_POLICY: Any = {
    "policy_id": "no_gateways_at_night",
    "description": "Gateways go before a person",
    "conditions": ["service_type == 'api_gateway'"],
    "outcome": "requires_approval",
    "priority": 20,
}


def _like(example: Any) -> ConfigDict:
    """A strict model whose OpenAPI schema carries this example (where Litestar looks for it)."""
    return cast(ConfigDict, {"extra": "forbid", "example": example})


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Check(_Body):
    """An intent as it would be submitted."""

    model_config = _like({"intent": _INTENT})

    intent: dict[str, Any]
    blueprint_context: str = Field(default="", max_length=20_000)


class ToDecide(_Body):
    """``intent_id`` of an intent that was submitted, or a new ``intent`` to submit."""

    model_config = _like({"intent": _INTENT})

    intent_id: UUID | None = None
    intent: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ToDecide":
        if (self.intent_id is None) == (self.intent is None):
            raise ValueError("give either intent_id or intent")
        return self


class ModeChange(_Body):
    model_config = _like({"mode": "supervised", "user_present": True, "reason": "release week"})

    mode: Mode
    user_present: bool | None = None
    reason: str = Field(default="", max_length=2000)


class Adoption(_Body):
    """One policy, or a bundle of several with tests of its own that must pass."""

    model_config = _like({"policies": [_POLICY], "reason": "asked for by audit"})

    policies: tuple[Policy, ...] = Field(min_length=1, max_length=100)
    tests: tuple[PolicyCase, ...] = Field(default=(), max_length=1000)
    reason: str = Field(default="", max_length=2000)

    @model_validator(mode="before")
    @classmethod
    def _single(cls, value: Any) -> Any:
        """A single policy may stand alone: its fields at the top, or under ``policy``."""
        if not isinstance(value, dict) or "policies" in value:
            return value
        rest = {name: value[name] for name in ("tests", "reason") if name in value}
        policy = value.get("policy")
        if policy is None:
            policy = {name: item for name, item in value.items() if name not in rest}
        return {"policies": [policy], **rest}


class OverrideRequest(_Body):
    model_config = _like(
        {
            "intent_id": "7f0c2c0e-7b0e-5f0a-9a51-0d2f6f3f4b11",
            "decision": "auto_approve",
            "reason": "checked by hand, the name only sounds like surveillance",
        }
    )

    intent_id: str = ""
    decision_id: str = ""
    decision: Literal["auto_approve", "blocked"]
    reason: str = ""

    @model_validator(mode="after")
    def _named(self) -> "OverrideRequest":
        if not self.intent_id and not self.decision_id:
            raise ValueError("give intent_id or decision_id")
        return self


class BreakGlassRequest(_Body):
    model_config = _like(
        {
            "intent_id": "7f0c2c0e-7b0e-5f0a-9a51-0d2f6f3f4b11",
            "reason": "payments are down and the second approver cannot be reached",
        }
    )

    intent_id: str = Field(min_length=1)
    reason: str = ""


class ReviewRequest(_Body):
    model_config = _like({"justified": True, "comment": "nobody else was awake; the fix was right"})

    justified: bool
    comment: str = ""


class DelegationRequest(_Body):
    model_config = _like(
        {"delegate": "bob", "until": "2030-01-15T00:00:00Z", "reason": "on holiday"}
    )

    delegate: str = Field(max_length=NAME_CHARS_MAX)
    until: AwareDatetime
    reason: str = ""


class Simulation(_Body):
    """A candidate: these policies instead of, or (``extend``) on top of, those in force."""

    model_config = _like({"policies": [_POLICY], "extend": True})

    policies: tuple[Policy, ...] = Field(default=(), max_length=100)
    retire: tuple[str, ...] = ()
    extend: bool = True
    mode: Mode | None = None  # None: each decision in the mode it was made in
    user_present: bool | None = None
    limit: int = Field(default=100, ge=0, le=500)  # changed decisions to list; all are counted
