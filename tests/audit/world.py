"""A real log that is sealed as it grows, and an owner who rewrites it."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from infra.audit import Entry
from infra.audit_seal import Sealer
from infra.audit_store import LOG_KEY, Checkpoints, trusted_keys
from infra.clock import SystemClock
from infra.nats import api, setup
from infra.nats.connection import Connection
from infra.nats.entries import entries
from infra.nats.log import JetStreamLog
from infra.nats.writer import Message, StreamWriter
from infra.ports import Write
from infra.signing import ensure_keys
from tests.contract.test_event_log import degraded, meta

Tamper = Callable[[list[Entry]], list[Entry]]


class World:
    """A log with a data directory of its own."""

    def __init__(self, log: JetStreamLog, data_dir: Path) -> None:
        self.log = log
        self.data_dir = data_dir
        self.troubles: list[str] = []
        self._written = 0

    def sealer(self, every: int = 20) -> Sealer:
        keys = ensure_keys(self.data_dir, LOG_KEY)
        assert keys.private is not None
        return Sealer(
            self.log,
            self.data_dir,
            keys.private,
            trusted_keys(self.data_dir),
            SystemClock(),
            every=every,
            trouble=self.troubles.append,
        )

    @property
    def store(self) -> Checkpoints:
        return Checkpoints(self.data_dir / "checkpoints")

    @property
    def key(self) -> Path:
        return self.data_dir / "keys" / "log.pub"

    async def write(self, count: int) -> None:
        for _ in range(count):
            self._written += 1
            name = f"{self._written}"
            await self.log.append([Write(degraded("a", name))], meta=meta(name))

    async def sealed_in_parts(self, parts: int, each: int) -> None:
        sealer = self.sealer()
        for _ in range(parts):
            await self.write(each)
            await sealer.now()

    async def stored(self) -> list[Entry]:
        end = await self.log.last_position()
        async with aclosing(entries(self.log.nc, to=end)) as found:
            return [entry async for entry in found]


async def rewrite(owner: Connection, world: World, tamper: Tamper) -> None:
    """What only the stream's owner can do: delete the log and write another in its place."""
    messages = tamper(await world.stored())
    await api.call(owner, f"STREAM.DELETE.{setup.EVENTS}")
    await setup.ensure(owner)
    writer = await StreamWriter(owner).start()
    try:
        await writer.publish([Message(entry.subject, entry.body) for entry in messages])
    finally:
        await writer.close()
