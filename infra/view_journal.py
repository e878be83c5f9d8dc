"""Which rows of a view file changed lately, so that a neighbour's file can take them over.

A view is the same function of the log in every instance: whoever holds it at an earlier position
becomes equal by taking the rows that have changed since, without reading one event.

Entries     the keys that one write stored and removed in one table, under the position it was
            written at, in the transaction of the rows themselves.
Bound       ``KEYS_BYTES_MAX`` of keys: older entries go, and ``since`` says how far back it goes.
"""

import sqlite3
from collections import deque
from collections.abc import Sequence

import orjson

KEYS_BYTES_MAX = 512 * 1024  # some 10,000 rows, a fifth of a second to take
_NOT_KEPT = 2**62


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
            " stored TEXT NOT NULL, removed TEXT NOT NULL)"
        )
        db.execute("CREATE INDEX IF NOT EXISTS journal_places ON journal (position, name)")
        db.execute("CREATE TABLE IF NOT EXISTS journal_of (since INTEGER, pending INTEGER)")
        if db.execute("SELECT since FROM journal_of").fetchall() == [(_NOT_KEPT,)]:
            return  # an instance starts on a full disk, too
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM journal")
        db.execute("DELETE FROM journal_of")
        db.execute("INSERT INTO journal_of VALUES (?, 0)", (_NOT_KEPT,))
        db.execute("COMMIT")

    def begin(self, db: sqlite3.Connection, position: int) -> None:
        """Keep it from here on: the file holds everything up to ``position``."""
        self._start(db, since=position)
        self.kept = True

    def end(self, db: sqlite3.Connection) -> None:
        """Keep it no longer: nobody may rely on what the file is not told."""
        self._start(db, since=_NOT_KEPT)
        self.kept = False

    def note(
        self,
        db: sqlite3.Connection,
        position: int,
        name: str,
        stored: Sequence[str],
        removed: Sequence[str],
    ) -> None:
        """These rows of a table have been written with everything up to here."""
        keys = orjson.dumps(stored).decode(), orjson.dumps(removed).decode()
        db.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (position, name, *keys))
        size = len(keys[0]) + len(keys[1])
        self._entries.append((position, size))
        self._bytes += size

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

    def _start(self, db: sqlite3.Connection, *, since: int) -> None:
        db.execute("DELETE FROM journal")
        db.execute("UPDATE journal_of SET since = ?", (since,))
        self._entries.clear()
        self._bytes = 0


def news(db: sqlite3.Connection, position: int) -> tuple[int, int] | None:
    """Where the file attached as ``source`` stands and what it still waits for, None if no further
    than ``position``.

    Raises:
        Gap: it does not know what has changed since ``position``.
    """
    (ahead,) = db.execute("SELECT position FROM source.checkpoint").fetchone()
    if ahead <= position:
        return None
    since, pending = db.execute("SELECT since, pending FROM source.journal_of").fetchone()
    if since > position:
        raise Gap
    return ahead, pending


def take_rows(db: sqlite3.Connection, name: str, position: int) -> None:
    """Make those rows of table ``name`` (quoted) that have changed since ``position`` equal to the
    ones of the file attached as ``source``.
    """
    keys = (
        "SELECT keys.value FROM source.journal, json_each(source.journal.{}) AS keys"
        " WHERE source.journal.position > :position AND source.journal.name = :name"
    )
    values = {"position": position, "name": name.strip('"')}
    # What was removed and stored again goes and comes back; what went in the end is not there.
    db.execute(f"DELETE FROM main.{name} WHERE key IN ({keys.format('removed')})", values)
    columns = [column[1] for column in db.execute(f"PRAGMA main.table_info({name})")][1:]
    same = ", ".join(f'"{column}" = excluded."{column}"' for column in columns)
    db.execute(
        f"INSERT INTO main.{name} SELECT * FROM source.{name} WHERE key IN"
        f" ({keys.format('stored')}) ON CONFLICT (key) DO UPDATE SET {same}",
        values,
    )
