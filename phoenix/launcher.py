"""The launcher: everything that ``phoenix up`` and ``phoenix-launcher`` keep running on one host.

Order       check everything that can refuse (lock, ports, rights, settings), then start: server,
            stream and buckets, administrator, groups, what was deployed before, control socket.
Owns        the listening sockets, the fork server, the embedded nats-server. When it ends in
            order, nothing that it started stays behind.
Killed      it leaves all that to its fork server, and instances go on. The next launcher on the
            same data takes over what that one hands to it, and nothing else (``phoenix.takeover``).
"""

import asyncio
import fcntl
import hashlib
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import IO, Any

import orjson
import psutil
import structlog

from domain.delivery_events import DeploymentFailed, DeploymentStarted
from domain.errors import ConflictError, PhoenixError, PoisonError, TransientError
from domain.instance import LeadershipTaken, WatchResumed
from infra import artifacts
from infra.audit_seal import Sealer, sealer_for
from infra.clock import SystemClock
from infra.components import source_digest, source_root
from infra.nats import setup
from infra.nats.connection import Connection, open_connection
from infra.nats.embedded import EmbeddedServer, ServerError, ServerProcess
from infra.nats.kv import CasBucket
from infra.nats.log import JetStreamLog
from infra.nats.objects import JetStreamObjects
from infra.nats.users import KvUsers
from infra.settings import PORT_STEP, Settings
from infra.signing import ensure_keys, public_key
from infra.views import SqliteViews
from phoenix import logs, orphans, remote, sockets, status, takeover
from phoenix.deployments import Deployments
from phoenix.elector import encode
from phoenix.forker import Forker, ForkFailed, Process
from phoenix.group import Group, Plan, Release
from phoenix.journal import Journal
from projections.desired import DESIRED

NOTES_KEPT = 200
STOP_BOUND_S = 20.0
PORT_MAX = 65_535
SWITCHOVER_S = 15.0
CATCH_UP_S = 10.0
NATS = "nats-server"  # the program's name with the fork server

_log = structlog.get_logger(__name__)


class CannotStart(PhoenixError):
    """One line that says what stands in the way; nothing was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run. ``services``: name -> (entry point or ``module:function``, base port)."""

    services: Mapping[str, tuple[str, int]]
    instances: int = 3
    capacity: int = 2
    deployed: bool = True  # also what the log says is deployed
    only: frozenset[str] | None = None  # if given, deployed services are limited to these
    base_of: Mapping[str, int] = field(default_factory=dict)  # bases that replace the log's
    lock: str = "launcher"
    own_server: bool = True


@dataclass(slots=True)
class Note:
    at: float
    service: str
    text: str


@dataclass(slots=True)
class Launcher:
    """``run`` returns the exit status; ``stop`` makes it end in order."""

    settings: Settings
    options: Options
    changed: Callable[[Note], None] = lambda _: None
    groups: dict[str, Group] = field(default_factory=dict)
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=NOTES_KEPT))
    troubles: dict[str, str] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    admin_token: str = ""
    ready_s: float | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _locked: IO[str] | None = None
    _server: EmbeddedServer | None = None
    _forker: Forker | None = None
    _left: takeover.Inheritance | None = None
    _world: str = ""
    _started: bool = False
    _journal: Journal | None = None
    _sealer: Sealer | None = None
    _nc: Connection | None = None
    _log: JetStreamLog | None = None
    _views: SqliteViews | None = None
    _deployments: Deployments | None = None
    _control: asyncio.Server | None = None
    _tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    _failed: str = ""

    async def run(self) -> int:
        """Start, run until told to stop, stop in order. 0 after an ordered stop.

        Raises:
            CannotStart, sockets.PortBusy, infra.nats.embedded.ServerError, TransientError:
                what stands in the way of a start; whatever had been started is stopped again.
        """
        self._take_signals()
        try:
            bound = self._check()
            await self._until_stopped(bound)
        except BaseException:
            if self._left is not None and not self._started:
                await self._leave()  # what runs must not end because this launcher cannot start
            raise
        finally:
            await self._end()
        if self._failed:
            raise CannotStart(self._failed)
        return 0

    async def dismantle(self) -> int:
        """End in order what a killed launcher left; return how many instances that were.

        Raises:
            CannotStart, takeover.NotTaken: what stands in the way.
        """
        self._take_signals()
        try:
            self._lock()
            self._left = takeover.take(self.settings.data_dir, self.options.lock)
            if self._left is None:
                return 0
            logs.to_file(self.settings.data_dir / "logs" / f"{self.options.lock}.log")
            lived = sum(not kept.ended_at for kept in self._left.instances)
            if NATS in self._left.programs:
                self._server = self._make_server()
                self._server.lock()
            self._make_forker()
            server = self._take_over(self._left)
            if self._server is not None and server is not None:
                await self._server.go_on(server)
            with suppress(PhoenixError):  # then they end without a record
                await self._connect()
            await asyncio.gather(*(self._go_on(group) for group in self.groups.values()))
            if self.options.lock == "launcher":
                remote.forget(self.settings.data_dir)
            return lived
        finally:
            await self._end()

    async def _until_stopped(self, bound: Mapping[str, list[socket.socket]]) -> None:
        starting = asyncio.create_task(self._start(bound))
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stop
        finally:
            for task in (starting, stop):
                task.cancel()
            await asyncio.gather(starting, stop, return_exceptions=True)

    def stop(self) -> None:
        self._stop.set()

    async def ready(self) -> None:
        """Wait until every group is whole for the first time (or the launcher stops)."""
        await self._ready.wait()

    def status(self) -> dict[str, Any]:
        """What ``phoenix status --json`` prints."""
        server = self._server
        services = [status.of_group(group) for group in self.groups.values()]
        return {
            "pid": os.getpid(),
            "data_dir": str(self.settings.data_dir.absolute()),
            "uptime_s": round(time.monotonic() - self.started_at, 1),
            "ready_s": self.ready_s,
            "nats": {
                "url": self._nats_url,
                "pid": server.pid if server else 0,
                "restarts": server.restarts if server else 0,
            },
            "zygote": {
                "pid": self._forker.pid if self._forker else 0,
                "restarts": self._forker.restarts if self._forker else 0,
            },
            "services": services,
            "instances": [
                {"service": group["service"], **instance}
                for group in services
                for instance in group["instances"]
            ],
            "troubles": dict(self.troubles),
        }

    def find(self, service: str) -> Group | None:
        return self.groups.get(service)

    async def add(self, service: str, base: int, release: Release) -> Group:
        """Bind a deployed service's ports and start its group.

        Raises:
            sockets.PortBusy: one of the ports is in use.
        """
        given = self.options.base_of.get(service)
        ports = self._ports(given or base + self.settings.port_shift)
        bound = sockets.bind({service: ports})
        group = self._group(service, ports, release, bound[service])
        await group.start()
        self.troubles.pop(service, None)
        return group

    async def remove(self, service: str, reason: str) -> None:
        group = self.groups.pop(service, None)
        self.troubles.pop(service, None)
        if group is not None:
            await group.stop(reason)
            await group.settled()
            if self._forker is not None:
                await self._forker.drop(service)
            group.close()

    def builtin(self, service: str) -> Release | None:
        given = self.options.services.get(service)
        return Release(reference=given[0], version=_own_version()) if given else None

    def trouble(self, service: str, reason: str) -> None:
        if self.troubles.get(service) != reason:
            self.troubles[service] = reason
            self._note(service, reason)

    def refused(self, started: DeploymentStarted, reason: str) -> None:
        """Record that a release did not come up; the build-executor decides what follows."""
        if self._journal is not None:
            event = DeploymentFailed(
                service_name=started.service_name,
                version=started.version,
                intent_id=started.intent_id,
                build_id=started.build_id,
                at=datetime.now(UTC),
                reason=reason,
            )
            self._journal.add(event)

    def _sealing(self, reason: str) -> None:
        if reason:
            self.trouble("log", reason)
        else:
            self.troubles.pop("log", None)

    def _check(self) -> dict[str, list[socket.socket]]:
        """Everything that can refuse a start, before anything is started."""
        self._lock()
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        ports = {service: self._ports(base) for service, (_, base) in self.options.services.items()}
        left = self._left = takeover.take(self.settings.data_dir, self.options.lock)
        bound: dict[str, list[socket.socket]] = {}
        try:
            if left is not None:
                self._compare(left, ports)
            held = left.ports if left is not None else {}
            bound = sockets.bind({s: p for s, p in ports.items() if s not in held})
            if self._wants_server():
                self._server = self._make_server()
                if left is not None and NATS in left.programs:
                    self._server.lock()
                else:
                    self._server.check()
        except BaseException:
            for listeners in bound.values():
                sockets.close(listeners)
            if left is not None:
                left.close()
                self._left = None
            raise
        logs.to_file(self.settings.data_dir / "logs" / f"{self.options.lock}.log")
        return bound

    def _compare(self, left: takeover.Inheritance, wanted: Mapping[str, Sequence[int]]) -> None:
        """See that what was left can stay where it is.

        Raises:
            CannotStart: it would have to move to other ports or to another NATS.
        """
        rest = {service: self._ports(base) for service, base in self.options.base_of.items()}
        told = {**rest, **wanted}
        moved = [
            f"{service} on {', '.join(map(str, ports))}"
            for service, ports in left.ports.items()
            if tuple(told.get(service, ports)) != ports or len(ports) != self.options.instances
        ]
        if left.nats != _digest(self._nats_url):
            moved.append("instances that use another NATS server")
        if moved:
            raise CannotStart(
                f"a launcher that was killed has left {moved[0]}: take it over with the same "
                "--port-shift, --instances and NATS, or end it with `phoenix down`"
            )

    def _make_server(self) -> EmbeddedServer:
        async def spawn(argv: Sequence[str]) -> ServerProcess:
            assert self._forker is not None
            try:
                return await self._forker.run(NATS, argv)
            except ForkFailed as error:
                raise ServerError(f"nats-server cannot be started: {error}") from error

        return EmbeddedServer(
            self.settings.data_dir,
            self.settings.nats_port,
            on_restart=self._server_back,
            on_full=self._disk_full,
            spawn=spawn,
        )

    def _ports(self, base: int) -> tuple[int, ...]:
        ports = sockets.slot_ports(base, self.options.instances, PORT_STEP)
        if ports[-1] > PORT_MAX:
            raise CannotStart(f"port {ports[-1]} does not exist: choose a smaller --port-shift")
        return ports

    def _wants_server(self) -> bool:
        if self.settings.nats_url:
            return False
        if self._left is not None and NATS in self._left.programs:
            return True
        return self.options.own_server or not _answers(self.settings.nats_port)

    def _lock(self) -> None:
        path = self.settings.data_dir / f"{self.options.lock}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+")  # noqa: SIM115 - held until the end
        except OSError as error:
            raise CannotStart(f"cannot write to {path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip()
            file.close()
            raise CannotStart(
                f"{path.parent} is in use by another launcher (pid {who or 'unknown'}): "
                "stop it with `phoenix down`, or set PHOENIX_DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._locked = file

    async def _start(self, bound: Mapping[str, list[socket.socket]]) -> None:
        self._make_forker()
        for service, listeners in bound.items():
            release = self.builtin(service)
            assert release is not None
            ports = tuple(listener.getsockname()[1] for listener in listeners)
            self._group(service, ports, release, listeners)
        await self._start_server(await self._begin())
        await self._connect()
        if self.options.deployed:
            await self._follow_deployments()
        groups = list(self.groups.values())
        await asyncio.gather(*(self._go_on(group) for group in groups if group.taken_over))
        await asyncio.gather(*(group.start() for group in groups))
        self._started = True
        self._task(self._first_ready())
        self._task(orphans.bury())
        if self._server is not None:
            self._task(self._server_lost(self._server))
        self._task(self._converge())
        if self.options.lock == "launcher":
            self._control = await remote.serve(self.settings.data_dir, self._answer)

    def _make_forker(self) -> None:
        self._world = _world(self.settings)
        self._forker = Forker(
            self._environment(),
            errors=self.settings.data_dir / "logs" / f"{self.options.lock}-errors.log",
            path=str(takeover.keeper_path(self.settings.data_dir, self.options.lock)),
            world=self._world,
            nats=_digest(self._nats_url),  # it may hold a password
        )

    @property
    def _nats_url(self) -> str:
        return self.settings.nats_url or f"nats://127.0.0.1:{self.settings.nats_port}"

    async def _begin(self) -> Process | None:
        """Have a fork server: a new one, or the one that was left. Return the nats-server that
        goes on."""
        assert self._forker is not None
        if self._left is None:
            self._forker.start()
            return None
        server = self._take_over(self._left)
        if self._left.world != self._world:  # it would fork yesterday's code
            await self._forker.renew()
            if server is not None:  # ends with the fork server that started it
                await server.wait()
            return None
        return server

    async def _start_server(self, running: Process | None) -> None:
        if self._server is not None:
            await (self._server.go_on(running) if running else self._server.start())

    def _take_over(self, left: takeover.Inheritance) -> Process | None:
        """Make a group of each service that an earlier launcher left; return its nats-server."""
        assert self._forker is not None
        programs = self._forker.take_over(left)
        for service, ports in left.ports.items():
            kept = left.of(service)
            release = _release_of(kept) or self.builtin(service) or Release(reference=service)
            group = self._group(service, ports, release, left.listeners[service])
            group.take_over(kept)
        lived = sum(not kept.ended_at for kept in left.instances)
        self._note(
            "launcher", f"takes over {lived} instances, {left.alone_s:.0f} s without a launcher"
        )
        return programs.get(NATS)

    async def _go_on(self, group: Group) -> None:
        log, subject = self._log, f"events.leadership.{group.plan.service}"

        async def terms() -> list[LeadershipTaken]:
            recorded = await log.read(subject) if log is not None else []
            return [r.event for r in recorded if isinstance(r.event, LeadershipTaken)]

        await group.go_on(terms)

    async def _converge(self) -> None:
        """Replace what was taken over from another world or is not wanted any more; then follow
        the deployments."""
        for service, group in list(self.groups.items()):
            if not group.taken_over:
                continue
            if not self._wanted(service):
                await self.remove(service, "not wanted any more")
            elif any(m.spec.world != self._world for m in group.members.values()):
                release = group.release if group.release.digest else self.builtin(service)
                await group.roll(release or group.release)
        if self._deployments is not None:
            await self._deployments.run()

    def _wanted(self, service: str) -> bool:
        """Whether a service that was taken over is still to run; True when that is not known."""
        if service in self.options.services:
            return True
        if self.options.only is not None and service not in self.options.only:
            return False
        row = self._views.get(DESIRED, service) if self._views is not None else None
        return row is None or row.release is not None

    async def _connect(self) -> None:
        owner = await open_connection(self.settings, "owner")
        try:
            await setup.ensure(owner, self.settings.replicas)
        finally:
            await owner.close()
        clock = SystemClock()
        self._nc = nc = await open_connection(self.settings, "service")
        self._log = JetStreamLog(nc)
        users = KvUsers(CasBucket(nc, setup.USERS), clock)
        self.admin_token = (await users.ensure_admin(self.settings.data_dir)).read_text().strip()
        ensure_keys(self.settings.data_dir)
        self._journal = Journal(self._log, actor=f"launcher@{socket.gethostname()}")
        for group in self.groups.values():
            group.record_in(self._journal)
        self._task(self._journal.run())
        if self.options.lock == "launcher":  # once a data directory, which has the key
            self._sealer = sealer_for(self.settings, self._log, clock, self._sealing)
            self._task(self._sealer.run())
        await self._release_dead(CasBucket(nc, setup.LEASES))

    async def _release_dead(self, leases: CasBucket) -> None:
        """Give up leases of processes of this host that have died with an earlier launcher, and
        say how long nobody has watched their services."""
        for key in await leases.keys():
            if key.startswith("presence.") or (key in self.groups and self.groups[key].taken_over):
                continue
            entry = await leases.get(key)
            if entry is None:
                continue
            value = orjson.loads(entry[0])
            pid = int(value.get("pid", 0))
            if pid and (value.get("host") != socket.gethostname() or _is_instance(pid)):
                continue  # it is led
            await self._watch_again(leases, key, str(value.get("instance", "")))
            if pid:
                with suppress(ConflictError, TransientError):
                    await leases.update(key, encode("", int(value["epoch"])), entry[1])

    async def _watch_again(self, leases: CasBucket, service: str, instance: str) -> None:
        now = SystemClock().now()
        seen = await leases.written_at(service) or now
        assert self._journal is not None
        self._journal.add(
            WatchResumed(at=now, service=service, instance=instance, last_seen=min(seen, now))
        )

    def _environment(self) -> dict[str, str]:
        """Settings given on the command line, for the instances."""
        given = {
            "PHOENIX_DATA_DIR": str(self.settings.data_dir.absolute()),
            "PHOENIX_PORT_SHIFT": str(self.settings.port_shift),
            "PHOENIX_SOURCE": str(source_root(self.settings)),
            "OPENBLAS_NUM_THREADS": "1",  # the fork server must not have threads
            "OMP_NUM_THREADS": "1",
        }
        if self.settings.nats_url:
            given["PHOENIX_NATS_URL"] = self.settings.nats_url
        return given

    def _group(
        self, service: str, ports: tuple[int, ...], release: Release, listeners: Any
    ) -> Group:
        plan = Plan(
            service=service,
            ports=ports,
            capacity=self.options.capacity,
            heartbeat_s=self.settings.heartbeat_s,
            failovers_per_hour=self.settings.max_failovers_per_hour,
            world=self._world,
        )
        group = Group(plan, release, listeners, changed=lambda text: self._note(service, text))
        if self._forker is not None:
            group.use(self._forker)
        if self._journal is not None:
            group.record_in(self._journal)
        self.groups[service] = group
        return group

    async def _follow_deployments(self) -> None:
        """Read what is deployed; parts of this system start at once as the log wants them."""
        assert self._log is not None
        assert self._nc is not None
        folder = self.settings.data_dir / "views" / self.options.lock
        self._views = SqliteViews(folder, [DESIRED])
        objects = JetStreamObjects(self._nc)
        data_dir = self.settings.data_dir.absolute()

        async def install(started: DeploymentStarted) -> Path:
            # By digest: the same version built again never changes what is running.
            target = data_dir / "artifacts" / started.artifact_digest[:16]
            return await artifacts.install(objects, started, target, public_key(data_dir))

        wanted = self.options.only
        self._deployments = Deployments(
            self._views,
            self,
            install,
            wanted=lambda name: wanted is None or name in wanted,
        )
        self._task(self._follow_desired(self._views, self._log))
        with suppress(TransientError):  # it goes on reading, and ``run`` makes the rest so
            await self._views.reach(await self._log.last_position(), timeout_s=CATCH_UP_S)
        for service, group in self.groups.items():
            if not group.taken_over:
                await self._deployments.prepare(service, group)
        for name in sorted(wanted or ()):
            if name not in self.groups and self._views.get(DESIRED, name) is None:
                self._note(name, "is neither built in nor deployed; it starts once it is deployed")

    async def _follow_desired(self, views: SqliteViews, log: JetStreamLog) -> None:
        try:
            await views.follow(log)
        except PoisonError as error:
            # What runs goes on; a newer launcher has to carry out what this one cannot read.
            self.trouble("deployments", f"no longer followed: {error}")

    async def _first_ready(self) -> None:
        for group in list(self.groups.values()):
            while not await group.wait_ready(bound_s=60):
                self._note(group.plan.service, "is not whole yet")
        self.ready_s = round(time.monotonic() - self.started_at, 2)
        self._ready.set()

    async def _server_lost(self, server: EmbeddedServer) -> None:
        await server.failed.wait()
        self._failed = "nats-server keeps dying; its log is in " + str(
            self.settings.data_dir / "nats" / "server.log"
        )
        self._stop.set()

    def _server_back(self, pid: int) -> None:
        self._note("nats-server", f"was started again, pid {pid}")

    def _disk_full(self, words: str) -> None:
        if words:
            self.trouble("nats-server", words)
        else:
            self.troubles.pop("nats-server", None)

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"command": "status"}:
                return self.status()
            case {"command": "switchover", "service": service}:
                return await self._switchover(service)
            case {"command": "seal"} if self._sealer is not None:
                return (await self._sealer.now()).model_dump(mode="json")
            case {"command": "stop"}:
                self._stop.set()
                return {"stopping": os.getpid()}
        raise remote.Refused("unknown command")

    async def _switchover(self, service: str) -> dict[str, Any]:
        group = self.groups.get(service)
        if group is None:
            raise remote.Refused(f"no service {service!r} runs here: {', '.join(self.groups)}")
        before = group.leader.spec.instance if group.leader else ""
        if group.elsewhere:
            raise remote.Refused(f"{service} is led by {group.elsewhere} under another launcher")
        if not await group.switchover():
            raise remote.Refused(f"{service} has no standby that is ready")
        whole = await group.wait_ready(bound_s=SWITCHOVER_S)
        leader = group.leader
        if leader is None:
            raise remote.Refused(f"nobody leads {service} yet; see `phoenix status`")
        return {
            "service": service,
            "from": before,
            "to": leader.spec.instance,
            "epoch": leader.epoch,
            "whole": whole,
        }

    async def _end(self) -> None:
        """Stop everything in order; each step is bounded."""
        if self._control is not None:
            self._control.close()
            remote.forget(self.settings.data_dir)
        self._cancel("_converge")
        groups = list(self.groups.values())
        await asyncio.gather(*(group.stop() for group in groups), return_exceptions=True)
        await asyncio.gather(*(group.settled() for group in groups))
        if self._journal is not None:
            await self._journal.flush(bound_s=3.0)
        if self._sealer is not None:
            await self._sealer.finish(bound_s=3.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._views is not None:
            self._views.close()
        await self._disconnect()
        if self._server is not None:
            await self._server.stop()
        if self._forker is not None:
            await self._forker.stop()
        for group in groups:
            group.close()
        self._ready.set()
        if self._locked is not None:
            self._locked.close()
        logs.flush()

    async def _leave(self) -> None:
        """Leave what was taken over as it was found."""
        if self._forker is not None:
            self._forker.leave()
        elif self._left is not None:
            self._left.close()
        self._forker = self._server = None
        self.groups.clear()

    async def _disconnect(self) -> None:
        with suppress(PhoenixError, TimeoutError, OSError):
            async with asyncio.timeout(3.0):
                if self._log is not None:
                    await self._log.close()
                if self._nc is not None:
                    await self._nc.close()

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)

    def _task(self, work: Any) -> None:
        task = asyncio.create_task(work, name=getattr(work, "__qualname__", ""))
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("launcher_task_failed", task=task.get_name(), exc_info=error)
            self._failed = f"{task.get_name()}: {error}"
            self._stop.set()

    def _cancel(self, name: str) -> None:
        for task in self._tasks:
            if name in task.get_name().lower():
                task.cancel()

    def _note(self, service: str, text: str) -> None:
        note = Note(time.monotonic() - self.started_at, service, text)
        self.notes.append(note)
        self.changed(note)


def _release_of(kept: Sequence[takeover.KeptInstance]) -> Release | None:
    """What most of them run; the others are brought to it."""
    specs = [instance.spec for instance in kept]
    releases = [
        Release(reference=s.reference, version=s.version, artifact=s.artifact, digest=s.digest)
        for s in specs
    ]
    return max(releases, key=releases.count, default=None)


def _world(settings: Settings) -> str:
    """What instances run and with which settings, as a digest: other than that is replaced."""
    told = settings.model_dump()
    told["anthropic_api_key"] = settings.anthropic_api_key and (
        settings.anthropic_api_key.get_secret_value()
    )
    told["data_dir"] = settings.data_dir.absolute()
    code = source_digest(Path(__file__).resolve().parents[1])
    return _digest(f"{code} {sorted(told.items())!r}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _own_version() -> str:
    return installed_version("phoenix-autonomy")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _is_instance(pid: int) -> bool:
    try:
        return any("phoenix" in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
