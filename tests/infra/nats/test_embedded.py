"""The embedded server: starts or says in one line why not, comes back, leaves nothing behind."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from domain.errors import LogRefused, TransientError
from infra.nats import api, setup
from infra.nats.connection import connect, credentials_file, open_connection
from infra.nats.embedded import EmbeddedServer, ServerError, answers
from infra.nats.log import JetStreamLog
from infra.nats.room import ROOM_BYTES, LogTail
from infra.settings import Settings
from tests.support.nats import settings_for, until
from tests.support.ports import free_port

pytestmark = pytest.mark.alone


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    embedded = EmbeddedServer(tmp_path, free_port())
    await embedded.start()
    yield embedded
    await embedded.stop()


async def until_restarted(server: EmbeddedServer, count: int) -> None:
    await until(lambda: server.restarts >= count, 5)


async def test_a_killed_server_is_back_within_a_second_with_what_it_acknowledged(
    server: EmbeddedServer,
) -> None:
    settings = settings_for(server.data_dir, server.port)
    owner = await open_connection(settings, "owner")
    await setup.ensure(owner)
    log = JetStreamLog(owner)
    first = await log.submit(b"{}", message_id="1")
    loop = asyncio.get_running_loop()
    for number in range(1, 4):
        killed_at = loop.time()
        os.kill(server.pid, signal.SIGKILL)
        await until_restarted(server, number)
        assert loop.time() - killed_at < 1.0
        assert await log.submit(b"{}", message_id=f"{number + 1}") == first + number
    await log.close()
    await owner.close()


async def test_a_server_whose_disk_was_full_is_started_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [0]
    monkeypatch.setattr("infra.nats.room.LOOK_S", 0.05)
    monkeypatch.setattr(
        "infra.nats.room.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, room[0])
    )
    told: list[str] = []
    embedded = EmbeddedServer(tmp_path, free_port(), on_full=told.append)
    await embedded.start()
    try:
        before = embedded.pid
        with (tmp_path / "nats" / "server.log").open("a") as file:  # as nats-server says it
            file.write("[1] 2026/11/28 18:01:56.326114 [ERR] JetStream failed to store a msg on ")
            file.write("stream 'PHOENIX > EVENTS': write 1.blk: no space left on device\n")
        await until(lambda: bool(told), 5)
        assert "is full: make room" in told[0]
        await asyncio.sleep(0.3)
        assert (embedded.pid, embedded.restarts) == (before, 0)  # no room yet: nothing would help
        room[0] = ROOM_BYTES
        await until_restarted(embedded, 1)
        assert embedded.pid != before
        assert told[1:] == [""]
        await answers(embedded.port)
    finally:
        await embedded.stop()


def test_what_is_added_to_a_log_is_read_once_also_after_it_was_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"old")
    tail = LogTail(log)
    assert tail.added() == b""
    with log.open("ab") as file:
        file.write(b" new")
    assert (tail.added(), tail.added()) == (b" new", b"")
    log.write_bytes(b"x")
    assert tail.added() == b"x"
    log.unlink()
    assert tail.added() == b""


async def test_a_server_that_keeps_dying_is_given_up(server: EmbeddedServer) -> None:
    for number in range(1, 11):
        os.kill(server.pid, signal.SIGKILL)
        await until_restarted(server, number)
    os.kill(server.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await server.failed.wait()
    assert server.pid == 0


async def test_stopping_ends_the_server_and_frees_the_port(tmp_path: Path) -> None:
    embedded = EmbeddedServer(tmp_path, free_port())
    await embedded.start()
    pid = embedded.pid
    await embedded.stop()
    assert not psutil.pid_exists(pid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", embedded.port))
    await embedded.start()
    await embedded.stop()


async def test_a_port_in_use_is_one_clear_line_and_nothing_starts(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        embedded = EmbeddedServer(tmp_path, port)
        with pytest.raises(ServerError, match=f"port {port} for NATS") as caught:
            await embedded.start()
    assert "\n" not in str(caught.value)
    assert embedded.pid == 0


async def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "nats").write_text("a file where the folder should be")
    with pytest.raises(ServerError, match="cannot write to"):
        await EmbeddedServer(tmp_path, free_port()).start()


async def test_one_data_directory_serves_one_system(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match="in use by another"):
        await EmbeddedServer(server.data_dir, free_port()).start()
    assert server.pid


async def test_passwords_are_the_owners_to_read(server: EmbeddedServer) -> None:
    for path in (credentials_file(server.data_dir), server.data_dir / "nats" / "server.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


_PARENT = """
import asyncio, sys
from pathlib import Path
from infra.nats.embedded import EmbeddedServer
async def main():
    server = EmbeddedServer(Path(sys.argv[1]), int(sys.argv[2]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_the_server_does_not_outlive_its_parent_and_the_next_start_works(
    tmp_path: Path,
) -> None:
    port = free_port()
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path), str(port), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    child = psutil.Process(pid)
    parent.kill()
    await parent.wait()

    successor = EmbeddedServer(tmp_path, port)
    await successor.start()  # at once: it waits for the old one or ends it
    await asyncio.to_thread(child.wait, 5)
    await successor.stop()


async def test_nobody_answering_and_wrong_words_are_told_apart(server: EmbeddedServer) -> None:
    with pytest.raises(TransientError, match="no NATS server answers"):
        await connect(f"nats://127.0.0.1:{free_port()}", timeout_s=0.2)
    with pytest.raises(LogRefused, match="refuses these credentials") as caught:
        await connect(f"nats://owner:secret-word@127.0.0.1:{server.port}", timeout_s=3)
    assert "secret-word" not in str(caught.value)


async def test_before_the_first_start_the_error_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="phoenix up"):
        await open_connection(Settings(data_dir=tmp_path), "service")


async def test_set_up_can_be_repeated_and_repairs_changed_settings(
    server: EmbeddedServer,
) -> None:
    owner = await open_connection(settings_for(server.data_dir, server.port), "owner")
    await setup.ensure(owner)
    config = {**setup.events_config(1), "duplicate_window": 1_000_000_000}
    await api.call(owner, "STREAM.UPDATE.EVENTS", config)
    await setup.ensure(owner)
    info = await api.call(owner, "STREAM.INFO.EVENTS")
    assert info["config"]["duplicate_window"] == setup.DUPLICATES_S * 1_000_000_000
    await owner.close()
