"""The running launcher as other processes reach it: a Unix socket that answers JSON lines.

Files   ``<data dir>/launcher.json`` (pid and socket), ``<data dir>/launcher.sock`` (mode 0600).
"""

import asyncio
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from domain.errors import PhoenixError, TransientError

_PATH_MAX = 100  # the kernel allows 108 bytes
_TIMEOUT_S = 30.0

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Refused(PhoenixError):
    """The launcher said no, and why."""


def info_file(data_dir: Path) -> Path:
    return data_dir / "launcher.json"


def socket_path(data_dir: Path, name: str = "launcher.sock") -> Path:
    """Beside the data, or under the temporary folder where that path would be too long."""
    path = data_dir.absolute() / name
    if len(os.fsencode(path)) <= _PATH_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"phoenix-{os.getuid()}-{digest}.sock"


async def serve(data_dir: Path, answer: Answer) -> asyncio.Server:
    """Answer requests until the server is closed; writes ``launcher.json``."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    reply = await answer(json.loads(line))
                except (PhoenixError, ValueError, KeyError) as error:
                    reply = {"error": str(error)}
                writer.write(json.dumps(reply, default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    path = socket_path(data_dir)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(talk, path=str(path))
    finally:
        os.umask(before)
    about = {"pid": os.getpid(), "socket": str(path), "started": psutil.Process().create_time()}
    info_file(data_dir).write_text(json.dumps(about))
    return server


def forget(data_dir: Path) -> None:
    """Remove the files of a launcher that ends."""
    info_file(data_dir).unlink(missing_ok=True)
    socket_path(data_dir).unlink(missing_ok=True)


def running(data_dir: Path) -> int:
    """The pid of the launcher on this data directory; 0 when none runs."""
    try:
        about = json.loads(info_file(data_dir).read_text())
        started = psutil.Process(about["pid"]).create_time()
    except (OSError, ValueError, KeyError, psutil.Error):
        return 0
    return int(about["pid"]) if abs(started - about["started"]) < 1.0 else 0


def alive(pid: int) -> bool:
    """Whether this process still runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def ask(data_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return the launcher's answer.

    Raises:
        TransientError: no launcher runs on this data directory, or it does not answer.
        Refused: it says no.
    """
    if not running(data_dir):
        raise TransientError(f"nothing runs in {data_dir}: start it with `phoenix up`")
    path = json.loads(info_file(data_dir).read_text())["socket"]
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_TIMEOUT_S)
            client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline() or b"{}")
    except (OSError, ValueError) as error:
        raise TransientError(f"the launcher in {data_dir} does not answer: {error}") from error
    if "error" in answer:
        raise Refused(answer["error"])
    return answer
