"""Personal values: sealed in the log with a key for each record, gone when the key is dropped.

Sealed      values of fields that the SPEC calls personal, in every event of their record:
            AES-256-GCM, bound to record, version and field; anything else stays in clear
Keys        32 random bytes a record, kept outside the log; made with the record's first event
Erased      the key is gone and a mark says so: such a value reads as None, for ever. A key that is
            missing without a mark is an error (``KeyLost``), never an erasure.
"""

import base64
import hashlib
import hmac
import secrets
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol, cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, DomainEventProtocol
from eventsourcing.persistence import InfrastructureFactory, Mapper, StoredEvent

from domain.errors import DomainError, PoisonError

KEY_BYTES = 32
_NONCE_BYTES = 12
_CACHED_MAX = 10_000
_SEALED = "sealed"
_PARTS = ("fields", "changes")  # where an event of a record holds values
_SERVICE = "service"  # the name of the key that is no record's


class Erased(DomainError):
    """The record's personal values were erased: it can only be deleted."""


class KeyLost(PoisonError):
    """There is no key for a record that was not erased: the keys must be restored."""


class WrongKey(PoisonError):
    """The key does not open a sealed value: it is another record's, or the value was changed."""


class KeyStore(Protocol):
    """Keeps keys by name, outside the log."""

    def get(self, name: str) -> bytes | None:
        """Return a key; None when there never was one, nothing (``b""``) when it was dropped."""

    def add(self, name: str, key: bytes) -> bytes:
        """Keep a key unless there is one, or was; return what is kept."""

    def erase(self, name: str) -> None:
        """Drop a key for ever, overwritten where it lies; a repeat finishes what was begun."""


class Keys:
    """The keys of one service, those used last at hand."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, record: UUID) -> bytes:
        """Return the key of a record that has one.

        Raises:
            Erased: it was dropped.
            KeyLost: there never was one.
        """
        name = str(record)
        found = self._cached.get(name) or self._store.get(name)
        if found is None:
            raise KeyLost(f"record {record} has sealed values but no key: restore the keys")
        return self._keep(name, found)

    def made(self, name: str) -> bytes:
        """Return a key, made now if there is none.

        Raises:
            Erased: it was dropped.
        """
        found = self._cached.get(name) or self._store.get(name)
        if found is None:
            found = self._store.add(name, secrets.token_bytes(KEY_BYTES))
        return self._keep(name, found)

    def erase(self, record: UUID) -> None:
        """Drop the key of a record, here and where it is kept."""
        with self._lock:
            self._cached.pop(str(record), None)
        self._store.erase(str(record))

    def blind(self, value: str) -> str:
        """Return a name for a value which only this service can make: whoever holds the log alone
        cannot try values out."""
        return hmac.new(self._secret, value.encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        return self.made(_SERVICE)

    def _keep(self, name: str, key: bytes) -> bytes:
        if not key:
            raise Erased(f"the personal data of record {name} was erased: it can only be deleted")
        with self._lock:
            self._cached[name] = key
            self._cached.move_to_end(name)
            if len(self._cached) > _CACHED_MAX:
                self._cached.popitem(last=False)
        return key


class PersonalMapper(Mapper[UUID]):
    """Seals and opens the personal values of events; the rest is the library's."""

    def __init__(self, keys: Keys, personal: Mapping[type, frozenset[str]], **plain: Any) -> None:
        """``personal``: which values of an event of a class are."""
        super().__init__(**plain)
        self._keys = keys
        self._personal = personal

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Raises: Erased: the record's key was dropped."""
        names = self._personal.get(type(domain_event), frozenset())

        def change(name: str, value: Any) -> Any:
            return self._seal(domain_event, name, value) if name in names else value

        return super().to_stored_event(_with(domain_event, change) if names else domain_event)

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Return the event, with None for what was erased.

        Raises:
            KeyLost: the key of a record that was not erased is missing.
            WrongKey: it does not open a value.
        """
        event: DomainEventProtocol[UUID] = super().to_domain_event(stored_event)

        def change(name: str, value: Any) -> Any:
            sealed = isinstance(value, dict) and value.keys() == {_SEALED}
            return self._open(event, name, value[_SEALED]) if sealed else value

        return _with(event, change)

    def _seal(self, event: DomainEventProtocol[UUID], name: str, value: Any) -> Any:
        if value is None:
            return None
        key = self._keys.made(str(event.originator_id))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        clear = self.transcoder.encode(value)
        sealed = nonce + AESGCM(key).encrypt(nonce, clear, _place(event, name))
        return {_SEALED: base64.b64encode(sealed).decode()}

    def _open(self, event: DomainEventProtocol[UUID], name: str, text: str) -> Any:
        sealed = base64.b64decode(text)
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            key = self._keys.of(event.originator_id)
            clear = AESGCM(key).decrypt(nonce, rest, _place(event, name))
        except Erased:
            return None
        except InvalidTag:
            raise WrongKey(
                f"{name} of record {event.originator_id}, version {event.originator_version}:"
                " the record's key does not open it"
            ) from None
        return self.transcoder.decode(clear)


def _place(event: DomainEventProtocol[UUID], name: str) -> bytes:
    """What a sealed value is bound to: it opens nowhere else."""
    return f"{event.originator_id}/{event.originator_version}/{name}".encode()


def _with(
    event: DomainEventProtocol[UUID], change: Callable[[str, Any], Any]
) -> DomainEventProtocol[UUID]:
    """The event with its values changed; the same one where it holds none."""
    state = vars(event)
    parts = {
        part: {name: change(name, value) for name, value in state[part].items()}
        for part in _PARTS
        if isinstance(state.get(part), dict)
    }
    if not parts:
        return event
    changed = object.__new__(type(event))
    object.__setattr__(changed, "__dict__", {**state, **parts})
    return changed


class PersonalApplication(Application[UUID]):
    """An application whose records have personal values."""

    personal: ClassVar[tuple[type[Aggregate], ...]]  # each with ``PERSONAL``, the names of fields

    def construct_mapper(self) -> Mapper[UUID]:
        self.keys = Keys(_store_of(self.factory, self.env))
        return PersonalMapper(
            self.keys,
            {
                event: frozenset(record.PERSONAL)  # type: ignore[attr-defined]
                for record in self.personal
                for event in vars(record).values()
                if isinstance(event, type)
            },
            transcoder=self.construct_transcoder(),
            compressor=self.factory.compressor(),
            cipher=self.factory.cipher(),
        )


def not_erased(record: Any) -> None:
    """Raises: Erased: the record's personal data is gone, so it changes no more."""
    if record.erased:
        raise Erased("the personal data of this record was erased: it can only be deleted")


class SqliteKeys:
    """Keys in a file of their own: for a service on its own, whose log is a file or in memory."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, key BLOB)")

    def get(self, name: str) -> bytes | None:
        found = self._db.execute("SELECT key FROM keys WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def add(self, name: str, key: bytes) -> bytes:
        self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (name, key))
        found = self.get(name)
        return key if found is None else found

    def erase(self, name: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO keys VALUES (?, x'')", (name,))


def _store_of(factory: InfrastructureFactory[Any], env: Mapping[str, str]) -> KeyStore:
    """Where the application's log is, its keys are, too."""
    own = getattr(factory, "key_store", None)
    if own is not None:
        return cast(KeyStore, own())
    path = env.get("SQLITE_DBNAME")
    in_memory = not path or path.startswith((":memory:", "file:"))
    return SqliteKeys(":memory:" if in_memory else f"{path}.keys")
