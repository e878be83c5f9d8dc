"""Open work in its order, kept by watching a table: a look costs no query.

A leader looks after everything it finishes; a query would bring the table's changes into the file
each time, and read rows that are at hand.

Rebuild   read from the views once, when a term begins; from then on every change is heard of.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from domain.view import Table
from infra.ports import Views

Row = TypeVar("Row", bound=BaseModel)

_TURN = 1000  # rows, some milliseconds


async def in_turns(
    views: Views, table: Table[Any], *paths: str, where: Mapping[str, object], limit: int
) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    """``Views.fields`` of all rows, so many at a time: the lease is renewed in between.

    What changes meanwhile has to be heard of by watching the table.
    """
    above = 0
    while rows := views.fields(table, *paths, where=where, above=above, limit=limit):
        above = rows[-1][0]
        yield rows
        await asyncio.sleep(0)


class WorkList(Generic[Row]):
    """The open rows of a table. Use it as an asynchronous context, within one term.

    ``rank`` is the field, a number, by which they come; ``column`` the one that is true of open
    rows. Without one every row of the table is open.
    """

    def __init__(
        self, views: Views, table: Table[Row], *, rank: str, column: str | None = None
    ) -> None:
        self._views = views
        self._table = table
        self._rank = rank
        self._column = column
        self._ranks: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []
        self._watching: AbstractContextManager[Any]

    def __len__(self) -> int:
        return len(self._order)

    async def __aenter__(self) -> "WorkList[Row]":
        self._watching = self._views.watching(self._table, self._seen)
        self._watching.__enter__()
        await self._read()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.__exit__(kind, error, trace)

    def first(self, count: int) -> list[Row]:
        """The open rows with the lowest ranks, in order; fewer than ``count`` if there are."""
        rows = (self._views.get(self._table, key) for _, key in self._order[:count])
        return [row for row in rows if row is not None]

    async def _read(self) -> None:
        where = {self._column: True} if self._column else {}
        async for rows in in_turns(self._views, self._table, self._rank, where=where, limit=_TURN):
            for _, key, rank in rows:
                self._place(key, rank)

    def _seen(self, key: str, row: Row | None) -> None:
        closed = row is None or (self._column and not getattr(row, self._column))
        self._place(key, None if closed else getattr(row, self._rank))

    def _place(self, key: str, rank: int | None) -> None:
        before = self._ranks.pop(key, None)
        if before is not None:
            del self._order[bisect_left(self._order, (before, key))]
        if rank is not None:
            self._ranks[key] = rank
            insort(self._order, (rank, key))
