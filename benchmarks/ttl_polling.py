"""The published way to elect a leader on NATS, as a baseline: a TTL on the bucket, and polling.

After choria's election (go-choria, ``providers/election/streams``), written anew: candidates try to
create the key every 75 % of the bucket's TTL; the holder updates it as often; a key that is not
renewed expires; a winner acts only after its first renewal. The smallest TTL it allows is 5 s.
"""

import asyncio
import random
import time
from collections.abc import Callable

from domain.errors import PhoenixError
from infra.nats import setup
from infra.nats.connection import open_connection
from infra.nats.kv import CasBucket
from infra.settings import Settings

TTL_S = 5.0
CAMPAIGN_S = TTL_S * 0.75
SPLAY_S = 5.0  # candidates start at different moments
STAND_DOWN_S = 0.2  # between the winner's first renewal and its first act
BUCKET = "TTL_POLLING"


async def campaign(bucket: CasBucket, key: str, name: str, won: Callable[[str], None]) -> None:
    """Be one candidate until cancelled; ``won`` is called when it may act."""
    revision = 0
    announced = False
    while True:
        try:
            if revision:
                revision = await bucket.update(key, name.encode(), revision)
                if not announced:
                    announced = True
                    await asyncio.sleep(STAND_DOWN_S)
                    won(name)
            else:
                revision = await bucket.create(key, name.encode())
        except PhoenixError:
            revision, announced = 0, False
        await asyncio.sleep(CAMPAIGN_S)


async def failovers(settings: Settings, count: int, *, seed: int = 1) -> list[float]:
    """``count`` elections side by side, three candidates each: from the holder's end to the next
    one that acts, in seconds. The end falls anywhere between two renewals."""
    owner = await open_connection(settings, "owner")
    config = {**setup.bucket_config(BUCKET, 1), "max_age": int(TTL_S * 1e9)}
    await setup.ensure_stream(owner, {**config, "duplicate_window": int(1e9)})
    await owner.close()
    nc = await open_connection(settings, "service")
    choice = random.Random(seed)
    try:
        bucket = CasBucket(nc, BUCKET)
        elections = [_failover(bucket, f"election-{number}", choice) for number in range(count)]
        return await asyncio.gather(*elections)
    finally:
        await nc.close()


async def _failover(bucket: CasBucket, key: str, choice: random.Random) -> float:
    won: asyncio.Queue[str] = asyncio.Queue()

    async def candidate(name: str, splay_s: float) -> None:
        await asyncio.sleep(splay_s)
        await campaign(bucket, key, name, won.put_nowait)

    tasks = {
        name: asyncio.create_task(candidate(name, choice.uniform(0.0, SPLAY_S)))
        for name in ("a", "b", "c")
    }
    try:
        holder = await won.get()
        await asyncio.sleep(choice.uniform(0.0, CAMPAIGN_S))
        tasks[holder].cancel()
        ended = time.monotonic()
        async with asyncio.timeout(60):
            await won.get()
        return time.monotonic() - ended
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
