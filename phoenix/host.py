"""One instance of one service: the composition root of its process.

Order       connect, create the service, open its views, start HTTP; then take part in the election.
Leading     win the lease, append ``LeadershipTaken`` (the fence), bring the views up to it, act.
Ends        the launcher is gone or says stop: release, drain, end. Demoted or superseded: write
            nothing more and end at once; the launcher starts a standby in its place.
Unreadable  the log holds what this version cannot read: starting again would not help, so the
            instance stays, says so in ``/health``, does not lead and serves what it has.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, cast

import psutil
import structlog

from domain.errors import (
    ConflictError,
    LeaseLost,
    PhoenixError,
    PoisonError,
    StaleEpoch,
    TransientError,
)
from domain.event import Event
from domain.instance import LeadershipTaken
from domain.recorded import Recorded
from infra.clock import SystemClock
from infra.http.app import build_app
from infra.nats.connection import Connection, access, open_connection
from infra.nats.kv import CasBucket
from infra.nats.log import JetStreamLog
from infra.nats.objects import JetStreamObjects
from infra.nats.setup import LEASES, USERS
from infra.nats.users import KvUsers
from infra.ports import Context, EventLog, Fence, Meta, Reading, Service, Term, Write
from infra.settings import Settings, load
from infra.views import SqliteViews
from phoenix import guest as guests
from phoenix import logs
from phoenix.channel import Channel, Message
from phoenix.elector import Elector
from phoenix.gate import GatedLog
from phoenix.lease import Election, Lead, Timing
from phoenix.reference import load as load_service
from phoenix.serving import HttpServer
from phoenix.spec import InstanceSpec

DRAIN_S = 4.0
RELEASE_S = 1.0
REACH_S = 60.0
CLOSE_S = 3.0
LOOK_S = 0.02
# Events, rows and answers hold no cycles: at the interpreter's own pace (700 objects) the collector
# went through them over and over, for two thirds of what it takes to read an event.
COLLECT_EVERY = (50_000, 20, 50)
EXIT_DEMOTED = 75
EXIT_FAILED = 70

_log = structlog.get_logger(__name__)


def run(spec: dict[str, Any], control_fd: int, listener_fds: Sequence[int]) -> int:
    """Be this instance until told to stop; return the exit status. Called in a forked child."""
    gc.set_threshold(*COLLECT_EVERY)
    instance = InstanceSpec.model_validate(spec)
    control = socket.socket(fileno=control_fd)
    listeners = [_listener(fd) for fd in listener_fds]
    try:
        return asyncio.run(Host(instance, control, listeners).run())
    except PhoenixError as error:
        _log.error("instance_failed", error=str(error))
        return EXIT_FAILED
    finally:
        logs.flush()


def _listener(fd: int) -> socket.socket:
    listener = socket.socket(fileno=fd)
    # The flag is the open socket's, shared by every process that has it. Python believes that this
    # one blocks, and its dup() would make it so: whoever accepts at that moment would hang.
    listener.setblocking(False)
    return listener


class Host:
    """Everything that one instance is made of."""

    def __init__(
        self, spec: InstanceSpec, control: socket.socket, listeners: Sequence[socket.socket]
    ) -> None:
        self.spec = spec
        self.settings: Settings = load()
        self._control = control
        self._listeners = listeners
        self._stop = asyncio.Event()
        self._stop_reason = "the launcher is gone"
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._slots: frozenset[int] = frozenset()
        self._shared: frozenset[int] = frozenset()  # slots of fallen ones, while no launcher lives
        self._fallen = ""  # the incarnation that fell last
        self._slots_changed = asyncio.Event()
        self._term: Term | None = None
        self._composed = False
        self._up = False  # HTTP has started: it can accept
        self._visible: Connection | None = None  # of the service, if it is not the host's own
        self._last_term: asyncio.Task[Recorded[Event] | None] | None = None  # read ahead
        self._unreadable = ""  # why this version cannot read on

    async def run(self) -> int:
        """Return the exit status once this instance has ended in order."""
        path = self.settings.data_dir / "logs" / self.spec.service / f"{self.spec.instance}.log"
        logs.to_file(path, tell=self._warn, service=self.spec.service, instance=self.spec.instance)
        self._channel = Channel(self._control, self._told, self._stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        nc = await open_connection(self.settings, "service")
        try:
            await self._compose(nc)
            return await self._live()
        finally:
            if self._visible is not None:
                await self._visible.close()
            await nc.close()

    async def _compose(self, nc: Connection) -> None:
        """Make the service with its context, views, HTTP and elector; nothing runs yet."""
        spec, settings = self.spec, self.settings
        clock = SystemClock()
        leases = CasBucket(nc, LEASES)
        election = Election(spec.incarnation, Timing(settings.lease_s), preferred=spec.preferred)
        self._elector = Elector(
            leases,
            spec.service,
            election,
            about={"instance": spec.instance, "pid": os.getpid(), "host": socket.gethostname()},
            on_lead=lambda lead: self._start(self._lead(lead), "lead"),
        )
        self._log = JetStreamLog(nc)
        self._logs = [self._log]
        data_dir = settings.data_dir.absolute()
        guest = guests.is_guest(spec)
        visible = self._visible = await open_connection(settings, "public") if guest else nc
        users = KvUsers(CasBucket(nc, USERS), clock)
        self.ctx = Context(
            service=spec.service,
            instance=spec.instance,
            data_dir=str(data_dir),
            port_shift=settings.port_shift,
            settings=guests.without_secrets(settings) if guest else settings,
            log=self._log_of_guest(visible) if guest else self._log_of_part(),
            views=cast(Any, None),
            objects=JetStreamObjects(visible),
            clock=clock,
            auth=guests.Persons(users) if guest else users,
            capacity=spec.capacity,
        )
        self._environment()
        self.service: Service = load_service(spec.reference, spec.artifact)(self.ctx)
        self._views = SqliteViews(
            data_dir / "views" / spec.service / spec.instance, self.service.tables, beside=True
        )
        self.ctx.views = self._views
        self._http = HttpServer(build_app(self.service, self.ctx), self._listeners)
        self._composed = True

    def _log_of_part(self) -> EventLog:
        return GatedLog(self._log, self._elector.confirmed)

    def _log_of_guest(self, visible: Connection) -> EventLog:
        self._logs.append(JetStreamLog(visible))
        return guests.ReadOnlyLog(self._logs[-1])

    def _environment(self) -> None:
        """What generated services (ordinary ``eventsourcing`` applications) read."""
        os.environ["PERSISTENCE_MODULE"] = "infra.eventsourcing_jetstream"
        servers, options = access(self.settings, "app")
        url = servers[0]
        if "password" in options:
            url = url.replace("://", f"://{options['user']}:{options['password']}@", 1)
        os.environ["NATS_URL"] = ",".join((url, *servers[1:]))
        if self.settings.nats_creds:
            os.environ["NATS_CREDS"] = str(self.settings.nats_creds)
        os.environ["NATS_REPLICAS"] = str(self.settings.replicas)

    async def _live(self) -> int:
        self._start(self._views.follow(self._log), "views")
        await self._http.start()
        self._start(self._accept(), "accept")
        self._start(self._beat(), "beat")
        self._up = True
        self._channel.send({"up": self.service.version})
        await self._caught_up()
        election = self._start(self._elector.run(), "election")
        ended = asyncio.create_task(self._elector.ended.wait())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((ended, stop, election), return_when=asyncio.FIRST_COMPLETED)
        if self._unreadable and not self._elector.demoted:
            await stop  # it gave the lease up and serves what it has
        if self._elector.demoted:
            _log.warning("demoted", reason=self._elector.demoted, epoch=self.ctx.epoch)
            self._leave_at_once(EXIT_DEMOTED)
        if self._failure is not None:
            _log.error("instance_failed", error=repr(self._failure), exc_info=self._failure)
        await self._end()
        return 0 if self._failure is None else EXIT_FAILED

    async def _caught_up(self) -> None:
        """Wait until the views hold what the log held when we started (or we are told to stop)."""
        while not self._over:
            try:
                if self._views.subjects:
                    await self._views.reach(await self._log.last_position(), timeout_s=1.0)
                break
            except TransientError as error:
                _log.info("catching_up", position=self._views.position, reason=str(error))
        while not (self._over or getattr(self._reading, "ready", True)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)  # a generated service reads in threads of its own
        if self._over:
            return
        self.ctx.ready = True
        self._channel.send({"ready": round(time.monotonic() - self.spec.started, 3)})

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or bool(self._unreadable)

    @property
    def _reading(self) -> Reading:
        """What ``/health`` goes by: a generated service's own tables, or the platform's views."""
        reading: Reading = getattr(self.service, "views", self._views)
        return reading

    def _cannot_read(self, error: PoisonError) -> None:
        """Stay up and say why; another version has to go on from here."""
        if self._unreadable:
            return
        self._unreadable = " ".join((str(error), *getattr(error, "__notes__", ())))
        self.ctx.ready = False
        self.ctx.problem = self._unreadable
        _log.error("log_unreadable", reason=self._unreadable, position=self._views.position)
        self._channel.send({"unable": self._unreadable})
        task = asyncio.create_task(self._give_up_lease())
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    async def _give_up_lease(self) -> None:
        """Stop acting; whoever can read the log leads."""
        self.ctx.role = "standby"
        self._views.lead(False)
        if self._term is not None:
            self._term.ended.set()
        held = self._elector.holds
        released = await self._elector.release(bound_s=RELEASE_S)
        if held:
            self._channel.send({"released": released, "epoch": self.ctx.epoch})

    async def _lead(self, lead: Lead) -> None:
        """One term: from the won lease to its end."""
        self._views.lead(True)  # it takes a moment: meanwhile the term begins
        fence = await self._take(lead)
        if self._views.subjects:
            await self._views.reach(fence.position, timeout_s=REACH_S)
        self.ctx.role, self.ctx.epoch = "active", fence.epoch
        self.ctx.problem = self._problem()  # what the last beat saw may be over
        term = self._term = Term(fence)
        self._channel.send({"role": "active", "epoch": fence.epoch, "reason": lead.reason})
        self._slots_changed.set()
        _log.info("leading", epoch=fence.epoch, position=fence.position, reason=lead.reason)
        await self.service.lead(term)
        await term.ended.wait()

    async def _take(self, lead: Lead) -> Fence:
        """Append ``LeadershipTaken``; its position is the fence of every later append.

        Raises:
            LeaseLost: another instance took over meanwhile.
        """
        subject = self._leadership
        while self._elector.holds:
            if not await self._elector.confirmed():
                continue  # an outage: the renewals go on meanwhile
            try:
                reading, self._last_term = self._last_term, None
                last = await (reading or self._log.last(subject))
                known = last.event.epoch if last and isinstance(last.event, LeadershipTaken) else 0
                epoch = max(lead.epoch, known + 1)
                event = LeadershipTaken(
                    at=self.ctx.clock.now(),
                    service=self.spec.service,
                    instance=self.spec.instance,
                    epoch=epoch,
                    reason=lead.reason,
                )
                meta = Meta(
                    command_id=f"{self.spec.incarnation}/lead/{epoch}",
                    actor=self.spec.instance,
                    source=self.spec.service,
                )
                write = Write(event, expected=last.position if last else 0)
                (position,) = await self._log.append([write], meta=meta)
            except (ConflictError, TransientError) as error:
                _log.info("leadership_again", error=str(error))
                await asyncio.sleep(0.01)
                continue
            self._elector.at_least(epoch)
            return Fence(self.spec.service, position, epoch)
        raise LeaseLost("another instance took over before this one could act")

    @property
    def _leadership(self) -> str:
        return f"events.leadership.{self.spec.service}"

    async def _look_ahead(self) -> Recorded[Event] | None:
        """Read the last term while the lease is being claimed: one step less after it is won.

        None also if nobody answered: a condition that does not hold makes ``_take`` read again.
        """
        with contextlib.suppress(TransientError):
            return await self._log.last(self._leadership)
        return None

    async def _accept(self) -> None:
        while True:
            self._slots_changed.clear()
            self._http.accept_on(self._wanted_slots())
            self._channel.send({"accepting": sorted(self._http.slots)})
            await self._slots_changed.wait()

    def _wanted_slots(self) -> frozenset[int]:
        """Where to accept: as told; beyond that, with no launcher, where one that fell did, except
        that the base slot belongs to the leader as soon as there is one."""
        if not self._shared:
            return self._slots
        slots = self._slots | self._shared
        if self.ctx.role == "active":
            return slots | {0}
        holder = self._elector.holder
        return slots if holder in ("", self._fallen, self.spec.incarnation) else slots - {0}

    async def _beat(self) -> None:
        """Tell the launcher that this loop turns, and how it is."""
        process = psutil.Process()
        while True:
            if self._shared:
                self._slots_changed.set()  # another one may lead by now
            self.ctx.problem = self._problem()
            memory_mb = round(process.memory_info().rss / 2**20, 1)
            self._channel.send(
                {
                    "beat": {
                        "position": self._reading.position,
                        "lag": self._reading.lag,
                        "requests": self._http.requests_total,
                        "in_flight": self._http.in_flight,
                        "memory_mb": memory_mb,
                        "holder": self._elector.holder,
                        "problem": self.ctx.problem,
                    }
                },
                droppable=True,
            )
            pause_s = min(1.0, self.settings.heartbeat_s / 5)
            await asyncio.sleep(min(0.2, pause_s) if self.ctx.problem else pause_s)

    def _problem(self) -> str:
        if self._unreadable:
            return self._unreadable
        if self._elector.holds and not self._elector.may_act():
            return "the lease is not being confirmed"
        return str(getattr(self._reading, "problem", ""))

    async def _end(self) -> None:
        """In order: act no more, give the lease up, finish requests, close the views."""
        self.ctx.role = "standby"
        if self._term is not None:
            self._term.ended.set()
        held = self._elector.holds
        released = await self._elector.release(bound_s=RELEASE_S)
        if held:
            self._channel.send({"released": released, "epoch": self.ctx.epoch})
        await self._http.drain(DRAIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close_service()
        self._views.close()
        for log in self._logs:
            await log.close()
        self._channel.close()

    async def _close_service(self) -> None:
        close = getattr(self.service, "close", None)
        if close is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.to_thread(close)  # it waits for threads of its own
        except Exception as error:
            _log.warning("service_close_failed", error=repr(error))

    def _told(self, message: Message) -> None:
        match message:
            case {"slots": slots}:
                self._slots, self._shared = frozenset(slots), frozenset()
                self._slots_changed.set()
            case {"share": slots}:
                self._shared |= frozenset(slots)
                self._slots_changed.set()
            case {"go": holder} if self._composed:
                self._last_term = self._start(self._look_ahead(), "last term")
                self._fallen = holder
                self._views.fold_for_now()  # whoever wins has to be up to date at once
                self._elector.holder_died(holder)
            case {"hold": held} if self._composed:
                self._elector.hold(held)
            case {"report": _}:
                self._channel.send({"report": self._report()})
            case {"stop": reason}:
                self._stop_reason = reason
                self._stop.set()

    def _report(self) -> dict[str, Any]:
        """What a launcher that takes this instance over has not heard itself."""
        up = self._composed and self._up
        if up:  # from here on a launcher decides again
            self._slots, self._shared = self._wanted_slots(), frozenset()
        state = "ready" if up and self.ctx.ready else "up" if up else "starting"
        return {
            "state": "stopping" if self._stop.is_set() else state,
            "role": self.ctx.role if up else "standby",
            "epoch": self.ctx.epoch if up else 0,
            "slots": sorted(self._slots),
            "accepting": sorted(self._http.slots) if up else [],
            "unable": self._unreadable,
        }

    def _warn(self, level: str, text: str) -> None:
        self._channel.send({"warning": text, "level": level})

    def _start(self, work: Any, name: str) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        # Who cannot read the log has given its lease up itself, perhaps in the middle of taking it.
        if error is not None and _superseded(error) and not self._unreadable:
            _log.warning("superseded", error=str(error))
            self._leave_at_once(EXIT_DEMOTED)
        poison = _poison(error)
        if poison is not None:
            self._cannot_read(poison)
        elif error is not None and not self._unreadable:
            self._failure = self._failure or error
            self._stop.set()

    def _leave_at_once(self, code: int) -> None:
        """A process that no longer leads must not finish anything: not even a pending write."""
        if self._term is not None:
            self._term.ended.set()
        logs.flush()
        os._exit(code)


def _superseded(error: BaseException) -> bool:
    """Whether a newer leader is the cause, however deep in a task group it was noticed."""
    if isinstance(error, BaseExceptionGroup):
        return any(_superseded(inner) for inner in error.exceptions)
    return isinstance(error, StaleEpoch | LeaseLost)


def _poison(error: BaseException | None) -> PoisonError | None:
    """What cannot be read, if that is the cause."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _poison(inner))), None)
    return error if isinstance(error, PoisonError) else None


__all__ = ["DRAIN_S", "EXIT_DEMOTED", "Host", "run"]
