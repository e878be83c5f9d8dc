"""A seeded world for elections: one key-value server, instances with drifting clocks, faults.

Virtual time in milliseconds. Requests and replies take time and get lost, instances pause, crash
and come back under a new name, the network parts. After every step: at most one instance may act.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from phoenix.lease import (
    Action,
    Demoted,
    Election,
    Lead,
    Probe,
    Put,
    Read,
    Record,
    Released,
    Role,
    Timing,
)

TIMEOUT_S = 0.4


@dataclass
class Instance:
    seat: int
    name: str
    election: Election
    rate: float  # of its clock
    offset: float
    paused_until: float = 0.0
    crashed: bool = False
    parted: bool = False
    inbox: list[Callable[[], list[Action]]] = field(default_factory=list)

    def clock(self, now: float) -> float:
        return self.offset + now * self.rate


class Unsafe(AssertionError):
    """Two instances may act at the same moment."""


class World:
    def __init__(
        self, seed: int, *, faults: bool = True, make: Callable[..., Election] = Election
    ) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.make = make
        self.timing = Timing(2.0)
        self.now = 0.0
        self.revision = 0
        self.key: Record | None = None
        self.server_up = True
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.counter = itertools.count()
        self.epochs: list[tuple[int, str]] = []
        self.acted_s = 0.0
        self.instances = [self._instance(seat) for seat in range(3)]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = round(self.now + 0.01, 6)
            while self.queue and self.queue[0][0] <= self.now:
                heapq.heappop(self.queue)[2]()
            if self.faults:
                self._fault()
            for instance in self.instances:
                self._step(instance)
            self._check()

    def leaders(self) -> list[Instance]:
        return [
            i for i in self.instances if not i.crashed and i.election.may_act(i.clock(self.now))
        ]

    def crash(self, instance: Instance, *, told: bool) -> None:
        """End an instance; ``told``: its launcher tells the others that it died."""
        instance.crashed = True
        seat = instance.seat
        self.instances[seat] = self._instance(seat)
        if told:
            for other in self.instances:
                self._deliver(other, 0.005, self._died(other, instance.name))

    def _died(self, other: Instance, name: str) -> Callable[[], list[Action]]:
        return lambda: other.election.holder_died(other.clock(self.now), name)

    def _instance(self, seat: int) -> Instance:
        name = f"s{seat}-{next(self.counter)}"
        election = self.make(name, self.timing, preferred=seat == 0)
        rate = self.random.uniform(0.93, 1.07)
        return Instance(seat, name, election, rate, self.random.uniform(0, 1e5))

    def _step(self, instance: Instance) -> None:
        if instance.crashed or instance.paused_until > self.now:
            return
        inbox, instance.inbox = instance.inbox, []
        for answer in inbox:
            self._do(instance, answer())
        self._do(instance, instance.election.tick(instance.clock(self.now)))

    def _do(self, instance: Instance, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Put() | Read() | Probe():
                    self._request(instance, action)
                case Lead(epoch=epoch):
                    self.epochs.append((epoch, instance.name))
                case Demoted() | Released():
                    self.crash(instance, told=False)

    def _request(self, instance: Instance, action: Put | Read | Probe) -> None:
        sent_at = instance.clock(self.now)
        done = [False]

        def answer(call: Callable[[], list[Action]]) -> None:
            if not done[0]:
                done[0] = True
                instance.inbox.append(call)

        def serve() -> None:
            if self._lost(instance) or not self.server_up:
                return
            reply = self._serve(instance, action, sent_at)
            if not self._lost(instance):
                self._later(self._latency(), lambda: answer(reply))

        self._later(self._latency(), serve)
        self._later(TIMEOUT_S, lambda: answer(self._failure(instance, action)))

    def _serve(
        self, instance: Instance, action: Put | Read | Probe, sent_at: float
    ) -> Callable[[], list[Action]]:
        election = instance.election
        if isinstance(action, Read):
            key = self.key
            return lambda: election.seen(instance.clock(self.now), key, answer=True)
        if isinstance(action, Probe):
            return lambda: election.probe_done(instance.clock(self.now), sent_at)
        if action.revision != (self.key.revision if self.key else 0):
            return lambda: election.put_conflict(instance.clock(self.now))
        self.revision += 1
        revision = self.revision
        self.key = Record(action.holder, action.epoch, revision)
        self._notify(self.key)
        return lambda: election.put_done(instance.clock(self.now), sent_at, revision)

    def _failure(
        self, instance: Instance, action: Put | Read | Probe
    ) -> Callable[[], list[Action]]:
        election = instance.election
        failed = {
            Put: election.put_failed,
            Read: election.read_failed,
            Probe: election.probe_failed,
        }
        return lambda: failed[type(action)](instance.clock(self.now))

    def _notify(self, key: Record) -> None:
        for instance in self.instances:
            if not self._lost(instance):
                self._deliver(instance, self._latency(), self._watched(instance, key))

    def _watched(self, instance: Instance, key: Record) -> Callable[[], list[Action]]:
        return lambda: instance.election.seen(instance.clock(self.now), key)

    def _deliver(
        self, instance: Instance, delay_s: float, call: Callable[[], list[Action]]
    ) -> None:
        self._later(delay_s, lambda: instance.inbox.append(call))

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + delay_s, next(self.counter), call))

    def _latency(self) -> float:
        if not self.faults or self.random.random() < 0.9:
            return self.random.uniform(0.0005, 0.005)
        return self.random.uniform(0.005, 0.6)

    def _lost(self, instance: Instance) -> bool:
        return self.faults and (instance.parted or self.random.random() < 0.05)

    def _fault(self) -> None:
        roll = self.random.random()
        if roll > 0.004:
            return
        victim = self.random.choice(self.instances)
        if roll < 0.0005:
            self.crash(victim, told=self.random.random() < 0.5)
        elif roll < 0.0015:
            victim.paused_until = self.now + self.random.uniform(0.05, 6.0)
        elif roll < 0.0025:
            victim.parted = True
            self._later(self.random.uniform(0.1, 8.0), lambda: setattr(victim, "parted", False))
        elif roll < 0.003:
            self.server_up = False
            self._later(self.random.uniform(0.2, 5.0), lambda: setattr(self, "server_up", True))
        elif roll < 0.0035:
            now = victim.clock(self.now)
            if victim.paused_until <= self.now and victim.election.role is not Role.OVER:
                self._do(victim, victim.election.release(now))

    def heal(self) -> None:
        """No more faults: from here on there must soon be one leader, and it must stay."""
        self.faults = False
        self.server_up = True
        for instance in self.instances:
            instance.parted = False
            instance.paused_until = 0.0

    def _check(self) -> None:
        leaders = self.leaders()
        if len(leaders) > 1:
            raise Unsafe(f"at {self.now}: {[leader.name for leader in leaders]}")
        self.acted_s += 0.01 * len(leaders)
        epochs = [epoch for epoch, _ in self.epochs]
        if any(a >= b for a, b in itertools.pairwise(epochs)):
            raise Unsafe(f"epochs do not grow: {self.epochs}")
