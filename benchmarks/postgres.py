"""A throw-away PostgreSQL for comparisons: its own cluster on a free port, gone afterwards.

Settings are the distribution's: every commit is durable (``fsync`` and ``synchronous_commit`` on).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port

START_S = 30.0
STOP_S = 20.0
USER = "bench"


class Missing(RuntimeError):
    """What has to be installed for a comparison."""


@contextmanager
def postgres() -> Iterator[str]:
    """Run a cluster; give its URL (``postgresql://...``, database ``postgres``).

    Raises:
        Missing: PostgreSQL is not installed.
        TimeoutError: it does not start.
    """
    binaries = _binaries()
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="phoenix-postgres-"))
    try:
        if account is not None:
            shutil.chown(folder, account, None)
        data, port = folder / "data", free_port()
        subprocess.run(
            [binaries / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            user=account,
        )
        options: dict[str, object] = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "max_connections": 200,
        }
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(str(binaries / "postgres"), "-D", str(data)),
                    *(word for k, v in options.items() for word in ("-c", f"{k}={v}")),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                user=account,
            )
        try:
            _wait(folder / "server.log", server)
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # "fast": end the sessions, then stop
            server.wait(STOP_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """Debian keeps them out of the path, a folder a version."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    newest = max(found, default=None, key=lambda path: int(Path(path).parts[4]))
    server = newest or shutil.which("postgres")
    if server is None:
        raise Missing("PostgreSQL is not installed: apt-get install postgresql")
    return Path(server).parent


def _account() -> str | None:
    """Who runs it: the server refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise Missing("there is no user postgres to run PostgreSQL as") from None


def _wait(log: Path, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        if b"ready to accept connections" in log.read_bytes():
            return
        time.sleep(0.05)
    raise TimeoutError(f"PostgreSQL did not start: {log.read_text()[-500:]}")
