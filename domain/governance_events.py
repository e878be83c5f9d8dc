"""The events of governance, and the values inside them.

Stream      ``events.governance.<intent_id>`` for one intent's assessment, decision and approval;
            ``events.governance.mode`` and ``events.governance.policies`` for what applies to all.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from domain.event import Event, Value
from domain.sandbox import SandboxLevel

Decision = Literal["auto_approve", "requires_approval", "blocked"]
RiskLevel = Literal["low", "medium", "high", "critical"]
Mode = Literal["supervised", "autonomous", "aggressive"]
NextAction = Literal["forward_to_spec_assembly", "send_to_approval_dashboard", "notify_user"]
Evaluator = Literal["rubric", "claude"]


def _unused(value: object) -> bool:
    return value is None or value is False


class Evidence(Value):
    """One line of the explanation: what was looked at, what was found, what it counted for."""

    criterion: str
    points: float  # signed, in score units (the sum over all lines is the score before clamping)
    quote: str = ""  # from the intent
    reference: str = ""  # the principle of the blueprint it was measured against
    note: str = ""


class Usage(Value):
    """What a model call took. ``cost_usd`` is None where no price is configured."""

    model: str
    message_id: str = ""
    prompt_digest: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    latency_ms: int = 0
    attempts: int = 1
    cost_usd: float | None = None
    fallback_reason: str = ""  # why the rubric answered instead


class BlastRadius(Value):
    """The running services that a change of one service can reach; sorted, nobody in both."""

    direct: tuple[str, ...] = ()  # name it as a dependency
    further: tuple[str, ...] = ()  # need one of those, at whatever distance


class Assessment(Value):
    """How well an intent fits the blueprint, and what could go wrong."""

    alignment_score: float = Field(ge=0, le=1)
    aligned: bool
    risk_level: RiskLevel
    risk_factors: tuple[str, ...] = ()
    reasoning: str
    recommendations: tuple[str, ...] = ()
    tier: int = Field(ge=0, le=3)  # effective: never less careful than what the rules find
    claimed_tier: int = Field(ge=0, le=3)
    self_reference: bool = False  # touches this system's own governance, policies or Phoenix
    effects: tuple[str, ...] = ()
    # None: not looked up (before rubric version 4); older assessments keep their JSON.
    blast_radius: BlastRadius | None = Field(default=None, exclude_if=_unused)
    evaluator: Evaluator
    rubric_version: str
    evidence: tuple[Evidence, ...] = ()
    usage: Usage | None = None


class ConditionValue(Value):
    """One condition of one policy with what it came to; ``value`` is None after an error."""

    policy_id: str
    expression: str
    value: bool | None
    error: str = ""


class _Governance(Event):
    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "intent_id"

    intent_id: str


class AlignmentAssessed(_Governance):
    type: Literal["AlignmentAssessed.v1"] = "AlignmentAssessed.v1"
    assessment: Assessment
    blueprint_digest: str
    intent_digest: str
    attempt: int = 1  # the intent's


class DecisionMade(_Governance):
    """``inputs`` is all that the policies saw, so that the decision can be replayed."""

    type: Literal["DecisionMade.v1"] = "DecisionMade.v1"
    decision_id: str
    decision: Decision
    policy_applied: str  # "" when no policy held (then requires_approval)
    conditions: tuple[ConditionValue, ...]
    inputs: dict[str, bool | int | float | str | tuple[str, ...]]
    mode: Mode
    bundle_digest: str
    reasoning: str
    next_action: NextAction
    attempt: int = 1
    service_name: str = ""
    shadow_decision: Decision | None = None  # had the shadow policies acted; None: there are none
    sandbox: SandboxLevel | None = None  # what the policies that hold demand of a build's tests


class ApprovalRequested(_Governance):
    """A person is asked. ``digest`` is SHA-256 of the RFC 8785 JSON of ``domain.governance.shown``.

    From ``service_name`` on: what a list of open approvals shows, so that it needs no other event.
    """

    type: Literal["ApprovalRequested.v1"] = "ApprovalRequested.v1"
    approval_id: str
    decision_id: str
    subject_type: Literal["intent", "build", "deploy"] = "intent"
    digest: str
    summary: str
    reasons: tuple[str, ...] = ()
    quorum: int = 1
    expires_at: AwareDatetime
    attempt: int = 1
    service_name: str = ""
    submitted_by: str = ""
    alignment_score: float | None = None
    risk_level: RiskLevel | None = None
    tier: int | None = None
    warning: str = ""  # for example: a second approver was wanted and does not exist


class ApprovalGranted(_Governance):
    type: Literal["ApprovalGranted.v1"] = "ApprovalGranted.v1"
    approval_id: str
    digest: str
    approver: str
    comment: str = ""
    warning: str = ""  # for example: the only approver is the submitter
    on_behalf_of: str = ""  # the approver who delegated this, if one did


class ApprovalBound(_Governance):
    """Written together with an approval, and only while nothing has changed the policies since the
    position named: so none is ever recorded under other policies than those it was checked by."""

    type: Literal["ApprovalBound.v1"] = "ApprovalBound.v1"
    approval_id: str
    approver: str
    bundle_digest: str
    policies: int  # position of the newest change of the policies


class ApprovalRejected(_Governance):
    type: Literal["ApprovalRejected.v1"] = "ApprovalRejected.v1"
    approval_id: str  # the newest question about the attempt
    digest: str  # of what this person was shown: it may have been asked again since
    approver: str
    reason: str


class ApprovalExpired(_Governance):
    type: Literal["ApprovalExpired.v1"] = "ApprovalExpired.v1"
    approval_id: str


class DecisionOverridden(_Governance):
    """A person decides differently. The decision itself stays as it was."""

    type: Literal["DecisionOverridden.v1"] = "DecisionOverridden.v1"
    decision_id: str
    decision: Literal["auto_approve", "blocked"]
    by: str
    reason: str


class ApprovalEscalated(_Governance):
    """Half of the time is over and nobody has answered: everybody who may is told again."""

    type: Literal["ApprovalEscalated.v1"] = "ApprovalEscalated.v1"
    approval_id: str
    to: tuple[str, ...]  # everybody who may answer
    expires_at: AwareDatetime


class BreakGlassUsed(_Governance):
    """In an emergency one person lets an intent go on; somebody else must look at it afterwards.

    Written in one append with the ``DecisionOverridden`` that it stands for.
    """

    type: Literal["BreakGlassUsed.v1"] = "BreakGlassUsed.v1"
    decision_id: str
    by: str
    reason: str
    review_by: AwareDatetime


class BreakGlassReviewed(_Governance):
    type: Literal["BreakGlassReviewed.v1"] = "BreakGlassReviewed.v1"
    decision_id: str
    by: str
    justified: bool
    comment: str
    warning: str = ""  # for example: nobody else could review it


class ApprovalDelegated(Event):
    """Until ``until`` the delegate may answer in the place of an approver who is away."""

    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "stream"

    type: Literal["ApprovalDelegated.v1"] = "ApprovalDelegated.v1"
    stream: Literal["delegations"] = "delegations"
    approver: str
    delegate: str
    until: AwareDatetime
    reason: str


class DelegationEnded(Event):
    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "stream"

    type: Literal["DelegationEnded.v1"] = "DelegationEnded.v1"
    stream: Literal["delegations"] = "delegations"
    approver: str
    delegate: str
    by: str


class ModeChanged(Event):
    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "stream"

    type: Literal["ModeChanged.v1"] = "ModeChanged.v1"
    stream: Literal["mode"] = "mode"
    mode: Mode
    previous: Mode | None = None
    by: str
    reason: str = ""
    user_present: bool | None = None  # None: unchanged


class Policy(Value):
    """A rule: all ``conditions`` (CEL) true means ``outcome``."""

    policy_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")]
    version: int = Field(default=1, ge=1)
    description: str = Field(default="", max_length=500)
    conditions: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(
        min_length=1, max_length=20
    )
    outcome: Decision
    priority: int = Field(default=0, ge=0, le=1000)
    modes: tuple[Mode, ...] = ()  # empty: in every mode
    # What a policy does not use is left out: older ones keep their JSON, and so their digest.
    shadow: bool = Field(default=False, exclude_if=_unused)  # evaluated, recorded, not acting
    sandbox: SandboxLevel | None = Field(default=None, exclude_if=_unused)  # builds need as much


class PolicyAdopted(Event):
    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "stream"

    type: Literal["PolicyAdopted.v1"] = "PolicyAdopted.v1"
    stream: Literal["policies"] = "policies"
    policy: Policy
    bundle_digest: str  # of the whole bundle with this policy in it
    by: str
    reason: str = ""
    signature: str = ""  # DSSE envelope over ``domain.policy.signed``; "" where nobody could sign


class PolicyRetired(Event):
    context: ClassVar[str] = "governance"
    key: ClassVar[str] = "stream"

    type: Literal["PolicyRetired.v1"] = "PolicyRetired.v1"
    stream: Literal["policies"] = "policies"
    policy_id: str
    bundle_digest: str
    by: str
    reason: str
    signature: str = ""  # as of an adoption; "" before retirements were signed, too


GovernanceEvent = (
    AlignmentAssessed
    | DecisionMade
    | ApprovalRequested
    | ApprovalGranted
    | ApprovalBound
    | ApprovalRejected
    | ApprovalExpired
    | DecisionOverridden
    | ApprovalEscalated
    | BreakGlassUsed
    | BreakGlassReviewed
)
