"""The events from SPEC to a running service: spec, build, deployment, port, registration.

Stream      ``events.spec.<intent_id>``, ``events.build.<build_id>``,
            ``events.deployment.<service_name>`` (all versions of one service in one order),
            ``events.port.<base>`` (who may use base, +1000, +2000), ``events.service.<name>``.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.event import Event, Value
from domain.sandbox import SandboxLevel


class Finding(Value):
    """One lost point of a SPEC: where, why, and what would mend it."""

    rule: str
    place: str  # a path into the SPEC, for example ``records[0].fields[2].type``
    severity: Literal["error", "warning", "hint"]
    message: str
    fix: str
    points: float = 0.0  # lost, out of 100


class Score(Value):
    """0-100 as a pure function of the SPEC; the parts are weighted 40/30/20/10."""

    total: float = Field(ge=0, le=100)
    completeness: float = Field(ge=0, le=100)
    clarity: float = Field(ge=0, le=100)
    udc: float = Field(ge=0, le=100)
    readiness: float = Field(ge=0, le=100)
    grade: Literal["excellent", "good", "fair", "poor"]
    scorer_version: str
    findings: tuple[Finding, ...] = ()


class _SpecEvent(Event):
    context: ClassVar[str] = "spec"
    key: ClassVar[str] = "intent_id"

    intent_id: str
    attempt: int = 1  # the intent's


class SpecDrafted(_SpecEvent):
    """``document`` is the typed SPEC as JSON (domain.spec.Spec)."""

    type: Literal["SpecDrafted.v1"] = "SpecDrafted.v1"
    document: dict[str, Any]
    digest: str
    drafter: Literal["rules", "claude", "submitted"]
    notes: tuple[str, ...] = ()


class SpecVerified(_SpecEvent):
    type: Literal["SpecVerified.v1"] = "SpecVerified.v1"
    digest: str
    score: Score


class SpecOptimized(_SpecEvent):
    type: Literal["SpecOptimized.v1"] = "SpecOptimized.v1"
    document: dict[str, Any]
    digest: str
    previous_digest: str
    diff: str  # unified diff of SPEC.md
    score: Score
    changes: tuple[str, ...] = ()


class SpecAccepted(_SpecEvent):
    """The SPEC passed the gate; ``auto_build`` false means that a person starts the build."""

    type: Literal["SpecAccepted.v1"] = "SpecAccepted.v1"
    digest: str
    score: float
    gate: float


class SpecNeedsDetail(_SpecEvent):
    type: Literal["SpecNeedsDetail.v1"] = "SpecNeedsDetail.v1"
    questions: tuple[str, ...]
    score: float | None = None
    service_name: str = ""


class _BuildEvent(Event):
    context: ClassVar[str] = "build"
    key: ClassVar[str] = "build_id"

    build_id: str
    intent_id: str


class BuildStarted(_BuildEvent):
    """Claimed by the leader of ``epoch``; a newer leader starts it again under its own."""

    type: Literal["BuildStarted.v1"] = "BuildStarted.v1"
    service_name: str
    version: str
    spec_digest: str
    epoch: int
    attempt: int = 1  # of this build, not of the intent


class CodeGenerated(_BuildEvent):
    type: Literal["CodeGenerated.v1"] = "CodeGenerated.v1"
    files: int
    lines: int
    tree_digest: str  # SHA-256 over sorted (path, SHA-256) pairs
    generator_version: str
    duration_s: float


class TestsPassed(_BuildEvent):
    __test__ = False  # not a pytest class

    type: Literal["TestsPassed.v1"] = "TestsPassed.v1"
    passed: int
    sandbox: SandboxLevel
    duration_s: float
    log_digest: str = ""  # of the run's whole output in the object store


class TestsFailed(_BuildEvent):
    __test__ = False

    type: Literal["TestsFailed.v1"] = "TestsFailed.v1"
    passed: int
    failed: int
    sandbox: SandboxLevel
    report: str  # the end of the test run's output
    duration_s: float
    log_digest: str = ""


class ArtifactPackaged(_BuildEvent):
    type: Literal["ArtifactPackaged.v1"] = "ArtifactPackaged.v1"
    artifact_digest: str  # SHA-256 of the wheel; its name in the object store
    wheel: str  # file name
    sbom_digest: str
    provenance_digest: str  # of the signed DSSE envelope
    key_id: str
    size_bytes: int
    duration_s: float


class BuildFailed(_BuildEvent):
    type: Literal["BuildFailed.v1"] = "BuildFailed.v1"
    step: str
    reason: str


class BuildCancelled(_BuildEvent):
    type: Literal["BuildCancelled.v1"] = "BuildCancelled.v1"
    by: str
    reason: str


class BuildApproved(_BuildEvent):
    """A person lets a build or deployment go on that waits (auto_build, auto_deploy false)."""

    type: Literal["BuildApproved.v1"] = "BuildApproved.v1"
    by: str
    step: Literal["build", "deploy"]


BuildEvent = (
    BuildStarted
    | CodeGenerated
    | TestsPassed
    | TestsFailed
    | ArtifactPackaged
    | BuildFailed
    | BuildCancelled
    | BuildApproved
)


class _DeploymentEvent(Event):
    context: ClassVar[str] = "deployment"
    key: ClassVar[str] = "service_name"

    service_name: str
    version: str
    intent_id: str = ""
    build_id: str = ""


class DeploymentStarted(_DeploymentEvent):
    """From here on the launcher runs this version: three instances on base, +1000, +2000."""

    type: Literal["DeploymentStarted.v1"] = "DeploymentStarted.v1"
    artifact_digest: str
    provenance_digest: str  # of the signed DSSE envelope that vouches for the artifact
    wheel: str
    port: int  # base, before the host's port shift
    tier: int = 2
    features: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    replaces: str = ""  # the version that ran before, kept for a rollback


class DeploymentHealthy(_DeploymentEvent):
    type: Literal["DeploymentHealthy.v1"] = "DeploymentHealthy.v1"
    url: str
    checks: tuple[str, ...]  # what was proven, for example ``GET /health on 3 instances``
    duration_s: float


class DeploymentFailed(_DeploymentEvent):
    type: Literal["DeploymentFailed.v1"] = "DeploymentFailed.v1"
    reason: str


class DeploymentRolledBack(_DeploymentEvent):
    """``version`` is given up; ``to_version`` runs again ("" when there was none)."""

    type: Literal["DeploymentRolledBack.v1"] = "DeploymentRolledBack.v1"
    to_version: str = ""
    by: str
    reason: str


class DeploymentRetired(_DeploymentEvent):
    type: Literal["DeploymentRetired.v1"] = "DeploymentRetired.v1"
    by: str
    reason: str


DeploymentEvent = (
    DeploymentStarted
    | DeploymentHealthy
    | DeploymentFailed
    | DeploymentRolledBack
    | DeploymentRetired
)


class _PortEvent(Event):
    context: ClassVar[str] = "port"
    key: ClassVar[str] = "base"

    base: int
    service_name: str


class PortReserved(_PortEvent):
    """Base, +1000 and +2000 belong to one service until released."""

    type: Literal["PortReserved.v1"] = "PortReserved.v1"


class PortReleased(_PortEvent):
    type: Literal["PortReleased.v1"] = "PortReleased.v1"


class _ServiceEvent(Event):
    context: ClassVar[str] = "service"
    key: ClassVar[str] = "name"

    name: str


class ServiceRegistered(_ServiceEvent):
    type: Literal["ServiceRegistered.v1"] = "ServiceRegistered.v1"
    version: str
    tier: int = Field(ge=0, le=3)
    port: int
    url: str
    features: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    builtin: bool = False
    intent_id: str = ""
    build_id: str = ""


class ServiceDeregistered(_ServiceEvent):
    type: Literal["ServiceDeregistered.v1"] = "ServiceDeregistered.v1"
    by: str
    reason: str = ""


class ServiceDegraded(_ServiceEvent):
    type: Literal["ServiceDegraded.v1"] = "ServiceDegraded.v1"
    reason: str


class ServiceRecovered(_ServiceEvent):
    type: Literal["ServiceRecovered.v1"] = "ServiceRecovered.v1"
