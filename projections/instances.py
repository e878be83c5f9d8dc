"""Phoenix groups: every instance with its role, epoch, capacity and the group's failovers.

Source      ``events.instance.>`` (written by the launcher, a moment late) and
            ``events.leadership.>`` (written by the new leader itself).
Rebuild     fold from position 0.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.instance import (
    InstanceDied,
    InstancePromoted,
    InstanceReady,
    InstanceStarted,
    LeadershipReleased,
    LeadershipTaken,
    OutageBegan,
    OutageEnded,
)
from domain.recorded import Recorded
from domain.view import Table, updated

State = Literal["starting", "ready", "dead"]
Role = Literal["active", "standby", "none"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(_Row):
    """One seat of a group. ``falls`` counts unplanned deaths, ``starts`` every start."""

    instance: str
    port: int = 0  # as bound on its host
    pid: int = 0
    host: str = ""
    capacity: int = 0
    version: str = ""
    state: State = "starting"
    starts: int = 0
    falls: int = 0
    started_at: AwareDatetime | None = None
    ready_at: AwareDatetime | None = None
    startup_s: float | None = None
    died_at: AwareDatetime | None = None
    died_of: str = ""


class Group(_Row):
    """One service's instances by name. ``leader`` is "" while nobody leads."""

    service: str
    members: dict[str, Member] = {}
    leader: str = ""
    epoch: int = 0
    leader_since: AwareDatetime | None = None
    leader_reason: str = ""
    fence: int = 0  # position of the newest LeadershipTaken
    restarts: int = 0  # unplanned deaths of any member
    failovers: int = 0  # unplanned changes of the leader
    last_failover_at: AwareDatetime | None = None
    last_failover_s: float | None = None
    switchovers: int = 0  # planned changes of the leader
    outage: str = ""  # why the service is out, while it is
    outage_since: AwareDatetime | None = None  # the last success before it
    position: int = 0

    def role(self, instance: str) -> Role:
        """``none`` for an instance that is not running."""
        member = self.members.get(instance)
        if member is None or member.state == "dead":
            return "none"
        return "active" if instance == self.leader else "standby"

    @property
    def running(self) -> list[Member]:
        """Ready members, by name."""
        return [m for _, m in sorted(self.members.items()) if m.state == "ready"]

    @property
    def base_port(self) -> int:
        """The lowest port of the group as bound, 0 when no start was recorded."""
        return min((m.port for m in self.members.values() if m.port), default=0)


_EVENTS = (
    InstanceStarted,
    InstanceReady,
    InstanceDied,
    InstancePromoted,
    LeadershipReleased,
    LeadershipTaken,
    OutageBegan,
    OutageEnded,
)


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.service,)


def _fold(row: Group | None, recorded: Recorded[Any], key: str) -> Group | None:
    group = row or Group(service=key)
    event = recorded.event
    changed = _of_leadership(group, recorded) if _about_leading(event) else _of_life(group, event)
    return updated(group, {**changed, "position": recorded.position})


def _about_leading(event: Any) -> bool:
    return isinstance(event, LeadershipTaken | LeadershipReleased | InstancePromoted)


def _of_leadership(group: Group, recorded: Recorded[Any]) -> dict[str, Any]:
    event = recorded.event
    if event.epoch < group.epoch:
        return {}  # the launcher's word of an older term, come late
    match event:
        case LeadershipTaken():
            return {
                "leader": event.instance,
                "epoch": event.epoch,
                "leader_since": event.at,
                "leader_reason": event.reason,
                "fence": recorded.position,
            }
        case LeadershipReleased():
            return {"leader": ""} if event.instance == group.leader else {}
        case InstancePromoted(failover_s=None) if group.leader_reason != "expired":
            return {"switchovers": group.switchovers + 1}
        case _:
            return {
                "failovers": group.failovers + 1,
                "last_failover_at": event.at,
                "last_failover_s": event.failover_s,
            }


def _of_life(group: Group, event: Any) -> dict[str, Any]:
    match event:
        case InstanceStarted():
            return _started(group, event)
        case InstanceReady():
            ready = {"state": "ready", "ready_at": event.at, "startup_s": event.startup_s}
            return _member(group, event.instance, ready)
        case InstanceDied():
            return _died(group, event)
        case OutageBegan(reason=reason):
            return {"outage": reason, "outage_since": event.since or event.at}
        case _:
            return {"outage": "", "outage_since": None}


def _started(group: Group, event: InstanceStarted) -> dict[str, Any]:
    before = group.members.get(event.instance)
    member = Member(
        instance=event.instance,
        port=event.port,
        pid=event.pid,
        host=event.host,
        capacity=event.capacity,
        version=event.version,
        starts=(before.starts if before else 0) + 1,
        falls=before.falls if before else 0,
        started_at=event.at,
        died_at=before.died_at if before else None,
        died_of=before.died_of if before else "",
    )
    changed: dict[str, Any] = {"members": {**group.members, event.instance: member}}
    if group.leader == event.instance and group.leader_since and group.leader_since < event.at:
        changed["leader"] = ""  # the one that led ended without a word (its launcher, too)
    return changed


def _died(group: Group, event: InstanceDied) -> dict[str, Any]:
    fell = int(not event.planned)
    before = group.members.get(event.instance)
    changed = _member(
        group,
        event.instance,
        {
            "state": "dead",
            "died_at": event.at,
            "died_of": event.reason,
            "falls": (before.falls if before else 0) + fell,
        },
    )
    if event.was_leader and group.leader == event.instance:
        changed["leader"] = ""
    return {**changed, "restarts": group.restarts + fell}


def _member(group: Group, instance: str, update: dict[str, Any]) -> dict[str, Any]:
    member = group.members.get(instance) or Member(instance=instance)
    return {"members": {**group.members, instance: updated(member, update)}}


GROUPS = Table(
    name="phoenix_groups",
    version=2,
    subjects=("events.instance.>", "events.leadership.>"),
    row=Group,
    events=_EVENTS,
    keys=_keys,
    fold=_fold,
)
