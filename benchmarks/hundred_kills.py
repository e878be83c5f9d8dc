"""A hundred kills of random instances under 200 requests a second, as clients see it.

``python -m benchmarks.hundred_kills [KILLS]``: kept connections, half reads and half commands, over
all three ports; about two minutes.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Figure, none, save, show
from tests.phoenix.fire import PER_S, Outcome, under_fire
from tests.phoenix.running import running_group
from tests.support.nats import Server, running_server

SEED = 20_301


def figures(outcome: Outcome) -> list[Figure]:
    """What must be zero, what was answered and how long the slowest took."""
    commands = {"acknowledged": float(len(outcome.acknowledged))}
    sent = float(len(outcome.seconds) + outcome.unanswered)
    kills = {"kills": float(outcome.kills), "of_leaders": float(outcome.kills_of_leaders)}
    return [
        none("connections refused", outcome.refused, {"requests": sent, **kills}),
        none("requests never answered", outcome.unanswered, {"requests": sent}),
        none("answers other than success", sum(outcome.wrong.values()), {"requests": sent}),
        none("acknowledged commands lost", outcome.lost, commands),
        none("commands done twice", outcome.twice, commands),
        Figure("requests repeated: their connection died", outcome.repeats, "requests"),
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


async def measure(server: Server, kills: int) -> Outcome:
    # Kills are not a crash loop, and nobody looks after ten promotions.
    async with running_group(server, calm_s=0.0, failovers_per_hour=10_000) as running:
        return await under_fire(running.group, running.log, kills=kills, seed=SEED)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        lines = figures(asyncio.run(measure(server, kills)))
    show(f"{kills} kills under {PER_S:g} requests/s", lines)
    save("hundred_kills", lines)


if __name__ == "__main__":
    main()
