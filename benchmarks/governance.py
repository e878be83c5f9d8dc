"""How quick governance decides: ``python -m benchmarks.governance [--quick]``.

Each layer alone (rubric, policies, simulation over recorded decisions), then the leader's whole way
on a real server with durable writes: from a queued intent to its DecisionMade, one instance.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid5

from benchmarks.report import Figure, save, show
from domain.intent import Intent, IntentQueued
from domain.policy import Bundle, inputs_of
from domain.rubric import evaluate
from infra.cel import CelConditions, shipped
from infra.nats import setup
from infra.nats.connection import open_connection
from infra.nats.log import JetStreamLog
from infra.ports import Meta, Write
from projections.governance import DECISIONS
from services.governance.models import Simulation
from services.governance.replay import simulate
from tests.governance.labelled import BLUEPRINT, labelled
from tests.governance.world import T0, World, governance
from tests.support.nats import Server, running_server, settings_for

NAMESPACE = UUID("5a0c7a52-9d5b-4f1e-8a0e-3a2f5c1b7e90")
WRITERS = 64


def intents(count: int) -> list[Intent]:
    """The labelled intents over and over, each with an id of its own."""
    given = [entry.intent for entry in labelled()]
    return [
        given[number % len(given)].model_copy(
            update={"intent_id": str(uuid5(NAMESPACE, str(number)))}
        )
        for number in range(count)
    ]


def rubric_rate(given: list[Intent]) -> float:
    start = time.perf_counter()
    for intent in given:
        evaluate(intent, BLUEPRINT)
    return len(given) / (time.perf_counter() - start)


def policy_rate(given: list[Intent]) -> float:
    conditions = CelConditions(shipped())
    assessed = [(intent, evaluate(intent, BLUEPRINT)) for intent in given]
    start = time.perf_counter()
    for intent, assessment in assessed:
        inputs = inputs_of(intent, assessment, mode="autonomous", user_present=False)
        conditions.outcome("autonomous", inputs)
    return len(given) / (time.perf_counter() - start)


async def fill(log: JetStreamLog, given: list[Intent]) -> None:
    """Queue every intent, as the intent-queue would have."""

    async def writer(part: list[Intent]) -> None:
        for intent in part:
            event = IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0)
            await log.append([Write(event)], meta=Meta(command_id=intent.intent_id, actor="bench"))

    await asyncio.gather(*(writer(given[number::WRITERS]) for number in range(WRITERS)))


async def decided(world: World, count: int, start: float) -> float:
    """Wait until every intent is decided; return the seconds since ``start``."""
    while world.ctx.views.count(DECISIONS) < count:
        await world.ctx.views.changed(timeout_s=0.5)
    return time.perf_counter() - start


async def simulation_rate(world: World) -> float:
    wanted = Simulation.model_validate(
        {
            "policies": [
                {"policy_id": "trial", "conditions": ["tier == 2"], "outcome": "requires_approval"}
            ]
        }
    )
    start = time.perf_counter()
    found = await simulate(world.ctx, Bundle(policies=shipped().policies), wanted)
    return float(found["evaluated"]) / (time.perf_counter() - start)


async def measure(count: int, server: Server, folder: Path) -> list[Figure]:
    given = intents(count)
    figures = [
        Figure("rubric, one intent after the other", rubric_rate(given), "intents/s"),
        Figure("policies with every condition's value", policy_rate(given), "decisions/s"),
    ]
    settings = settings_for(server.data_dir, server.port)
    owner = await open_connection(settings, "owner")
    await setup.ensure(owner)
    nc = await open_connection(settings, "service")
    log = JetStreamLog(nc)
    await fill(log, given)
    start = time.perf_counter()
    async with governance(folder / "governance", log=log) as world:
        took_s = await decided(world, count, start)
        rate = count / took_s
        figures.append(
            Figure(
                "queued to DecisionMade, durable, one leader and its views",
                rate,
                "decisions/s",
                goal=">= 1000",
                met=rate >= 1000,
            )
        )
        rate = await simulation_rate(world)
        figures.append(
            Figure(
                "simulation over recorded decisions",
                rate,
                "decisions/s",
                goal=">= 20000",
                met=rate >= 20_000,
            )
        )
    await log.close()
    await nc.close()
    await owner.close()
    return figures


def main() -> None:
    count = 2000 if "--quick" in sys.argv else 5000
    with tempfile.TemporaryDirectory() as name, running_server(Path(name)) as server:
        figures = asyncio.run(measure(count, server, Path(name)))
    show("Governance", figures)
    sys.stdout.write(json.dumps({"saved": str(save("governance", figures))}) + "\n")


if __name__ == "__main__":
    main()
