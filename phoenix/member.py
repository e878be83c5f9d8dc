"""One living instance as its launcher sees it: process, control channel and what it has said."""

import time
from dataclasses import dataclass, field
from typing import Any

from phoenix.channel import Channel
from phoenix.forker import Process
from phoenix.spec import InstanceSpec


@dataclass(slots=True, eq=False)
class Member:
    """``seat`` outlives it. All moments are ``time.monotonic()``."""

    spec: InstanceSpec
    channel: Channel | None = None
    process: Process | None = None
    state: str = "starting"  # starting | up | ready | stopping | dead
    role: str = "standby"
    epoch: int = 0
    slots: frozenset[int] = frozenset()  # where it is told to accept
    accepting: frozenset[int] = frozenset()  # where it says it does
    started_at: float = field(default_factory=time.monotonic)
    ready_at: float | None = None
    beat_at: float = field(default_factory=time.monotonic)
    beat: dict[str, Any] = field(default_factory=dict)
    planned: str = ""  # why we stopped it; "" if we did not
    killed: str = ""  # why we killed it
    silent: bool = False  # taken over, and has not said yet how it is
    unable: str = ""  # why it serves what it has, but can neither read on nor lead
    requests_per_s: float = 0.0

    @property
    def seat(self) -> int:
        return self.spec.seat

    @property
    def leads(self) -> bool:
        return self.role == "active"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def able(self) -> bool:
        """Whether it can take the lead as soon as its views have caught up."""
        return self.serving and not self.unable

    @property
    def serving(self) -> bool:
        """Whether it can take connections."""
        return self.state in ("up", "ready")

    def heard(self, beat: dict[str, Any], now: float) -> None:
        """Take a heartbeat's figures; ``beat_at`` is still that of the one before."""
        passed_s = now - self.beat_at
        if passed_s > 0.1:
            more = beat.get("requests", 0) - self.beat.get("requests", 0)
            self.requests_per_s = max(0, more) / passed_s
        self.beat, self.beat_at = beat, now

    def send(self, **message: object) -> None:
        if self.channel is not None:
            self.channel.send(message)

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.signal(number)

    def ready_for_s(self, now: float) -> float | None:
        return None if self.ready_at is None else now - self.ready_at
