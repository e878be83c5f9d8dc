"""Leadership and the lives of instances.

Stream      ``events.leadership.<service>`` holds ``LeadershipTaken`` and nothing else: the last
            position on it is the fencing token. ``events.instance.<service>`` holds the rest.
"""

from typing import ClassVar, Literal

from pydantic import AwareDatetime

from domain.event import Event


class LeadershipTaken(Event):
    context: ClassVar[str] = "leadership"
    key: ClassVar[str] = "service"

    type: Literal["LeadershipTaken.v1"] = "LeadershipTaken.v1"
    service: str
    instance: str
    epoch: int
    reason: str  # first start, released, expired, switchover


class _InstanceEvent(Event):
    context: ClassVar[str] = "instance"
    key: ClassVar[str] = "service"

    service: str
    instance: str


class InstanceStarted(_InstanceEvent):
    type: Literal["InstanceStarted.v1"] = "InstanceStarted.v1"
    port: int
    pid: int
    host: str
    capacity: int
    version: str = ""


class InstanceReady(_InstanceEvent):
    type: Literal["InstanceReady.v1"] = "InstanceReady.v1"
    startup_s: float


class InstanceDied(_InstanceEvent):
    type: Literal["InstanceDied.v1"] = "InstanceDied.v1"
    reason: str  # for example ``signal 9``, ``exit 1``, ``missed heartbeats``
    was_leader: bool
    planned: bool = False


class InstancePromoted(_InstanceEvent):
    type: Literal["InstancePromoted.v1"] = "InstancePromoted.v1"
    epoch: int
    capacity: int
    failover_s: float | None = None  # from the fault (as the launcher saw it); None when planned


class LeadershipReleased(_InstanceEvent):
    type: Literal["LeadershipReleased.v1"] = "LeadershipReleased.v1"
    epoch: int
    reason: str


class OutageBegan(_InstanceEvent):
    type: Literal["OutageBegan.v1"] = "OutageBegan.v1"
    reason: str
    since: AwareDatetime | None = None  # the last success; None in what was written before it


class OutageEnded(_InstanceEvent):
    type: Literal["OutageEnded.v1"] = "OutageEnded.v1"
    duration_s: float


class WatchResumed(_InstanceEvent):
    """A launcher watches this service's instances (again); ``instance`` led last, if known."""

    type: Literal["WatchResumed.v1"] = "WatchResumed.v1"
    last_seen: AwareDatetime  # the last renewal of the service's lease before


InstanceEvent = (
    InstanceStarted
    | InstanceReady
    | InstanceDied
    | InstancePromoted
    | LeadershipReleased
    | OutageBegan
    | OutageEnded
    | WatchResumed
)
