"""A hundred kills of random instances under 200 requests a second, as clients see it; then moves
of the leadership (``switchover``) under the same traffic.

``python -m benchmarks.hundred_kills [PART=COUNT ...]``: kept connections, half reads and half
commands, over all three ports; about two minutes.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, none, parts_asked, save, show
from domain.instance import InstanceReady
from tests.phoenix.fire import PER_S, Outcome, under_fire
from tests.phoenix.running import running_group
from tests.support.nats import Server, running_server

PARTS = {"kills": 100, "switchovers": 20}
SEED = 20_301


def figures(outcome: Outcome, of: dict[str, float]) -> list[Figure]:
    """What must be zero, what was answered and how long the slowest took."""
    commands = {"acknowledged": float(len(outcome.acknowledged))}
    sent = float(len(outcome.seconds) + outcome.unanswered)
    return [
        none("connections refused", outcome.refused, {"requests": sent, **of}),
        none("requests never answered", outcome.unanswered, {"requests": sent}),
        none("answers other than success", sum(outcome.wrong.values()), {"requests": sent}),
        none("acknowledged commands lost", outcome.lost, commands),
        none("commands done twice", outcome.twice, commands),
        Figure(
            "slowest request, with its repeats",
            outcome.slowest_s * 1000,
            "ms",
            detail={
                "median": outcome.share_s(0.5) * 1000,
                "at_99": outcome.share_s(0.99) * 1000,
                "at_99_9": outcome.share_s(0.999) * 1000,
            },
        ),
    ]


async def killed(server: Server, kills: int) -> list[Figure]:
    # Kills are not a crash loop, and nobody looks after ten promotions.
    async with running_group(server, calm_s=0.0, failovers_per_hour=10_000) as running:
        began = time.time()
        outcome = await under_fire(running.group, running.log, kills=kills, seed=SEED)
        starts = sorted(
            event.startup_s
            for event in await running.events()
            if isinstance(event, InstanceReady) and event.at.timestamp() > began
        )
    of = {"kills": float(outcome.kills), "of_leaders": float(outcome.kills_of_leaders)}
    return [
        *figures(outcome, of),
        Figure("requests repeated: their connection died", outcome.repeats, "requests"),
        Figure(
            "the reborn instance, from its start until it is ready",
            starts[-1] * 1000,
            "ms at most",
            goal="<= 500 ms",
            met=starts[-1] <= 0.5,
            detail={"median": starts[len(starts) // 2] * 1000, "count": len(starts)},
        ),
    ]


async def moved(server: Server, switchovers: int) -> list[Figure]:
    async with running_group(server) as running:
        outcome = await under_fire(running.group, running.log, switchovers=switchovers, seed=SEED)
    sent = {"requests": float(len(outcome.seconds))}
    return [
        *figures(outcome, {"switchovers": float(outcome.switchovers)}),
        none("requests repeated: their connection died", outcome.repeats, sent),
    ]


def main() -> None:
    asked, _ = parts_asked(PARTS, __doc__)
    lines: list[Figure] = []
    for part, run in (("kills", killed), ("switchovers", moved)):
        if part in asked:
            with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
                found = asyncio.run(run(server, asked[part]))
            show(f"{asked[part]} {part} under {PER_S:g} requests/s", found)
            lines += found
    save("hundred_kills", lines)


if __name__ == "__main__":
    main()
