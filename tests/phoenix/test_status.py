"""What people see of a group: the table, the narrow table, plain lines, and trouble in words."""

import os
import signal

import pytest
from rich.console import Console

from phoenix import status
from phoenix.group import Group, Release
from tests.phoenix.running import TINY, Running, running_group, until
from tests.support.nats import Server

pytestmark = pytest.mark.alone
COLUMNS = "instance port role epoch cap health lag req/s MB restarts last failover"


def seen(group: Group, width: int = 120) -> list[str]:
    """The table as text without colours, line by line."""
    console = Console(width=width, no_color=True, force_terminal=False)
    state = [status.of_group(group)]
    with console.capture() as captured:
        console.print(status.table(state, width=width), *status.remarks(state), sep="\n")
    return captured.get().splitlines()


async def test_the_table_shows_each_instance_and_what_a_kill_came_to(tiny: Running) -> None:
    head, leader, *standbys = seen(tiny.group)
    assert " ".join(head.split()) == COLUMNS
    assert leader.split()[:6] == ["tiny-0", str(tiny.base), "active", "1", "1x", "ok"]
    assert [line.split()[2:6] for line in standbys] == [["standby", "-", "2x", "ok"]] * 2
    assert leader.split()[-2:] == ["0", "-"]  # restarts, last failover

    before = tiny.group.leader
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: tiny.group.leader not in (None, before))
    lines = seen(tiny.group)
    ports = tiny.group.plan.ports  # it still stands in on the one of the next standby
    words = [word for word in lines[1].split() if word not in map(str, ports)]
    assert words[1:4] == ["active", "2", "2x"]
    assert "ms, 0 s ago" in lines[1]  # how long the failover took, and when it was
    await tiny.whole()
    group = status.of_group(tiny.group)
    assert (group["restarts"], group["failovers"], group["epoch"]) == (1, 1, 2)
    assert 0 < group["last_failover_s"] < 0.5
    assert {member["capacity"] for member in group["instances"]} == {2}
    assert {member["state"] for member in group["instances"]} == {"ready"}


async def test_a_narrow_screen_and_a_pipe_lose_columns_and_no_rows(tiny: Running) -> None:
    narrow = seen(tiny.group, width=80)
    assert len(narrow) == 4
    assert "req/s" not in narrow[0]
    assert all(len(line) <= 80 for line in narrow)
    (line,) = status.plain([status.of_group(tiny.group)])
    expected = f"tiny port {tiny.base}: 3/3 ready, leader tiny-0, epoch 1, restarts 0"
    assert line == expected


async def test_a_crash_loop_is_said_in_words_and_ends_with_a_release_that_starts(
    server: Server,
) -> None:
    broken = Release(reference="tests.phoenix.tiny:broken", version="2")
    async with running_group(server, broken, whole=False) as tiny:
        await until(lambda: "keeps falling" in tiny.group.error, within_s=30)
        lines = seen(tiny.group)
        assert any("! tiny: tiny-" in line and "next start in" in line for line in lines)
        assert "keeps falling" in status.plain([status.of_group(tiny.group)])[0]
        assert not any(line.split()[5:6] == ["ok"] for line in lines)
        tiny.group.release = TINY
        await tiny.whole(within_s=60)
        await until(lambda: tiny.group.error == "", within_s=30)
