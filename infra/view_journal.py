"""Which rows of a view file changed lately, so that a neighbour's file can take them over.

A view is the same function of the log in every instance: whoever holds it at an earlier position
becomes equal by taking the rows that have changed since, without reading one event.

New rows    are not noted: each stands at the place of the event that made it (``PLACES``), so
            what came after a position is a range of the table.
Entries     the keys of rows that one write changed in the same columns of one table, or removed,
            under the position it was written at, in the transaction of the rows themselves.
Bound       ``KEYS_BYTES_MAX`` of keys: older entries go, and ``since`` says how far back it goes;
            ``AHEAD_MAX`` positions, or taking the rows would hold up whoever takes them.
"""

import sqlite3
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import orjson

KEYS_BYTES_MAX = 512 * 1024  # some 10,000 rows, a fifth of a second to take
AHEAD_MAX = 20_000
PLACES = 2**20  # of the rows that one event can make in one table; positions stay below 2**43
PLACE_END = 2**63
_NOT_KEPT = 2**62


@dataclass(slots=True)
class Changes:
    """The keys of rows that were there before: by the columns that differ, and those gone."""

    updated: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


class Gap(Exception):
    """The neighbour's journal does not reach back to where this file stands."""


class Journal:
    """The journal of one open file. Its writes belong to the transaction under way."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Make the tables where they are missing; what an earlier process kept ends here."""
        self.kept = False
        self._entries: deque[tuple[int, int]] = deque()  # position, size
        self._bytes = 0
        db.execute(
            "CREATE TABLE IF NOT EXISTS journal (position INTEGER NOT NULL, name TEXT NOT NULL,"
            " columns TEXT, keys TEXT NOT NULL)"  # no columns: they are gone
        )
        db.execute("CREATE INDEX IF NOT EXISTS journal_places ON journal (position, name)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS journal_of (since INTEGER, pending INTEGER, id TEXT)"
        )
        if db.execute("SELECT since FROM journal_of").fetchall() == [(_NOT_KEPT,)]:
            return  # an instance starts on a full disk, too
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM journal")
        db.execute("DELETE FROM journal_of")
        db.execute("INSERT INTO journal_of VALUES (?, 0, '')", (_NOT_KEPT,))
        db.execute("COMMIT")

    def begin(self, db: sqlite3.Connection, position: int) -> None:
        """Keep it from here on: the file holds everything up to ``position``."""
        self._start(db, since=position)
        self.kept = True

    def end(self, db: sqlite3.Connection) -> None:
        """Keep it no longer: nobody may rely on what the file is not told."""
        self._start(db, since=_NOT_KEPT)
        self.kept = False

    def note(self, db: sqlite3.Connection, position: int, name: str, changes: Changes) -> None:
        """These rows of a table have been written with everything up to here."""
        for columns, keys in changes.updated.items():
            self._enter(db, position, name, "\n".join(columns), keys)
        if changes.removed:
            self._enter(db, position, name, None, changes.removed)

    def settle(self, db: sqlite3.Connection, pending: int) -> None:
        """Before a commit: drop what is too old, and say how many events are still to come."""
        since = None
        # Entries of one position stand together or not at all.
        while self._entries and (self._bytes > KEYS_BYTES_MAX or self._entries[0][0] == since):
            since, size = self._entries.popleft()
            self._bytes -= size
        if since is not None:
            db.execute("DELETE FROM journal WHERE position <= ?", (since,))
            db.execute("UPDATE journal_of SET since = ?", (since,))
        db.execute("UPDATE journal_of SET pending = ?", (pending,))

    def _enter(
        self,
        db: sqlite3.Connection,
        position: int,
        name: str,
        columns: str | None,
        keys: Sequence[str],
    ) -> None:
        body = orjson.dumps(keys).decode()
        db.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (position, name, columns, body))
        self._entries.append((position, len(body)))
        self._bytes += len(body)

    def _start(self, db: sqlite3.Connection, *, since: int) -> None:
        db.execute("DELETE FROM journal")
        db.execute("UPDATE journal_of SET since = ?, id = ?", (since, uuid4().hex))
        self._entries.clear()
        self._bytes = 0


class News(NamedTuple):
    """Where the attached file stands, what it still waits for, and which journal it keeps."""

    position: int
    pending: int
    journal: str


def news(db: sqlite3.Connection, position: int) -> News | None:
    """What the file attached as ``source`` has to give, None if no further than ``position``.

    Raises:
        Gap: it does not know what has changed since ``position``, or it is too much.
    """
    (ahead,) = db.execute("SELECT position FROM source.checkpoint").fetchone()
    if ahead <= position:
        return None
    since, pending, journal = db.execute("SELECT * FROM source.journal_of").fetchone()
    if since > position or ahead > position + AHEAD_MAX:
        raise Gap
    return News(ahead, pending, journal)


def take_rows(db: sqlite3.Connection, name: str, position: int, *, between: bool) -> None:
    """Make those rows of table ``name`` (quoted) that have changed since ``position`` equal to the
    ones of the file attached as ``source``.

    ``between``: the source was perhaps not written at this very position. Then a column may differ
    that was the same in its file before and after.
    """
    chosen = "journal.position > :position AND journal.name = :name AND journal.columns IS :columns"
    keys = (
        "SELECT keys.value FROM source.journal, json_each(source.journal.keys) AS keys"
        f" WHERE {chosen}"
    )
    values: dict[str, object] = {"position": position, "name": name.strip('"'), "columns": None}
    values["place"] = place = (position + 1) * PLACES
    db.execute(f"DELETE FROM main.{name} WHERE key IN ({keys})", values)
    kinds = db.execute(
        "SELECT DISTINCT columns FROM source.journal WHERE position > ? AND name = ?"
        " AND columns IS NOT NULL",
        (position, values["name"]),
    ).fetchall()
    every = [column[1] for column in db.execute(f"PRAGMA main.table_info({name})")][3:]
    for (columns,) in kinds:
        differing = every if between else columns.split("\n") if columns else ()
        same = "".join(f', "{column}" = new."{column}"' for column in differing)
        db.execute(
            f"UPDATE main.{name} AS old SET body = new.body{same} FROM source.{name} AS new"
            f" WHERE new.key IN ({keys}) AND new.place < :place AND old.place = new.place",
            {**values, "columns": columns},
        )
    # In the place of what stood under the same key before: made again, a row has another place.
    db.execute(
        f"INSERT OR REPLACE INTO main.{name} SELECT * FROM source.{name} WHERE place >= ?", (place,)
    )
