"""Hostile code in the sandbox: whatever it tries, nothing outside notices."""

import ast
import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.sandbox import Limits, Result, best_level, run
from infra.sandbox.limits import MIB
from infra.sandbox.run import Variant
from infra.settings import WrongSetting
from tests.support.nats import until

QUICK = Limits(wall_s=10.0)


async def variant_of(level: str) -> Variant:
    """A host that does not allow a level cannot run its tests."""
    try:
        return await best_level(level)
    except WrongSetting as error:
        pytest.skip(str(error))


@pytest.fixture(params=["bubblewrap", "landlock"])
async def contained(request: pytest.FixtureRequest) -> Variant:
    """The levels that keep hostile code away from files, processes and the network."""
    return await variant_of(request.param)


@pytest.fixture(params=["bubblewrap", "landlock", "process"])
async def any_level(request: pytest.FixtureRequest) -> Variant:
    return await variant_of(request.param)


@pytest.fixture
async def wrapped() -> Variant:
    return await variant_of("bubblewrap")


@pytest.fixture(params=["landlock", "process"])
async def watched(request: pytest.FixtureRequest) -> Variant:
    """The levels whose work folder is on the host's own file system."""
    return await variant_of(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    (made / "given.txt").write_text("given")
    return made


async def attack(
    code: str,
    folder: Path,
    variant: Variant,
    limits: Limits = QUICK,
    env: dict[str, str] | None = None,
) -> Result:
    return await run([sys.executable, "-c", code], folder, variant=variant, limits=limits, env=env)


async def test_a_command_sees_its_copy_and_changes_nothing_outside(
    folder: Path, any_level: Variant
) -> None:
    code = "print(open('given.txt').read()); open('given.txt', 'w').write('x'); open('new', 'w')"
    result = await attack(code, folder, any_level)
    assert result.ok, result.output
    assert result.output == "given\n"
    assert sorted(os.listdir(folder)) == ["given.txt"]
    assert (folder / "given.txt").read_text() == "given"
    assert result.level == any_level.level


async def test_the_installed_packages_can_be_used(folder: Path, any_level: Variant) -> None:
    code = "import litestar, eventsourcing, pytest, infra.ports; print('all there')"
    result = await attack(code, folder, any_level)
    assert result.ok, result.output
    assert "all there" in result.output


async def test_the_environment_is_empty(
    folder: Path, any_level: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    code = "import os; print(sorted(os.environ))"
    result = await attack(code, folder, any_level, env={"EXTRA": "1"})
    names = ["EXTRA", "HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"]
    found = [name for name in ast.literal_eval(result.output) if name != "PYTHONPATH"]
    assert found == [*names, "TMPDIR"]


async def test_an_endless_loop_ends_with_its_time(folder: Path, any_level: Variant) -> None:
    began = time.monotonic()
    result = await attack("while True: pass", folder, any_level, replace(QUICK, wall_s=1.0))
    assert result.stopped.startswith("wall time")
    assert not result.ok
    assert time.monotonic() - began < 5


async def test_the_cpu_limit_ends_a_process_of_its_own(folder: Path, any_level: Variant) -> None:
    result = await attack("while True: pass", folder, any_level, replace(QUICK, cpu_s=1))
    assert not result.ok
    assert result.stopped == ""  # the kernel ended it, before the wall time
    assert result.duration_s < 8


async def test_a_child_that_hides_in_a_session_of_its_own_is_ended_too(
    folder: Path, any_level: Variant
) -> None:
    mark = f"hidden-{time.monotonic_ns()}"
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        sleep = 'import time; time.sleep(60)'\n"
        f"        os.execv(sys.executable, [sys.executable, '-c', sleep, '{mark}'])\n"
        "    os._exit(0)\n"
        "time.sleep(0.5)\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    result = await attack(code, folder, any_level, replace(QUICK, wall_s=2.0))
    assert "started" in result.output
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


async def test_it_ends_with_the_process_that_wanted_it(folder: Path, any_level: Variant) -> None:
    mark = f"wanted-{time.monotonic_ns()}"
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from infra.sandbox import run\n"
        "from infra.sandbox.run import Variant\n"
        f"inner = [sys.executable, '-c', 'while True: pass', {mark!r}]\n"
        f"asyncio.run(run(inner, Path({str(folder)!r}), variant={any_level!r}))\n"
    )

    def running() -> list[psutil.Process]:
        return [  # asked for at once: one may end between two questions
            p
            for p in psutil.process_iter(["cmdline", "status"])
            if mark in (p.info["cmdline"] or []) and p.info["status"] != psutil.STATUS_ZOMBIE
        ]

    outer = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await until(lambda: bool(running()))
    outer.kill()
    await outer.wait()
    await until(lambda: not running())


async def test_one_process_cannot_take_all_memory(folder: Path, any_level: Variant) -> None:
    limits = replace(QUICK, address_space_bytes=512 * MIB)
    result = await attack("x = bytearray(2**30)", folder, any_level, limits)
    assert not result.ok
    assert "MemoryError" in result.output


async def test_many_processes_together_cannot_take_all_memory(
    folder: Path, any_level: Variant
) -> None:
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * (64 * 2**20)\n"
        "        time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    result = await attack(code, folder, any_level, replace(QUICK, memory_bytes=128 * MIB))
    assert result.stopped.startswith("memory")


async def test_a_huge_file_is_cut_off(folder: Path, any_level: Variant) -> None:
    code = "f = open('big', 'wb')\nwhile True: f.write(bytes(2**20)); f.flush()"
    result = await attack(code, folder, any_level, replace(QUICK, file_bytes=4 * MIB))
    assert not result.ok
    assert "OSError" in result.output or result.exit_code != 0
    assert result.duration_s < 8


async def test_endless_output_is_cut_and_ends_it(folder: Path, any_level: Variant) -> None:
    limits = replace(QUICK, output_bytes=10_000, output_bytes_max=5 * MIB)
    result = await attack(
        "print('first')\nwhile True: print('x' * 1000)", folder, any_level, limits
    )
    assert result.stopped.startswith("output")
    assert result.output.startswith("first\n")
    assert "bytes left out" in result.output
    assert len(result.output) < 11_000


@pytest.mark.parametrize("place", [".", "/tmp", "/dev/shm"])
async def test_many_files_cannot_fill_the_disk(folder: Path, wrapped: Variant, place: str) -> None:
    code = (
        "import itertools\n"
        "for n in itertools.count():\n"
        f"    open(f'{place}/{{n}}', 'wb').write(bytes(2**20))\n"
    )
    result = await attack(code, folder, wrapped, replace(QUICK, disk_bytes=16 * MIB))
    assert not result.ok
    assert "No space left on device" in result.output


async def test_elsewhere_a_watch_keeps_the_disk(folder: Path, watched: Variant) -> None:
    code = (
        "import itertools, time\n"
        "for n in itertools.count():\n"
        "    open(str(n), 'wb').write(bytes(2**20)); time.sleep(0.005)\n"
    )
    limits = replace(QUICK, disk_bytes=16 * MIB)
    result = await attack(code, folder, watched, limits)
    assert result.stopped.startswith("disk")


async def test_nothing_else_can_be_written(folder: Path, contained: Variant) -> None:
    code = (
        "import os, sys\n"
        "for place in ('/', '/etc', '/usr', '/dev', '/root', '/home', sys.prefix, sys.base_prefix,"
        " '/sandbox', '/sandbox/source'):\n"
        "    try: open(place + '/x', 'w')\n"
        "    except OSError: continue\n"
        "    print('wrote', place)\n"
        "print('done')\n"
    )
    result = await attack(code, folder, contained)
    assert result.output == "done\n"


async def test_a_fork_bomb_runs_into_its_limit(folder: Path, contained: Variant) -> None:
    code = (
        "import os\n"
        "try:\n"
        "    while True: os.fork()\n"
        "except BlockingIOError:\n"
        "    print('no more', flush=True)\n"
        "    while True: pass\n"
    )
    limits = replace(QUICK, wall_s=2.0, processes=32)
    before = len(psutil.pids())
    result = await attack(code, folder, contained, limits)
    assert result.stopped
    assert len(psutil.pids()) < before + 20


async def test_keys_homes_and_the_hosts_etc_cannot_be_read(
    folder: Path, contained: Variant, tmp_path: Path
) -> None:
    secret = tmp_path / "keys" / "build.ed25519"
    secret.parent.mkdir()
    secret.write_text("private")
    places = [
        str(secret),
        "/etc/shadow",
        "/etc/ssh",
        "/root/.ssh",
        "/home",
        "/var",
        "/run",
        "/proc/1/environ",
    ]
    code = (
        "import os, pathlib\n"
        f"for place in {places!r}:\n"
        "    p = pathlib.Path(place)\n"
        "    try: found = p.read_bytes() if p.is_file() else list(p.iterdir())\n"
        "    except OSError: continue\n"
        "    print('read', place, found)\n"
        "print('done')\n"
    )
    result = await attack(code, folder, contained)
    lines = [line for line in result.output.splitlines() if "/proc/1/environ b''" not in line]
    assert lines == ["done"]


async def test_other_processes_cannot_be_seen(folder: Path, contained: Variant) -> None:
    code = "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]))"
    result = await attack(code, folder, contained)
    assert int(result.output) <= 3


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


async def test_there_is_no_network_not_even_to_this_host(
    folder: Path, contained: Variant, listening: int
) -> None:
    code = (
        "import socket\n"
        f"for host, port in (('127.0.0.1', {listening}), ('1.1.1.1', 53), ('10.0.0.1', 80)):\n"
        "    try: socket.create_connection((host, port), timeout=1)\n"
        "    except OSError: continue\n"
        "    print('reached', host)\n"
        "try: print('resolved', socket.getaddrinfo('example.org', 80))\n"
        "except OSError: print('done')\n"
    )
    result = await attack(code, folder, contained)
    assert result.output == "done\n"


async def test_no_right_can_be_won_back(folder: Path, contained: Variant) -> None:
    code = (
        "import os\n"
        "status = open('/proc/self/status').read()\n"
        "wanted = ('CapEff', 'CapPrm', 'NoNewPrivs')\n"
        "print([line.split()[1] for line in status.splitlines() if line.startswith(wanted)])\n"
        "try: os.setuid(0 if os.getuid() else 1); print('another user')\n"
        "except OSError: print('stays')\n"
    )
    result = await attack(code, folder, contained)
    assert result.output == "['0000000000000000', '0000000000000000', '1']\nstays\n"


async def test_a_level_that_does_not_exist_here_stops_with_one_line() -> None:
    with pytest.raises(WrongSetting, match="PHOENIX_SANDBOX='jail'"):
        await best_level("jail")
    assert (await best_level("process")).level == "process"
