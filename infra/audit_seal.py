"""Seals the log while the system runs: a signed checkpoint every N messages and at the end.

Who         the launcher, once a data directory: it alone has the key, and it is the last to end.
            A second host whose key nobody has sealed with refuses, so that no two keys mix.
Append      ``LogSealed`` with a version on its subject; first the copy on disk, then the log.
Sound       it never seals on top of what does not hold: after a start it goes on from its own
            digests under its own signature, or reads the whole log against all checkpoints.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.audit import LogSealed
from domain.errors import ConflictError, PhoenixError, TransientError
from domain.merkle import CompactRange
from infra.audit import SEALS, Entry, Trusted, Walk, content, leaf_at, seal, signed
from infra.audit_store import LOG_KEY, Checkpoints, tree_over, trusted_keys
from infra.nats.entries import entries, seals_in
from infra.nats.log import JetStreamLog
from infra.nats.reader import StreamReader
from infra.ports import Clock, Meta, Write
from infra.settings import Settings
from infra.signing import ensure_keys

IDLE_S = 600.0  # what is fewer than N is sealed after this time
FIRST_IDLE_S = 5.0  # a new log has something to verify as soon as the start is over
RETRY_S = 2.0
_READ = 500

_log = structlog.get_logger(__name__)


class CannotSeal(PhoenixError):
    """The log is not what was sealed before, or belongs to another key: a person has to look."""


def sealer_for(
    settings: Settings, log: JetStreamLog, clock: Clock, trouble: Callable[[str], None]
) -> "Sealer":
    """The sealer of one data directory, with its key (made on the first call)."""
    keys = ensure_keys(settings.data_dir, LOG_KEY)
    assert keys.private is not None
    return Sealer(
        log,
        settings.data_dir,
        keys.private,
        trusted_keys(settings.data_dir),
        clock,
        every=settings.seal_every,
        trouble=trouble,
    )


class Sealer:
    """Follows the whole log and seals it. ``trouble`` is told why it does not ("" once it does)."""

    def __init__(
        self,
        log: JetStreamLog,
        data_dir: Path,
        key: Ed25519PrivateKey,
        trusted: Trusted,
        clock: Clock,
        *,
        every: int,
        trouble: Callable[[str], None],
    ) -> None:
        self._log = log
        self._store = Checkpoints(data_dir / "checkpoints")
        self._key = key
        self._trusted = trusted
        self._clock = clock
        self._every = every
        self._trouble = trouble
        self._tree = CompactRange()
        self._position = 0
        self._new: list[bytes] = []  # digests since the newest checkpoint on disk
        self._only_seals = True  # nothing else has come since then
        self._newest: LogSealed | None = None
        self._loaded = False
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Seal until cancelled; a log that cannot be sealed is reported and left alone."""
        while True:
            try:
                async with self._busy:
                    await self._load()
                self._trouble("")
                await self._follow()
            except CannotSeal as error:
                self._trouble(str(error))
                return
            except (TransientError, ConflictError) as error:
                _log.info("sealing_waits", error=str(error))
            except (PhoenixError, OSError) as error:  # a full disk, a missing right: no end to us
                self._trouble(f"not sealed: {error}")
            await asyncio.sleep(RETRY_S)

    async def finish(self, *, bound_s: float) -> None:
        """Seal what is there at the end of the system, if that is possible within the time."""
        try:
            async with asyncio.timeout(bound_s):
                await self.now()
        except (PhoenixError, OSError, TimeoutError) as error:
            _log.warning("not_sealed_at_the_end", reason=str(error) or repr(error))

    async def now(self) -> LogSealed:
        """Seal everything up to now; return the newest checkpoint (the old one if it covers all).

        Raises:
            CannotSeal: see ``run``; or there is nothing to seal.
            TransientError: the log does not answer.
        """
        async with self._busy:
            await self._load()
            end = await self._log.last_position()
            async with aclosing(entries(self._log.nc, to=end, after=self._position)) as found:
                async for entry in found:
                    self._take(entry)
            if not self._only_seals:
                await self._seal()
            if self._newest is None:
                raise CannotSeal("there is nothing to seal yet")
            return self._newest

    async def _follow(self) -> None:
        """Read what comes. ``now`` may read ahead: what is known already is passed over."""
        reader = StreamReader(self._log.nc, self._log.stream.name, [">"], after=self._position)
        reader.start()
        try:
            async with self._busy:
                if len(self._new) >= self._every:  # an older log, never sealed
                    await self._seal()
            while True:
                raws = []
                idle_s = IDLE_S if self._newest else FIRST_IDLE_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(idle_s):
                        raws = await reader.next(_READ)
                async with self._busy:
                    for raw in raws:
                        self._take(Entry(raw.position, raw.subject, raw.data))
                    if len(self._new) >= self._every or not raws:
                        await self._seal()
        finally:
            await reader.close()

    def _take(self, entry: Entry) -> None:
        if entry.position <= self._position:
            return
        digest = content(entry.subject, entry.body)
        self._tree.append(leaf_at(entry.position, digest))
        self._new.append(digest)
        self._position = entry.position
        self._only_seals = self._only_seals and entry.subject == SEALS

    async def _seal(self) -> None:
        if self._only_seals:
            return
        checkpoint = seal(self._tree, self._position, self._key, self._clock.now())
        await asyncio.to_thread(self._store.add, checkpoint, self._new)
        self._new, self._only_seals, self._newest = [], True, checkpoint
        await self._announce(checkpoint)

    async def _announce(self, checkpoint: LogSealed) -> None:
        """Append it. Without an answer the copy on disk stays, and the next one follows it."""
        last = await self._log.stream.last(SEALS)
        meta = Meta(
            command_id=f"seal/{checkpoint.key_id}/{checkpoint.root}",
            actor="launcher",
            source="launcher",
        )
        await self._log.append([Write(checkpoint, last.position if last else 0)], meta=meta)

    async def _load(self) -> None:
        """Get the tree of what is sealed already.

        Raises:
            CannotSeal: the log is not what was sealed, or is sealed by a key that is not trusted.
        """
        if self._loaded:
            return
        kept, _ = await asyncio.to_thread(self._store.read)
        told, _ = await seals_in(self._log)
        if told and not any(signed(c, self._trusted) for c in (*told, *kept)):
            raise CannotSeal(
                f"the log is sealed by the key {told[-1].key_id}, which is not trusted here: copy"
                " keys/log.ed25519 from the host that seals, or trust it (docs/log.md)"
            )
        end = await self._log.last_position()
        good = [c for c in (*told, *kept) if signed(c, self._trusted)]
        newest = max(good, key=lambda c: c.position, default=None)
        if newest is not None and newest.position > end:
            raise CannotSeal(f"the log ends at {end} and was sealed up to {newest.position}")
        digests = await asyncio.to_thread(self._store.digests, newest) if newest else []
        if newest is not None and digests:
            self._tree = await asyncio.to_thread(tree_over, digests)
            self._position, self._newest = newest.position, newest
        else:
            await self._read_all(good, end)
        self._loaded = True

    async def _read_all(self, known: list[LogSealed], end: int) -> None:
        walk = Walk(known, self._trusted)
        digests = []
        async with aclosing(entries(self._log.nc, to=end)) as found:
            async for entry in found:
                digests.append(walk.take(entry))
                self._only_seals = self._only_seals and entry.subject == SEALS
        verdict = walk.end()
        if not verdict.holds:
            first = verdict.faults[0]
            raise CannotSeal(f"the log is not as sealed at {first.position} ({first.what})")
        self._tree, self._position, self._new = walk.tree, walk.position, digests
