"""One service under the Phoenix Protocol: keeps one leader and its standbys alive.

Invariants  every port has somebody who accepts as long as anybody lives; a fallen instance is
            replaced (after a pause if it keeps falling); the group returns to one leader and
            ``size - 1`` standbys.
Capacity    1x for the first leader, ``capacity`` for everybody else: standbys, promoted, reborn.
Taken over  from a killed launcher: each instance says how it is, before anything is decided.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from domain.event import Event
from domain.instance import (
    InstanceDied,
    InstancePromoted,
    InstanceReady,
    InstanceStarted,
    LeadershipReleased,
    LeadershipTaken,
)
from phoenix.channel import Channel, Message
from phoenix.forker import Forker, ForkFailed
from phoenix.journal import Journal
from phoenix.member import Member
from phoenix.slots import Seat, assign
from phoenix.spec import InstanceSpec
from phoenix.supervise import Backoff, FailoverBudget
from phoenix.takeover import KeptInstance

UP_S = 60.0  # an instance that does not come up within this is replaced
STOP_S = 8.0
REPORT_S = 5.0  # what does not say how it is within this, when it is taken over, is replaced
DEPOSED_S = 0.3
HANG_UP_S = 1.0
ROLL_S = 60.0
OURS_KEPT = 1000
PROOF_S = 20.0
PROOF_AGAIN_S = 0.1
LEADS_S = 30.0
LEADS_FOR_S = 1.0
TAKE_OVER_S = 0.1  # so long a fallen instance's seat waits, at most, for the next leader
FIRST_WRITES_S = 0.02

_log = structlog.get_logger(__name__)

# (port, instance) -> what is wrong with it, "" when nothing is
Proof = Callable[[int, str], Awaitable[str]]
Terms = Callable[[], Awaitable[Sequence[LeadershipTaken]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a group runs."""

    reference: str
    version: str = ""
    artifact: str = ""  # the folder of an installed artifact
    digest: str = ""  # of the artifact

    @property
    def identity(self) -> str:
        """Two releases with one identity are the same code."""
        return f"{self.version} {self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a group runs it."""

    service: str
    ports: tuple[int, ...]
    capacity: int = 2
    heartbeat_s: float = 5.0
    failovers_per_hour: int = 10
    world: str = ""  # which code and settings instances are started with
    calm_s: float = 2.0  # a death after this long in good health is no crash loop

    @property
    def size(self) -> int:
        return len(self.ports)


class Group:
    """Its instances, by seat. ``changed`` is called whenever something worth showing happened."""

    def __init__(
        self,
        plan: Plan,
        release: Release,
        sockets: Sequence[socket.socket],
        *,
        forker: Forker | None = None,
        journal: Journal | None = None,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.release = release
        self._sockets = list(sockets)
        self._forker = forker
        self._journal = journal
        self._changed = changed
        self.members: dict[int, Member] = {}
        self._backoff = {seat: Backoff(calm_s=plan.calm_s) for seat in range(plan.size)}
        self._budget = FailoverBudget(plan.failovers_per_hour)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._led_before = False
        self._ours: deque[str] = deque(maxlen=OURS_KEPT)  # incarnations of this launcher
        self._fault_at: float | None = None
        self._rolling = False
        self._leaders_lost = 0  # while rolling: unplanned deaths of leaders
        self._left: Sequence[KeptInstance] = ()  # by an earlier launcher
        self.restarts = 0
        self.failovers = 0
        self.last_failover_s: float | None = None
        self.last_failover_at: float | None = None
        self.held = False
        self.error = ""  # why it is not as it should be, in one line
        self._news = asyncio.Event()

    def use(self, forker: Forker) -> None:
        self._forker = forker

    def record_in(self, journal: Journal) -> None:
        self._journal = journal

    def take_over(self, left: Sequence[KeptInstance]) -> None:
        """Have these left by an earlier launcher, for ``go_on``."""
        self._left = left
        self._ours.extend(kept.spec.incarnation for kept in left)

    @property
    def taken_over(self) -> bool:
        return bool(self._left)

    async def start(self) -> None:
        """Start every instance that does not live; the first seat is the one that leads first."""
        assert self._forker is not None
        self._forker.keep(self.plan.service, self.plan.ports, self._sockets)
        for seat in range(self.plan.size):
            if seat not in self.members:
                await self._launch(seat, first=not self._left)
        self._background(self._monitor())

    async def go_on(self, terms: Terms) -> None:
        """Lead what was taken over from here on; ``start`` replaces what does not live.

        ``terms`` asks for the service's leaders so far, for the record of what happened while
        nobody watched.
        """
        self._led_before = True
        for kept in self._left:
            if kept.channel is not None:
                self._resume(kept, kept.channel)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_S):
                while any(member.silent for member in self.members.values()):
                    self._news.clear()
                    await self._news.wait()
        for member in self.members.values():
            if member.silent:
                member.killed, member.silent = "does not say how it is", False
                member.signal(signal.SIGKILL)
        self._assign()
        leading = {member.epoch for member in self.members.values() if member.leads}
        self._record_gap(await terms(), leading)

    def _resume(self, kept: KeptInstance, channel: socket.socket) -> None:
        assert self._forker is not None
        member = self.members[kept.spec.seat] = Member(kept.spec, silent=True)
        member.process = self._forker.resume(kept, lambda: self._fell(member))
        member.channel = Channel(
            channel, lambda m: self._heard(member, m), lambda: self._hung_up(member)
        )
        member.channel.resume({"report": True})
        member.send(hold=self.held)

    def _record_gap(self, terms: Sequence[LeadershipTaken], leading: set[int]) -> None:
        """Record who fell while no launcher lived, and who took over then, with the real times.

        ``leading``: the epochs that were led when the instances said how they were; of a later one
        its leader tells as ever.
        """
        assert self._forker is not None
        before, last = ((None, None, *terms))[-2:]
        for kept in self._left:
            if not kept.ended_at:
                continue
            died_at = datetime.fromtimestamp(kept.ended_at, UTC)
            name = kept.spec.instance
            in_time = last is not None and died_at <= last.at
            led = before if in_time else last
            was_leader = led is not None and led.instance == name
            self._record(
                InstanceDied(
                    at=died_at,
                    service=self.plan.service,
                    instance=name,
                    reason=_told(kept.status),
                    was_leader=was_leader,
                )
            )
            self._note(f"{name} ended while no launcher lived: {_told(kept.status)}")
            self._forker.forget(kept.pid)
            self.restarts += 1
            if was_leader and in_time and last is not None and last.epoch in leading:
                self._record_promotion(last, (last.at - died_at).total_seconds())
            elif was_leader:
                self._fault_at = time.monotonic() - (self._now() - died_at).total_seconds()

    def _record_promotion(self, term: LeadershipTaken, failover_s: float) -> None:
        self.failovers += 1
        ago_s = (self._now() - term.at).total_seconds()
        self.last_failover_s, self.last_failover_at = failover_s, time.monotonic() - ago_s
        self._record(
            InstancePromoted(
                at=term.at,
                service=self.plan.service,
                instance=term.instance,
                epoch=term.epoch,
                capacity=self.plan.capacity,
                failover_s=failover_s,
            )
        )

    async def stop(self, reason: str = "stopped") -> None:
        """End every instance, the leader last, within a bound; nothing is left running."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        standbys = [m for m in self.members.values() if not m.leads]
        await asyncio.gather(*(self._end(member, reason) for member in standbys))
        await asyncio.gather(*(self._end(m, reason) for m in list(self.members.values())))

    def close(self) -> None:
        """Give the ports back."""
        for listener in self._sockets:
            listener.close()

    async def switchover(self) -> bool:
        """Move the leadership in order; False when nobody could take it. Renews the budget."""
        self._budget.renewed()
        self._hold(False)
        leader = self.leader
        if leader is None:
            self._invite("")
            return bool(self._standbys()) and not self.elsewhere
        if not any(standby.state == "ready" for standby in self._standbys()):
            return False
        await self._end(leader, "switchover")
        return True

    async def roll(self, release: Release, proof: Proof | None = None) -> bool:
        """Replace every instance by another release, standbys first and the leader last.

        ``proof`` is asked about each new instance before the next one is replaced, so that what is
        not healthy never leads. False when a new instance did not become ready, was not proven or
        could not lead: all is as before then, and ``error`` says why.
        """
        before, self.release, self._rolling = self.release, release, True
        self._leaders_lost = 0
        try:
            order = sorted(self.members.values(), key=lambda m: (m.leads, -m.seat))
            for member in order:
                if problem := await self._renewed(member, proof):
                    return await self._back(release, before, problem)
            if problem := await self._unled():
                return await self._back(release, before, problem)
            self.error = ""
            return True
        finally:
            self._rolling = False

    async def _renewed(self, member: Member, proof: Proof | None) -> str:
        """Replace one instance; return what is wrong with the new one, "" when nothing is."""
        if not await self._renew(member):
            return self._unfit or "does not become ready; kept the rest"
        problem = ""
        if proof is not None:
            try:
                async with asyncio.timeout(PROOF_S):
                    while problem := await self._asked(member.seat, proof):  # noqa: ASYNC110
                        await asyncio.sleep(PROOF_AGAIN_S)
            except TimeoutError:
                return f"is not healthy after {PROOF_S:g} s: {problem}"
        return ""

    async def _asked(self, seat: int, proof: Proof) -> str:
        member = self.members.get(seat)
        if member is None or member.state != "ready" or not member.slots:
            return f"seat {seat} is not ready"
        return await proof(self.plan.ports[min(member.slots)], member.spec.instance)

    async def _unled(self) -> str:
        """Wait until the group is whole and stays so for a moment; return why it does not."""
        try:
            async with asyncio.timeout(LEADS_S):
                whole_since: float | None = None
                while whole_since is None or time.monotonic() - whole_since < LEADS_FOR_S:
                    if self._unfit:
                        return self._unfit
                    now = time.monotonic()
                    whole_since = (whole_since or now) if self.whole else None
                    await asyncio.sleep(PROOF_AGAIN_S)
        except TimeoutError:
            return f"has not settled under one leader in {LEADS_S:g} s"
        return ""

    @property
    def _unfit(self) -> str:
        """Why a release that is being rolled out may not stay, by how its leaders fare."""
        lost = self._leaders_lost
        return f"cannot lead: {lost} of its leaders fell" if lost > 1 else ""

    async def _back(self, release: Release, before: Release, problem: str) -> bool:
        self.release = before
        await self._abandon(release)
        self.error = f"version {release.version} {problem}"
        self._note(self.error)
        return False

    def runs(self, release: Release) -> bool:
        """Whether this release is what all living instances run and what new ones will."""
        same = all(_release_of(m) == release.identity for m in self.members.values())
        return same and self.release.identity == release.identity

    async def wait_ready(self, *, bound_s: float) -> bool:
        """Wait until all instances are ready and one leads."""
        try:
            async with asyncio.timeout(bound_s):
                while not self.whole:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    @property
    def whole(self) -> bool:
        ready = [m for m in self.members.values() if m.state == "ready"]
        if len(ready) < self.plan.size:
            return False
        if any(member.accepting != member.slots for member in ready):
            return False  # told where to accept, but not there yet: another may still answer
        leaders = sum(member.leads for member in ready)
        return leaders == 1 or (leaders == 0 and bool(self.elsewhere))

    @property
    def elsewhere(self) -> str:
        """The leader's incarnation if it runs under another launcher; "" if none is known."""
        holders = {m.beat.get("holder", "") for m in self.members.values() if m.state == "ready"}
        if self.leader is not None or len(holders) != 1:
            return ""
        holder = str(holders.pop())
        return "" if holder in self._ours else holder

    @property
    def leader(self) -> Member | None:
        leading = [m for m in self.members.values() if m.leads and m.state == "ready"]
        return max(leading, key=lambda m: m.epoch, default=None)

    def _standbys(self) -> list[Member]:
        """Who can be promoted, best first."""
        able = [m for m in self.members.values() if not m.leads and m.able]
        return sorted(able, key=lambda m: (m.state != "ready", m.seat))

    async def _launch(self, seat: int, *, first: bool = False) -> None:
        spec = self._spec(seat, first=first)
        assert self._forker is not None
        self._ours.append(spec.incarnation)
        member = Member(spec)
        self.members[seat] = member
        ours, theirs = socket.socketpair()
        member.channel = Channel(
            ours, lambda m: self._heard(member, m), lambda: self._hung_up(member)
        )
        try:
            member.process = await self._forker.spawn(
                spec.wire(), theirs, ours, lambda: self._fell(member)
            )
        except ForkFailed as error:
            member.channel.close()
            member.killed = str(error)
            self._fell(member)
            return
        finally:
            theirs.close()
        self._record(
            InstanceStarted(
                at=self._now(),
                service=spec.service,
                instance=spec.instance,
                port=self.plan.ports[seat],
                pid=member.pid,
                host=socket.gethostname(),
                capacity=spec.capacity,
                version=spec.version,
            )
        )
        self._note(f"{spec.instance} started, pid {member.pid}, {spec.capacity}x")

    def _spec(self, seat: int, *, first: bool) -> InstanceSpec:
        instance = f"{self.plan.service}-{seat}"
        return InstanceSpec(
            service=self.plan.service,
            reference=self.release.reference,
            artifact=self.release.artifact,
            version=self.release.version,
            digest=self.release.digest,
            instance=instance,
            incarnation=f"{instance}.{secrets.token_hex(4)}",
            seat=seat,
            preferred=first and seat == 0,
            capacity=1 if first and seat == 0 else self.plan.capacity,
            ports=self.plan.ports,
            launcher_pid=os.getpid(),
            world=self.plan.world,
            started=time.monotonic(),
        )

    def _heard(self, member: Member, message: Message) -> None:
        now = time.monotonic()
        if not self._listens(member, message, now):
            return
        match message:
            case {"warning": text}:
                self._note(f"{member.spec.instance} {message.get('level', 'warning')}: {text}")
                return
            case {"accepting": slots}:
                member.accepting = frozenset(slots)
            case {"up": _}:
                member.state, member.beat_at = "up", now  # from here on heartbeats are due
                member.send(hold=self.held)
            case {"ready": startup_s}:
                self._became_ready(member, startup_s)
            case {"unable": reason}:
                member.state, member.unable = "up", reason
                self.error = f"{member.spec.instance} (version {member.spec.version}): {reason}"
                self._note(self.error)
            case {"role": "active", "epoch": epoch, "reason": reason}:
                self._became_leader(member, epoch, reason)
            case {"released": released, "epoch": epoch}:
                self._gave_up(member, epoch, released=released)
        self._assign()
        self._news.set()

    def _listens(self, member: Member, message: Message, now: float) -> bool:
        """Whether there is more to do about a message than to take its figures."""
        if member.silent:
            if "report" not in message:
                return False  # said to the launcher before; the report has it all
            self._reported(member, message["report"], now)
        if "beat" in message:
            self._beat(member, message["beat"], now)
            return False
        return True

    def _reported(self, member: Member, report: dict[str, Any], now: float) -> None:
        """Know of an instance that was taken over what its launcher knew."""
        member.silent = False
        member.state, member.unable = report["state"], report["unable"]
        member.role, member.epoch = report["role"], report["epoch"]
        member.slots, member.accepting = frozenset(report["slots"]), frozenset(report["accepting"])
        member.beat_at = now
        if self._forker is not None:
            self._forker.serves(member.pid, sorted(member.slots))
        if member.state == "ready":
            member.ready_at = now
        if member.state == "stopping":
            member.planned = "stopped"  # by the launcher that was killed meanwhile
        self._note(f"{member.spec.instance} taken over, pid {member.pid}, {member.role}")

    def _beat(self, member: Member, beat: dict[str, Any], now: float) -> None:
        before = member.beat.get("holder")
        member.heard(beat, now)
        if before != beat.get("holder"):
            self._led_before = self._led_before or bool(self.elsewhere)
            self._news.set()

    def _became_ready(self, member: Member, startup_s: float) -> None:
        member.state = "ready"
        member.ready_at = time.monotonic()
        self._record(
            InstanceReady(
                at=self._now(),
                service=self.plan.service,
                instance=member.spec.instance,
                startup_s=startup_s,
            )
        )
        self._note(f"{member.spec.instance} ready after {startup_s:.2f} s")
        if self._fault_at is not None and self.leader is None:
            self._invite("")  # nobody could take over when the leader fell

    def _became_leader(self, member: Member, epoch: int, reason: str) -> None:
        now = time.monotonic()
        for other in self.members.values():
            if other is not member and other.leads and other.epoch < epoch:
                self._background(self._depose(other))
                if reason == "expired" and self._fault_at is None:
                    self._fault_at = other.beat_at  # its last sign of life
        member.role, member.epoch = "active", epoch
        failover_s = None if self._fault_at is None else round(now - self._fault_at, 4)
        if self._led_before:
            self._promoted(member, failover_s, now)
        self._led_before = True
        self._fault_at = None
        took = "" if failover_s is None else f" {failover_s * 1000:.0f} ms after the fault"
        self._note(f"{member.spec.instance} leads, epoch {epoch} ({reason}){took}")

    def _promoted(self, member: Member, failover_s: float | None, now: float) -> None:
        if failover_s is not None:
            self.failovers += 1
            self.last_failover_s, self.last_failover_at = failover_s, now
            if (
                not self._rolling
            ):  # a release that cannot lead must not use up the others' failovers
                self._budget.promoted(now)
            if self._budget.spent(now):
                self._hold(True)
        self._record(
            InstancePromoted(
                at=self._now(),
                service=self.plan.service,
                instance=member.spec.instance,
                epoch=member.epoch,
                capacity=member.spec.capacity,
                failover_s=failover_s,
            )
        )

    def _gave_up(self, member: Member, epoch: int, *, released: bool) -> None:
        # A leader that fails releases its lease before it ends: its death is a standby's then.
        self._leaders_lost += member.leads and not member.planned
        member.role = "standby"
        if epoch:
            self._record(
                LeadershipReleased(
                    at=self._now(),
                    service=self.plan.service,
                    instance=member.spec.instance,
                    epoch=epoch,
                    reason=member.planned or member.unable or "the instance ended",
                )
            )
        if released and not self._stopping:
            self._invite("")

    def _invite(self, holder: str) -> None:
        """Tell the standbys to take over at once: the holder is dead ("": the key is released)."""
        if self.held:
            return
        for standby in self._standbys():
            standby.send(go=holder)

    def _hung_up(self, member: Member) -> None:
        """The channel ended: the process is ending, and is ended if it does not."""

        async def make_sure() -> None:
            if member.process is None:
                await asyncio.sleep(HANG_UP_S)
            else:
                await asyncio.wait({member.process.ended}, timeout=HANG_UP_S)
            member.signal(signal.SIGKILL)

        if member.state != "dead":
            self._background(make_sure())

    def _fell(self, member: Member) -> None:
        """The process has ended (or never began)."""
        if member.state == "dead":
            return
        now = time.monotonic()
        ready_for_s = member.ready_for_s(now)
        was_leader, member.state, member.role = member.leads, "dead", "standby"
        if member.channel is not None:
            member.channel.close()
        if self.members.get(member.seat) is member:
            del self.members[member.seat]
        if was_leader and not self._stopping:
            self._fault_at = now
            self._leaders_lost += not member.planned
            self._invite(member.spec.incarnation)
        self._assign()
        self._news.set()
        self._background(self._bury(member, was_leader=was_leader))
        if not self._stopping:
            self._background(self._replace(member, ready_for_s))

    async def _bury(self, member: Member, *, was_leader: bool) -> None:
        status = await member.process.ended if member.process is not None else None
        reason = member.planned or member.killed or _told(status)
        self._record(
            InstanceDied(
                at=self._now(),
                service=self.plan.service,
                instance=member.spec.instance,
                reason=reason,
                was_leader=was_leader,
                planned=bool(member.planned),
            )
        )
        self._note(f"{member.spec.instance} ended: {reason}")

    async def _replace(self, member: Member, ready_for_s: float | None) -> None:
        backoff = self._backoff[member.seat]
        wait_s = 0.0
        if not member.planned:
            wait_s = backoff.died(ready_for_s=ready_for_s)
            self.restarts += 1
        if backoff.looping:
            self.error = f"{member.spec.instance} keeps falling; next start in {wait_s:g} s"
            self._note(self.error)
        if member.process is not None:
            await member.process.ended  # its views and its name are free only now
        await asyncio.sleep(wait_s)
        if self.leader is None:
            await self._taken_over()
        if not self._stopping:
            await self._launch(member.seat)

    async def _taken_over(self) -> None:
        """Let the next leader come first: a start takes a core, and right now it needs one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKE_OVER_S):
                while self.leader is None:
                    self._news.clear()
                    await self._news.wait()
                await asyncio.sleep(FIRST_WRITES_S)

    async def _renew(self, member: Member) -> bool:
        seat = member.seat
        await self._end(member, "new version")
        try:
            async with asyncio.timeout(ROLL_S):
                while True:
                    current = self.members.get(seat)
                    if current and current is not member and current.state == "ready":
                        return True
                    if self._backoff[seat].looping or (current and current.unable):
                        return False
                    if self._unfit:
                        return False
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False

    async def _abandon(self, release: Release) -> None:
        """End what already runs a release that failed; the seats come back with the one before."""
        for member in list(self.members.values()):
            if _release_of(member) == release.identity:
                self._backoff[member.seat].failures = 0
                await self._end(member, "new version failed")

    async def _end(self, member: Member, reason: str) -> None:
        """Stop one instance in order, by force after ``STOP_S``."""
        member.planned = member.planned or reason
        member.state = "stopping" if member.state != "dead" else "dead"
        member.send(stop=reason)
        self._assign()
        if member.process is None:
            self._fell(member)
            return
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.shield(member.process.ended)
        except TimeoutError:
            member.signal(signal.SIGKILL)
            await member.process.ended

    async def _depose(self, member: Member) -> None:
        """A newer leader acts: an old one that does not end by itself is hung or stopped."""
        await asyncio.sleep(DEPOSED_S)
        if member.state != "dead":
            member.role = "standby"
            member.killed = "deposed and not responding"
            member.signal(signal.SIGKILL)

    async def _monitor(self) -> None:
        """Replace what does not answer. Hung is dead."""
        step_s = min(0.5, self.plan.heartbeat_s / 5)
        last = time.monotonic()
        while True:
            await asyncio.sleep(step_s)
            now = time.monotonic()
            if now - last > step_s + self.plan.heartbeat_s / 2:
                for (
                    member
                ) in self.members.values():  # we were paused ourselves: start counting anew
                    member.beat_at = now
            last = now
            for member in list(self.members.values()):
                self._check(member, now)
            if self.error and self.whole and not any(b.looping for b in self._backoff.values()):
                self.error = ""
            self._calm(now)

    def _check(self, member: Member, now: float) -> None:
        silent_s = now - member.beat_at
        if member.state == "starting":
            if now - member.started_at > UP_S:
                member.killed = f"not up after {UP_S:g} s"
                member.signal(signal.SIGKILL)
        elif member.state in ("up", "ready") and silent_s > self.plan.heartbeat_s:
            member.killed = f"missed heartbeats for {silent_s:.1f} s"
            self._note(f"{member.spec.instance} {member.killed}")
            member.signal(signal.SIGKILL)

    def _calm(self, now: float) -> None:
        for seat, backoff in self._backoff.items():
            member = self.members.get(seat)
            ready_for_s = member.ready_for_s(now) if member else None
            if ready_for_s is not None and ready_for_s > backoff.calm_s:
                backoff.failures = 0

    def _hold(self, held: bool) -> None:
        if held and not self.held:
            self.error = (
                f"{self._budget.per_hour} promotions within an hour: no more without a person "
                f"(phoenix switchover {self.plan.service})"
            )
            self._note(self.error)
        elif self.held and not held:
            self.error = ""
        self.held = held
        for member in self.members.values():
            member.send(hold=held)

    def _assign(self) -> None:
        """Tell every instance where to accept."""
        if any(member.silent for member in self.members.values()):
            return
        assert self._forker is not None
        able = [m for m in self.members.values() if m.serving]
        seats = [Seat(m.seat, m.leads, m.state == "ready", m.slots) for m in able]
        wanted = assign(seats, self.plan.size)
        for member in able:
            if wanted[member.seat] != member.slots:
                member.slots = wanted[member.seat]
                member.send(slots=sorted(member.slots))
                self._forker.serves(member.pid, sorted(member.slots))

    def _now(self) -> datetime:
        return datetime.now(UTC)

    def _record(self, event: Event) -> None:
        if self._journal is not None:
            self._journal.add(event)

    def _note(self, text: str) -> None:
        _log.info("group", service=self.plan.service, note=text)
        self._changed(text)

    def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("group_task_failed", service=self.plan.service, exc_info=task.exception())

    async def settled(self) -> None:
        """Wait until what was begun in the background (burials) is done."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while self._tasks:
                    await asyncio.gather(*self._tasks, return_exceptions=True)


def _release_of(member: Member) -> str:
    return f"{member.spec.version} {member.spec.digest}"


def _told(status: int | None) -> str:
    if status is None:
        return "ended"
    return f"signal {-status}" if status < 0 else f"exit {status}"
