"""The launcher as a user runs it: a command of its own, with a server and instances of its own."""

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.phoenix.command import Command, family, gone
from tests.phoenix.running import until
from tests.support.ports import free_base, free_port

pytestmark = pytest.mark.alone


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "data", free_base(), free_port())
    yield command
    command.end()


async def test_a_stop_signal_ends_everything_and_a_restart_goes_on(command: Command) -> None:
    first = command.start()
    await command.whole()
    epoch = (await command.health())["epoch"]
    children = family(first)
    assert len(children) == 5  # server, fork server, three instances
    first.send_signal(signal.SIGTERM)
    output, errors = first.communicate(timeout=20)
    assert (first.returncode, errors) == (0, "")
    assert output.endswith("stopped\n")
    assert gone(children)()
    command.start()
    await command.whole()
    health = await command.health()
    assert health["epoch"] == int(str(epoch)) + 1
    assert health["capacity"] == 1


async def test_a_launcher_whose_terminal_closes_ends_everything(command: Command) -> None:
    launcher = command.start()
    await command.whole()
    children = family(launcher)
    assert launcher.stdout is not None
    launcher.stdout.close()  # what it prints from here on meets nobody
    launcher.send_signal(signal.SIGHUP)
    await until(gone(children), within_s=15)
    assert await asyncio.to_thread(launcher.wait, 5) is not None
    log = (command.data_dir / "logs" / "launcher-tiny.log").read_text()
    assert "failed" not in log


async def test_nothing_outlives_a_killed_launcher_and_fork_server_and_a_new_one_starts(
    command: Command,
) -> None:
    first = command.start()
    await command.whole()
    children = family(first)
    zygote = next(p for p in children if "zygote" in " ".join(p.cmdline()))
    first.kill()
    zygote.kill()
    await until(gone(children), within_s=15)
    command.start()
    await command.whole()


async def test_not_even_a_stopped_instance_outlives_a_killed_launcher_and_fork_server(
    command: Command,
) -> None:
    first = command.start()
    await command.whole()
    children = family(first)
    zygote = next(p for p in children if "zygote" in " ".join(p.cmdline()))
    standby = next(p for p in children if "tiny-1" in " ".join(p.cmdline()))
    standby.suspend()
    zygote.kill()
    first.kill()
    await until(gone(children), within_s=15)


async def test_a_busy_port_ends_the_start_with_one_line(command: Command) -> None:
    with ExitStack() as held:
        holder = held.enter_context(socket.socket())
        holder.bind(("127.0.0.1", command.base + 1000))
        holder.listen()
        process = command.start()
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output == ""
    assert errors.count("\n") == 1
    assert f"port {command.base + 1000} for tiny is in use" in errors
    assert not (command.data_dir / "nats" / "store").exists()  # nothing was started


async def test_a_second_launcher_on_the_same_data_is_refused_with_one_line(
    command: Command,
) -> None:
    first = command.start()
    await command.whole()
    second = command.start()
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1
    assert errors.count("\n") == 1
    assert f"in use by another launcher (pid {first.pid})" in errors
    assert (await command.health())["role"] == "active"


async def test_a_killed_server_is_started_again_and_nobody_is_demoted(command: Command) -> None:
    process = command.start()
    await command.whole()
    before = await command.health()
    server = next(p for p in family(process) if p.name().startswith("nats-server"))
    server.kill()

    async def written_again() -> bool:
        log = command.data_dir / "logs" / "tiny" / "tiny-0.log"
        lines = log.read_text().splitlines()
        return any(json.loads(line)["event"] == "nats_reconnected" for line in lines)

    await until(written_again, within_s=10)
    await command.whole()
    after = await command.health()
    assert (after["pid"], after["epoch"]) == (before["pid"], before["epoch"])
