"""Fold the log again into fresh views, and compare two sets of views row by row."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.view import Table
from infra.ports import Batch, EventLog, Subscription
from infra.views import SqliteViews

_LOOK_EVERY_S = 0.01
Digests = Mapping[str, Mapping[str, str]]  # table -> key -> SHA-256 of the row's JSON


async def replay(
    log: EventLog, tables: Sequence[Table[Any]], directory: Path, *, to: int
) -> SqliteViews:
    """Return fresh views under ``directory`` that hold everything up to position ``to``."""
    views = SqliteViews(directory, tables)
    if not views.subjects:
        return views
    subscription = log.follow(views.subjects, after=0)
    folding = asyncio.create_task(_fold(subscription, views, to))
    try:
        while not folding.done() and await subscription.horizon() < to:
            await views.changed(timeout_s=_LOOK_EVERY_S)
        if folding.done():
            folding.result()
    finally:
        folding.cancel()
        await asyncio.gather(folding, return_exceptions=True)
        await subscription.close()
    return views


async def _fold(subscription: Subscription, views: SqliteViews, to: int) -> None:
    async for batch in subscription:
        events = [recorded for recorded in batch.events if recorded.position <= to]
        views.apply(Batch(events, min(batch.position, to), batch.pending))
        if batch.position >= to:
            return


def digests(dump: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The digest of every row, by table and key."""
    return {
        table: {key: hashlib.sha256(body.encode()).hexdigest() for key, body in rows.items()}
        for table, rows in dump.items()
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that two sets of views do not share."""

    table: str
    key: str
    what: str  # missing | unexpected | different


def compare(expected: Digests, found: Digests) -> list[Difference]:
    """Return every row of ``found`` that is not as in ``expected``; empty when they are equal."""
    differences = []
    for table in sorted(expected.keys() | found.keys()):
        wanted, have = expected.get(table, {}), found.get(table, {})
        for key in sorted(wanted.keys() | have.keys()):
            if key not in have:
                differences.append(Difference(table, key, "missing"))
            elif key not in wanted:
                differences.append(Difference(table, key, "unexpected"))
            elif wanted[key] != have[key]:
                differences.append(Difference(table, key, "different"))
    return differences


async def position_at(log: EventLog, moment: datetime, last: int) -> int:
    """The last position whose event had happened by then; 0 before the first.

    Times in the log grow but for the difference between the writers' clocks, so halving finds the
    place to within that difference.
    """
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        recorded = await log.get(middle)
        if recorded is not None and recorded.event.at > moment:
            high = middle - 1
        else:
            low = middle
    return low
