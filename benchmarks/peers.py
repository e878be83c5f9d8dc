"""The other stores that the ``eventsourcing`` library can write to, as they would run beside us.

Each is a context that yields the library's own application recorder for it on a store of its own
in a folder, or raises ``Missing`` with what to install. ``durable``: an acknowledged event survives
power loss. UmaDB has no other way.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing import sqlite as library_sqlite
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory
from eventsourcing.utils import Environment

PEERS = "its Python packages: make peers"
POSTGRES_PORT = 33_110
UMADB_PORT = 33_111
START_S = 60.0


class Missing(Exception):
    """This peer cannot run here; the text says what to install."""


@contextmanager
def recorder(env: dict[str, str]) -> Iterator[ApplicationRecorder]:
    factory: InfrastructureFactory = InfrastructureFactory.construct(Environment("bench", env))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()


@contextmanager
def sqlite(folder: Path, *, durable: bool) -> Iterator[ApplicationRecorder]:
    """The library's own settings (WAL, synchronous=FULL: durable), or synchronous=NORMAL."""

    class Relaxed(library_sqlite.SQLiteConnectionPool):
        def _create_connection(self) -> library_sqlite.SQLiteConnection:
            made = super()._create_connection()
            made._sqlite_conn.execute("PRAGMA synchronous=NORMAL")
            return made

    usual = library_sqlite.SQLiteConnectionPool
    library_sqlite.SQLiteConnectionPool = usual if durable else Relaxed  # type: ignore[misc]
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "events.sqlite"),
        "SQLITE_POOL_SIZE": "10",
    }
    try:
        with sqlite3.connect(":memory:") as probe:
            assert probe.execute("PRAGMA synchronous").fetchone() == (2,), "FULL is the default"
        with recorder(env) as made:
            yield made
    finally:
        library_sqlite.SQLiteConnectionPool = usual  # type: ignore[misc]


@contextmanager
def postgres(folder: Path, *, durable: bool) -> Iterator[ApplicationRecorder]:
    """A cluster with Debian's settings; not durable is ``synchronous_commit=off``."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise Missing(f"PostgreSQL is not measured: it needs {PEERS}") from error
    initdb, server = _postgres_program("initdb"), _postgres_program("postgres")
    # It will not run as root.
    user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    if user:
        folder.chmod(0o755)
        shutil.chown(folder, **user)
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run(  # type: ignore[call-overload]
        [initdb, "-D", data, "-A", "trust", "-U", "bench", "--no-instructions"], check=True, **quiet
    )
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(POSTGRES_PORT),
        "unix_socket_directories": str(folder),
        "synchronous_commit": "on" if durable else "off",
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": "postgres",
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(POSTGRES_PORT),
        "POSTGRES_USER": "bench",
        "POSTGRES_PASSWORD": "none",  # trusted: the cluster ends with this run
        "POSTGRES_POOL_SIZE": "20",
        "POSTGRES_MAX_OVERFLOW": "40",
    }
    with _running([server, "-D", data, *settings], POSTGRES_PORT, quiet), recorder(env) as made:
        yield made


@contextmanager
def umadb(folder: Path) -> Iterator[ApplicationRecorder]:
    """The server of the Python package, with the settings it chooses itself."""
    try:
        import umadb  # noqa: F401
    except ImportError as error:
        raise Missing(f"UmaDB is not measured: it needs {PEERS}") from error
    program = "from umadb.umadb_server_cli import main; main()"
    address = f"127.0.0.1:{UMADB_PORT}"
    command = [sys.executable, "-c", program, "--listen", address, "--db-path", folder / "uma.db"]
    env = {"PERSISTENCE_MODULE": "eventsourcing_umadb", "UMADB_URI": f"http://{address}"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with _running(command, UMADB_PORT, quiet), recorder(env) as made:
        yield made


@contextmanager
def _running(command: list[object], port: int, options: dict[str, object]) -> Iterator[None]:
    """The server, from its first open port to its end."""
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise Missing(f"{command[0]} is not measured: nobody on port {port}") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(START_S)


def _postgres_program(name: str) -> Path:
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [home / name for home in homes if (home / name).exists()] or [shutil.which(name)]
    if found[0] is None:
        raise Missing("PostgreSQL is not measured: install the package postgresql")
    return Path(found[0])
