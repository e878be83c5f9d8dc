"""Who leads one service: the election as a pure state machine (no I/O, no clock of its own).

Key         one KV entry per service, changed by compare-and-set on its revision only.
Time        every moment is the caller's own monotonic clock, in seconds; no clocks are compared.
Invariants  a holder acts at most ``act_s`` after it *sent* its last acknowledged write; a standby
            claims a held key only after ``lease_s`` of silence that it counted itself, and beyond
            the first missed renewals only while its own probe writes succeed; a read never
            extends a term.
Outcome     every action that asks for I/O is answered exactly once (done, conflict or failed).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal


@dataclass(frozen=True, slots=True)
class Timing:
    """All durations of one election, in seconds, derived from ``lease_s``."""

    lease_s: float

    @property
    def renew_s(self) -> float:
        return self.lease_s / 4

    @property
    def act_s(self) -> float:
        """How long after sending an acknowledged write its holder may act."""
        return self.lease_s * 2 / 3

    @property
    def gate_s(self) -> float:
        """Silence that needs no probe: one renewal may be late."""
        return self.renew_s * 1.5

    @property
    def probe_s(self) -> float:
        return self.lease_s / 8

    @property
    def poll_s(self) -> float:
        """A watch can go silent: the key is also read this often."""
        return self.lease_s / 2

    @property
    def step_s(self) -> float:
        """The longest time between two ticks; longer gaps (a pause) do not count as silence."""
        return self.lease_s / 8

    @property
    def courtesy_s(self) -> float:
        """How long a released key is left to the preferred instance."""
        return self.lease_s / 10


@dataclass(frozen=True, slots=True)
class Record:
    """The key as read: who holds it ("" = released), for which epoch, at which revision."""

    holder: str
    epoch: int
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write the key if its revision is still ``revision`` (0: if it does not exist)."""

    kind: Literal["claim", "renew", "release"]
    holder: str
    epoch: int
    revision: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Write this instance's own presence key: proof that writes reach the bucket."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the key."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The claim of ``epoch`` was acknowledged."""

    epoch: int
    reason: str  # first start | released | holder died | expired


@dataclass(frozen=True, slots=True)
class Demoted:
    """Another instance holds the key: this process ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """The key no longer names this instance."""


Action = Put | Probe | Read | Lead | Demoted | Released


class Role(Enum):
    STANDBY = "standby"
    HOLDER = "holder"
    OVER = "over"  # demoted or released: nothing more happens


class Election:
    """One instance's part in one election. Feed it every input; do every action it returns."""

    def __init__(self, me: str, timing: Timing, *, preferred: bool = False) -> None:
        self.me = me
        self.timing = timing
        self.preferred = preferred
        self.role = Role.STANDBY
        self.epoch = 0  # of my term; 0 before the first
        self.held = False  # claim nothing: a person has to look first
        self.record: Record | None = None  # the newest one known
        self._saw_holder = False  # somebody has held the key while this instance looked
        self._seen = False  # the key has been read at least once
        self._act_until = float("-inf")
        self._silent_s = 0.0
        self._ticked_at = float("-inf")
        self._dead: set[str] = set()  # holders known to be dead
        self._invited = False  # told to take a released key at once
        self._put: Put | None = None  # in flight
        self._reason = ""
        self._next_put_at = float("-inf")
        self._must_read = True
        self._reading = False
        self._read_at = float("-inf")
        self._probing = False
        self._probe_at = float("-inf")
        self._probed_at = float("-inf")  # when the last acknowledged probe was sent
        self._leaving = False

    def may_act(self, now: float) -> bool:
        """Whether this instance may act as leader at this moment."""
        return self.role is Role.HOLDER and not self._leaving and now < self._act_until

    @property
    def silent_s(self) -> float:
        """How much silence of the holder has been counted."""
        return self._silent_s

    def wake_s(self, now: float) -> float:
        """In how many seconds the next tick is due, at the latest."""
        if self.role is Role.HOLDER:
            due = self._next_put_at - now
        else:
            due = self._patience() - self._silent_s
        return min(max(due, 0.002), self.timing.step_s)

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        self._count_silence(now)
        actions: list[Action] = []
        match self.role:
            case Role.HOLDER:
                actions += self._hold(now)
            case Role.STANDBY:
                actions += self._stand_by(now)
            case Role.OVER:
                return []
        return actions + self._poll(now)

    def seen(self, now: float, record: Record | None, *, answer: bool = False) -> list[Action]:
        """The key was read (``answer``) or a watch reported it; None: it does not exist."""
        if answer:
            self._reading = self._must_read = False
        if record is not None and self.record is not None:
            if record.revision < self.record.revision:
                return []  # an old answer, or a replica behind
            if record.revision == self.record.revision:
                return self.tick(now)
        self._seen = True
        if record != self.record:
            self._news(now, record)
        if self.role is Role.HOLDER and record is not None and record.holder != self.me:
            if self._leaving:
                return self._end(Released())
            return self._end(Demoted(f"epoch {record.epoch} is held by another instance"))
        return self.tick(now)

    def put_done(self, now: float, sent_at: float, revision: int) -> list[Action]:
        """The write in flight was acknowledged; ``sent_at`` is from before it was sent."""
        put = self._settled()
        if self.role is Role.OVER:
            return []
        if self.record is None or revision > self.record.revision:
            self.record = Record(put.holder, put.epoch, revision)
            self._silent_s = 0.0
        if self.record.holder != put.holder:
            return self.tick(now)  # the answer is late: somebody has written since
        if put.kind == "release":
            return self._end(Released())
        self._act_until = max(self._act_until, sent_at + self.timing.act_s)
        if self.role is Role.STANDBY and now >= self._act_until:
            self._must_read = True  # the answer took so long that somebody may hold it by now
            return self.tick(now)
        if self.role is Role.STANDBY:
            self.role = Role.HOLDER
            self.epoch = put.epoch
            return [Lead(put.epoch, self._reason), *self.tick(now)]
        return self.tick(now)

    def put_conflict(self, now: float) -> list[Action]:
        """The write in flight was refused: the revision has moved on. Only a read tells why."""
        self._settled()
        self._must_read = True
        return self.tick(now)

    def put_failed(self, now: float) -> list[Action]:
        """Nobody knows whether the write in flight was stored."""
        self._settled()
        self._must_read = self.role is not Role.HOLDER
        self._next_put_at = now + self.timing.lease_s / 40
        return self.tick(now)

    def read_failed(self, now: float) -> list[Action]:
        self._reading = False
        return self.tick(now)

    def probe_done(self, now: float, sent_at: float) -> list[Action]:
        self._probing = False
        self._count_silence(now)  # what passed before this proof is judged without it
        self._probed_at = max(self._probed_at, sent_at)
        return self.tick(now)

    def probe_failed(self, now: float) -> list[Action]:
        self._probing = False
        self._probed_at = float("-inf")
        return self.tick(now)

    def holder_died(self, now: float, holder: str) -> list[Action]:
        """Whoever started the holder saw its process end ("": a released key is to be taken)."""
        if holder:
            self._dead.add(holder)
        else:
            self._invited = True
        return self.tick(now)

    def release(self, now: float) -> list[Action]:
        """Give the key up in order; answered by ``Released`` (at once on a standby)."""
        self._leaving = True
        self._next_put_at = now
        if self.role is Role.STANDBY and self._put is None:
            return self._end(Released())
        return self.tick(now)

    def at_least(self, epoch: int) -> None:
        """Raise the epoch of my term: the log knows a higher one than the bucket did."""
        self.epoch = max(self.epoch, epoch)

    def _news(self, now: float, record: Record | None) -> None:
        self.record = record
        self._silent_s = 0.0
        self._saw_holder = self._saw_holder or bool(record and record.holder)
        self._ticked_at = now
        self._invited = self._invited and record is not None and record.holder == ""
        if self._put is None:
            self._next_put_at = now  # a holder's own write was stored but its answer was lost

    def _hold(self, now: float) -> list[Action]:
        if self._put is not None or self._must_read or now < self._next_put_at:
            return []
        revision = self.record.revision if self.record else 0
        if self._leaving:
            return self._send(now, Put("release", "", self.epoch, revision))
        return self._send(now, Put("renew", self.me, self.epoch, revision))

    def _stand_by(self, now: float) -> list[Action]:
        if self._put is not None or not self._seen:
            return []
        if self._leaving:
            return self._end(Released())
        if self._silent_s >= self._patience():
            if self.held or self._must_read or now < self._next_put_at:
                return []
            record = self.record
            epoch = record.epoch + 1 if record else 1
            if record and record.holder == self.me:
                epoch = record.epoch  # my claim was stored, only its answer was lost
            else:
                self._reason = self._why()
            revision = record.revision if record else 0
            return self._send(now, Put("claim", self.me, epoch, revision))
        return self._probe(now)

    def _patience(self) -> float:
        """The silence that entitles a standby to claim."""
        record = self.record
        if record is None:
            return 0.0 if self.preferred else self.timing.lease_s
        if record.holder == self.me or record.holder in self._dead:
            return 0.0
        if record.holder == "":
            if self.preferred or self._invited:
                return 0.0
            # At the start of a group the preferred instance may be slower than this one.
            return self.timing.courtesy_s if self._saw_holder else self.timing.lease_s / 2
        return self.timing.lease_s

    def _why(self) -> str:
        if self.record is None:
            return "first start"
        if self.record.holder == "":
            return "released"
        return "holder died" if self.record.holder in self._dead else "expired"

    def _count_silence(self, now: float) -> None:
        passed = min(now - self._ticked_at, self.timing.step_s * 1.5)
        self._ticked_at = now
        if not self._seen or passed <= 0:
            return
        proven = now - self._probed_at <= self.timing.probe_s * 2.5
        if proven or self._silent_s < self.timing.gate_s:
            self._silent_s += passed

    def _probe(self, now: float) -> list[Action]:
        due = now >= self._probe_at + self.timing.probe_s
        if self._probing or not due or self._silent_s < self.timing.gate_s:
            return []
        self._probing = True
        self._probe_at = now
        return [Probe()]

    def _poll(self, now: float) -> list[Action]:
        if self._reading or self._put is not None or self.role is Role.OVER:
            return []
        routine = self.role is Role.STANDBY and now >= self._read_at + self.timing.poll_s
        urgent = self._must_read and now >= self._read_at + self.timing.lease_s / 40
        if not (routine or urgent):
            return []
        self._reading = True
        self._read_at = now
        return [Read()]

    def _send(self, now: float, put: Put) -> list[Action]:
        self._put = put
        self._next_put_at = now + self.timing.renew_s
        return [put]

    def _settled(self) -> Put:
        put, self._put = self._put, None
        if put is None:
            raise ValueError("no write was in flight")
        return put

    def _end(self, action: Action) -> list[Action]:
        self.role = Role.OVER
        self._act_until = float("-inf")
        return [action]
