"""The one way to write to a stream: groups of messages, each group all or nothing.

A lone message is a plain publish. Several messages of one group are one atomic batch. When groups
pile up and the server's own times say that a batch is quicker, many groups go into one batch,
each with its own conditions; a refused batch is halved until the culprit stands alone, so that
one writer's conflict never fails another's append.

Delivery    at most once a call: no answer means "perhaps"; the caller looks and repeats.
Measured    an fsync costs 0.3-0.8 ms a message; a batch 3-4 ms whatever its size (docs/log.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import orjson

from infra.nats import api
from infra.nats.connection import Connection

ACK_TIMEOUT_S = 2.0
BATCH_MESSAGES_MAX = 1000
BATCH_BYTES_MAX = 4 * 1024 * 1024
WINDOW = 1024  # messages without an answer
RUN_MAX = 64  # groups that are handed over together
PROBE_EVERY = 20  # batches
SURPRISE = 0.7
PROBE_MIN = 8  # messages
PROBE_MAX = 128
APPEND_S = (0.000_02, 0.000_2)  # what a message may cost this process, its caller included
LEARN_FROM = 50  # messages
BACK_SHARE = 0.9  # of those who are expected: then the next batch goes
BACK_MIN = 0.5  # of those for whom we waited must have come, or we do not wait for the next
BACK_FORGET = 0.01  # a batch; then we try again
WAITED_SHARE = 0.1  # of a batch's time: idle for less, we may have been what it waited for
SPLIT_BELOW = 8  # a refused batch this small is tried one by one

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID = "Nats-Msg-Id"


class Message(msgspec.Struct, frozen=True, gc=False):
    """``expected``: the last position on ``guard`` ("": its own subject), None for any.

    ``id`` is what the server recognises a repeat by, ``headers`` any others, as lines on the wire
    (``header_lines``).
    """

    subject: str
    payload: bytes
    id: str = ""
    expected: int | None = None
    guard: str = ""
    headers: str = ""


class Ack(NamedTuple):
    """``first``..``last`` are the stream positions of the group's messages, in order."""

    first: int
    last: int
    duplicate: bool


class NoAnswer(Exception):
    """No answer in time, or the connection was lost: it may or may not have been written."""


class Denied(Exception):
    """The server's permissions forbid publishing to this subject."""


class TooLarge(Exception):
    """The server takes no message of this size; nothing was sent."""


class _Place:
    """One group's answer in a run: what a future would be, without one each."""

    __slots__ = ("_index", "_run")

    def __init__(self, run: "_Run", index: int) -> None:
        self._run = run
        self._index = index

    def done(self) -> bool:
        return self._run.answer.done() or self._run.firsts[self._index] is not None

    def set_result(self, ack: Ack) -> None:
        self._run.settle(self._index, ack.first)

    def set_exception(self, error: Exception) -> None:
        self._run.settle(self._index, error)


class _Run:
    """Groups that were handed over together, and of each the first position or the error.

    Single messages that go at once are sent and remembered as one; an answer names its place.
    """

    batch = False
    groups: "Sequence[_Group]" = ()
    __slots__ = ("answer", "firsts", "generation", "left", "messages", "sent_at")

    def __init__(self, answer: "asyncio.Future[list[int | Exception]]", count: int) -> None:
        self.answer = answer
        self.firsts: list[int | Exception | None] = [None] * count
        self.left = count
        self.messages: Sequence[Message] = ()  # once they are on their way
        self.sent_at = 0.0
        self.generation = 0

    @property
    def count(self) -> int:
        """Messages without an answer."""
        return self.left

    def settle(self, index: int, first: int | Exception) -> None:
        """For one of them; what comes later for the same one does not count."""
        if self.firsts[index] is None:
            self.firsts[index] = first
            self.left -= 1
            if not self.left and not self.answer.done():
                self.answer.set_result(self.firsts)  # type: ignore[arg-type]

    def fail(self, error: Exception) -> None:
        """All that have no answer."""
        for index, first in enumerate(self.firsts):
            if first is None:
                self.settle(index, error)

    def concerns(self, subject: str) -> bool:
        return any(message.subject == subject for message in self.messages)


@dataclass(slots=True, eq=False)
class _Group:
    messages: Sequence[Message]
    answer: "asyncio.Future[Ack] | _Place"

    @property
    def guards(self) -> set[str]:
        """The subjects that its conditions name."""
        return {m.guard or m.subject for m in self.messages if m.expected is not None}

    @property
    def ids(self) -> list[str]:
        return [m.id for m in self.messages if m.id]


class _Pack:
    """Groups that one batch can hold.

    The server refuses a batch in which a condition names a subject that an earlier message of
    the same batch writes, or in which a message id comes twice: such groups wait.
    """

    def __init__(self, most: int, busy: set[str] | None) -> None:
        self.groups: list[_Group] = []
        self._most = most  # groups
        self._room = BATCH_MESSAGES_MAX
        self._bytes = BATCH_BYTES_MAX
        self._busy = busy  # guards that other writes on their way hold; None: no matter
        self._written: set[str] = set()
        self._ids: set[str] = set()

    def full(self, group: _Group) -> bool:
        """Whether the group is one too many; a first one always fits."""
        self._room -= len(group.messages)
        for message in group.messages:
            self._bytes -= len(message.payload)
        full = len(self.groups) >= self._most or self._room < 0 or self._bytes < 0
        return full and bool(self.groups)

    def take(self, group: _Group) -> bool:
        """Add the group unless it must not travel with what is there."""
        guards, ids = group.guards, group.ids
        if not (guards.isdisjoint(self._written) and self._ids.isdisjoint(ids)):
            return False
        if self._busy is not None and not guards.isdisjoint(self._busy):
            return False
        self.groups.append(group)
        self._ids.update(ids)
        for message in group.messages:
            self._written.add(message.subject)
        return True


@dataclass(slots=True)
class _Sent:
    groups: Sequence[_Group]
    count: int
    batch: bool
    alone: bool  # nothing else was on its way
    sent_at: float = 0.0
    generation: int = 0

    def fail(self, error: Exception) -> None:
        for group in self.groups:
            _reject(group, error)

    def concerns(self, subject: str) -> bool:
        return any(m.subject == subject for group in self.groups for m in group.messages)


class Costs:
    """What the server makes us wait, learned from its answers (seconds).

    A single message: the time in which we had nothing to do while answers came in, over their
    count, fading. While we are busy the server is not what anybody waits for, and packing would
    gain nothing. A batch: from sending to the answer, when nothing else was on its way; if we were
    busy all the time the answer may have lain there, so that it counts only as "at most".
    """

    MESSAGE_S = 0.000_015  # of each message in a batch, ours and the server's
    FADE = 0.9
    FADE_PROBE = 0.3  # nothing else was going on: that says more than all before

    def __init__(self) -> None:
        self._single_time_s = 0.0004
        self._single_count = 1.0
        self.batch_s = 0.0035  # on top of its messages
        self.append_s = APPEND_S[0]  # CPU time of this process a message, callers' threads too

    @property
    def single_s(self) -> float:
        return self._single_time_s / self._single_count

    def batch_pays(self, messages: int) -> bool:
        return messages * (self.single_s - self.MESSAGE_S) > self.batch_s

    def halves_pay(self, messages: int) -> bool:
        """Whether two halves by turns are quicker than the whole: the server writes one while
        the callers of the other come back."""
        return messages * self.append_s > self.batch_s

    @property
    def probe(self) -> int:
        """How many single messages tell something: about as long as a batch would take."""
        return max(PROBE_MIN, min(PROBE_MAX, int(self.batch_s / max(self.single_s, 1e-6))))

    def saw_singles(self, count: int, waited_s: float, *, probe: bool = False) -> None:
        fade = self.FADE_PROBE if probe else self.FADE
        self._single_time_s = self._single_time_s * fade + min(waited_s, 0.1)
        self._single_count = self._single_count * fade + count
        self.batch_s += 0.001 * (0.0035 - self.batch_s)  # forget a slow batch, try another one day

    def saw_appends(self, count: int, cpu_s: float) -> None:
        low, high = APPEND_S
        self.append_s += 0.1 * (min(max(cpu_s / count, low), high) - self.append_s)

    def saw_batch(self, count: int, took_s: float, *, waited: bool = True) -> None:
        overhead_s = min(max(took_s - count * self.MESSAGE_S, 0.0005), 0.05)
        if overhead_s < self.batch_s:
            self.batch_s += 0.5 * (overhead_s - self.batch_s)
        elif waited:
            # Our own threads and the disk's other users are in it, too: be slow to believe it.
            # Packing too early costs little, too late the server's time for each single one.
            self.batch_s += 0.02 * (overhead_s - self.batch_s)


class StreamWriter:
    """Writes groups of messages. ``serial_guards``: on several replicas only one write a guarded
    subject may be in flight (the server refuses the others with 10164), so the rest wait here and
    travel together.
    """

    def __init__(
        self,
        nc: Connection,
        *,
        serial_guards: bool = False,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        window: int = WINDOW,
        pack: bool = True,
        batch_max: int = BATCH_MESSAGES_MAX,
    ) -> None:
        self.costs = Costs()
        self.batches = 0
        self.singles = 0
        self._nc = nc
        self.serial_guards = serial_guards
        self._timeout_s = ack_timeout_s
        self._window = window
        self._pack = pack
        self._batch_max = batch_max  # of one group; groups are packed up to BATCH_MESSAGES_MAX
        self._waiting: deque[_Group] = deque()
        self._sent: dict[int, _Sent | _Run] = {}
        self._guards: set[str] = set()
        self._unanswered = 0
        self._batches_out = 0
        self._token = 0
        self._batch_number = 0
        self._generation = 0
        self._singles_now = 0  # answers in this turn of the event loop
        self._singles_since = 0.0
        self._batch_now: _Sent | None = None
        self._answered_now = 0  # messages, since we last looked at the CPU time
        self._last_turn = self._last_busy = self._last_cpu = 0.0
        self._turning = False
        self._gathering = False
        self._woken = 0  # groups of batches that were answered in this turn
        self._expected = 0  # groups to wait for before the next batch
        self._missing = 0  # of them, when we began to wait
        self._back = 1.0  # the share of the missing that came in time, lately
        self._linger: asyncio.TimerHandle | None = None
        self._packs = 0
        self._probe_at = 0  # packs after which a few go singly
        self._probing = False
        self._probe_answered = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def start(self) -> "StreamWriter":
        """Listen for answers; call once before the first publish."""
        self._loop = asyncio.get_running_loop()
        inbox = self._nc.new_inbox()
        self._name = inbox.rsplit(".", 1)[-1]
        self._inbox = f"{inbox}."
        self._prefix_length = len(self._inbox)
        self._subscription = await self._nc.tap(f"{inbox}.*", self._answered)
        self._nc.on_reconnect.append(self._reconnected)
        self._nc.on_denied.append(self._denied)
        return self

    async def close(self) -> None:
        """Stop listening; whoever waits gets ``NoAnswer``."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._linger is not None:
            self._linger.cancel()
        self._nc.on_reconnect.remove(self._reconnected)
        self._nc.on_denied.remove(self._denied)
        for token in tuple(self._sent):
            self._take(token).fail(NoAnswer("closed"))
        while self._waiting:
            _reject(self._waiting.popleft(), NoAnswer("closed"))
        await self._nc.untap(self._subscription)

    async def publish(self, messages: Sequence[Message]) -> Ack:
        """Write all or nothing and return the positions.

        Raises:
            api.Refused: the server refuses (a condition does not hold, a limit, ...).
            api.NoStream: no stream takes these subjects, or JetStream is just starting.
            NoAnswer: no answer in time; it may have been written.
            Denied: no permission.
            TooLarge: one of the messages is larger than the server takes.
            ValueError: more messages than a batch can hold.
        """
        return await self.send(messages)

    def send(self, messages: Sequence[Message]) -> "asyncio.Future[Ack]":
        """As ``publish``, but return at once with the answer to come."""
        if self._closed:
            raise NoAnswer("closed")
        self._check(messages)
        answer: asyncio.Future[Ack] = self._loop.create_future()
        group = _Group(messages, answer)
        if self._waiting or self.serial_guards or self._hold():
            self._waiting.append(group)
            self._more_wait()
        else:
            self._send_alone(group)
        return answer

    def send_each(
        self, groups: Sequence[Sequence[Message]]
    ) -> "asyncio.Future[list[int | Exception]]":
        """As ``send`` for each of up to ``RUN_MAX`` groups, with one answer for all of them: the
        position of each one's first message, or the error that ``publish`` would have raised.

        Raises:
            ValueError: more messages in a group than a batch can hold; nothing was sent.
        """
        assert len(groups) <= RUN_MAX
        run = _Run(self._loop.create_future(), len(groups))
        if self._closed:
            run.fail(NoAnswer("closed"))
        single, limit = True, self._nc.max_payload
        for index, messages in enumerate(groups):
            if len(messages) == 1 and len(messages[0].payload) <= limit:
                continue
            single = False
            try:
                self._check(messages)
            except TooLarge as error:
                run.settle(index, error)
        if single and not self._closed and self._goes_at_once(len(groups)):
            self._send_run(run, [messages[0] for messages in groups])
        else:
            self._waiting.extend(
                _Group(messages, _Place(run, index))
                for index, messages in enumerate(groups)
                if run.firsts[index] is None
            )
            self._more_wait()
        return run.answer

    def _check(self, messages: Sequence[Message]) -> None:
        if not 0 < len(messages) <= self._batch_max:
            raise ValueError(f"an append holds 1 to {self._batch_max} events")
        limit = self._nc.max_payload
        for message in messages:
            if len(message.payload) > limit:
                raise TooLarge(
                    f"{message.subject}: {len(message.payload)} bytes, the server takes {limit}"
                )

    def _goes_at_once(self, count: int) -> bool:
        """Whether so many single messages may go now, and a batch would not be quicker."""
        if self._waiting or self.serial_guards or self._hold():
            return False
        return not (self._pack and self.costs.batch_pays(self._unanswered + count))

    def _more_wait(self) -> None:
        if self._linger is not None and len(self._waiting) >= self._expected:
            self._lingered()
        else:
            self._pump()

    # Which group goes next, and how

    def _pump(self) -> None:
        """Send what may go now; every answer calls this again."""
        while self._waiting and not self._closed and not self._hold():
            if self._pack and self._batch_pays():
                if not self._send_packed():
                    return
                continue
            group = self._oldest()
            if group is None:
                return
            self._send_alone(group)

    def _batch_pays(self) -> bool:
        """Whether what waits had better go as one batch. Of groups with several messages each is a
        batch anyway."""
        several = len(self._waiting[0].messages) > 1 and len(self._waiting) > 1
        return several or self.costs.batch_pays(len(self._waiting))

    def _hold(self) -> bool:
        """Whether to let groups pile up: so much is on its way that a batch will be quicker."""
        if self._gathering or self._unanswered >= self._window:
            return True
        if self._batches_out:
            return True
        self._probing = self._probing and self._unanswered > 0
        if self._probing:
            return True
        return self._pack and self.costs.batch_pays(self._unanswered)

    def _send_packed(self) -> bool:
        """What waits, as a batch; now and then a few singly, to learn what that would take (which
        groups of several messages would not tell).

        Returns whether anything went that others may follow.
        """
        self._packs += 1
        if self._packs > self._probe_at and len(self._waiting[0].messages) == 1:
            self._probe_at = self._packs + PROBE_EVERY
            for _ in range(self.costs.probe):
                group = self._oldest()
                if group is not None:
                    self._send_alone(group)
            # Nothing else until they are answered, or we measure ourselves.
            self._probing, self._probe_answered = True, False
            return False
        groups = self._together()
        if len(groups) == 1:
            self._send_alone(groups[0])
        elif groups:
            self._send_batch(groups)
        return bool(groups)

    def _oldest(self) -> _Group | None:
        if not self.serial_guards:
            return self._waiting.popleft() if self._waiting else None
        for index, group in enumerate(self._waiting):
            if group.guards.isdisjoint(self._guards):
                del self._waiting[index]
                return group
        return None

    def _together(self) -> Sequence[_Group]:
        """As many waiting groups as one batch can hold, oldest first."""
        most = len(self._waiting) + self._woken
        if self.costs.halves_pay(most):
            most = (most + 1) // 2
        pack = _Pack(most, self._guards if self.serial_guards else None)
        later: deque[_Group] = deque()
        while self._waiting:
            group = self._waiting.popleft()
            if group.answer.done():  # given up by its caller
                continue
            if pack.full(group):
                self._waiting.appendleft(group)
                break
            if not pack.take(group):
                later.append(group)
        later.extend(self._waiting)
        self._waiting = later
        return pack.groups

    # To the server

    def _send_single(self, group: _Group) -> None:
        token = self._register((group,), 1, batch=False)
        self.singles += 1
        self._push(token, _line(group.messages[0], f"{self._inbox}{token * RUN_MAX}"))

    def _send_run(self, run: _Run, messages: Sequence[Message]) -> None:
        run.messages = messages
        token = self._remember(run)
        self.singles += len(messages)
        inbox, first = self._inbox, token * RUN_MAX
        lines = [_line(m, f"{inbox}{reply}") for reply, m in enumerate(messages, first)]
        self._push(token, b"".join(lines))

    def _send_batch(self, groups: Sequence[_Group]) -> None:
        messages = [message for group in groups for message in group.messages]
        token = self._register(groups, len(messages), batch=True)
        self.batches += 1
        self._batch_number += 1
        batch = f"Nats-Batch-Id: {self._name}{self._batch_number}\r\nNats-Batch-Sequence: "
        reply = f"{self._inbox}{token * RUN_MAX}"
        last = len(messages)
        lines = [
            # The first asks for an answer too: early errors reach only the one who asks.
            _line(
                message,
                reply if index in (1, last) else "",
                f"{batch}{index}\r\n" + ("Nats-Batch-Commit: 1\r\n" if index == last else ""),
            )
            for index, message in enumerate(messages, 1)
        ]
        self._push(token, b"".join(lines))

    def _register(self, groups: Sequence[_Group], count: int, *, batch: bool) -> int:
        for group in groups if self.serial_guards else ():
            self._guards |= group.guards
        return self._remember(_Sent(groups, count, batch, not self._unanswered))

    def _remember(self, sent: _Sent | _Run) -> int:
        """Note what is about to be sent; its reply subjects begin at ``RUN_MAX`` times this."""
        self._token += 1
        sent.sent_at = self._loop.time()
        sent.generation = self._generation if self._nc.is_connected else self._generation + 1
        self._sent[self._token] = sent
        self._unanswered += sent.count
        self._batches_out += sent.batch
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._timeout_s, self._sweep)
        return self._token

    def _push(self, token: int, lines: bytes) -> None:
        if not self._nc.push(lines):
            self._take(token).fail(NoAnswer("not connected, and too much is waiting"))

    # From the server

    def _answered(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        token, place = divmod(int(subject[self._prefix_length :]), RUN_MAX)
        sent = self._sent.get(token)
        if sent is None:
            return  # timed out; whoever waited has been told
        nobody = headers is not None and b" 503" in headers[:14]
        if isinstance(sent, _Run):
            self._settle_place(token, sent, place, api.NoStream() if nobody else _first(data))
        elif nobody:
            self._take(token).fail(api.NoStream())
            self._loop.call_soon(self._pump)
        elif data:  # an empty answer only says that the batch has begun
            self._take(token)
            self._settle(sent, data)

    def _settle_place(self, token: int, run: _Run, place: int, first: int | Exception) -> None:
        if run.firsts[place] is not None:
            return
        if not self._singles_now:
            self._first_single(run.sent_at)
        self._singles_now += 1
        self._unanswered -= 1
        run.settle(place, first)
        if not run.left:
            del self._sent[token]

    def _settle(self, sent: _Sent, data: bytes) -> None:
        self._learn(sent)
        try:
            answer = api.parse(data)
        except api.Refused as error:
            self._refused(sent, error)
            return
        position = int(answer["seq"]) - sent.count
        duplicate = bool(answer.get("duplicate"))
        for group in sent.groups:
            first = position + 1
            position += len(group.messages)
            if not group.answer.done():
                group.answer.set_result(Ack(first, position, duplicate))

    def _first_single(self, sent_at: float) -> None:
        """The first answer to a single message in this turn."""
        self._singles_since = sent_at
        self._turn_soon()

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _learn(self, sent: _Sent) -> None:
        if not sent.batch:
            if not self._singles_now:
                self._first_single(sent.sent_at)
            self._singles_now += 1
            return
        self._turn_soon()
        self._answered_now += sent.count
        self._gathering = True
        self._woken += len(sent.groups)
        if sent.alone:
            self._batch_now = sent

    def _turn(self) -> None:
        """All answers that came together have been dealt with: learn, and send what waits."""
        now, busy = self._loop.time(), time.thread_time()
        idle_s = max(0.0, (now - self._last_turn) - (busy - self._last_busy))
        if self._singles_now:
            waited_s = min(now - max(self._singles_since, self._last_turn), idle_s)
            self._saw_singles(self._singles_now, waited_s)
            self._answered_now += self._singles_now
        if (batch := self._batch_now) is not None:
            took_s = now - batch.sent_at
            self.costs.saw_batch(batch.count, took_s, waited=idle_s > took_s * WAITED_SHARE)
            self._batch_now = None
        if self._answered_now >= LEARN_FROM:
            cpu_s = time.process_time()
            self.costs.saw_appends(self._answered_now, cpu_s - self._last_cpu)
            self._answered_now, self._last_cpu = 0, cpu_s
        self._last_turn, self._last_busy = now, busy
        self._singles_now, self._turning = 0, False
        if not self._gathering or self._linger is not None:
            self._pump()
        elif self.costs.halves_pay(len(self._waiting) + self._woken) and self._enough():
            self._gathered()
        else:
            # Those who got their answer in a batch run next and may have more: take them along.
            self._expected = round((len(self._waiting) + self._woken) * BACK_SHARE)
            self._loop.call_soon(self._gather)

    def _enough(self) -> bool:
        """Whether those who wait are about as many as those who have just been answered."""
        return len(self._waiting) * 2 >= self._woken

    def _gather(self) -> None:
        """Callers in other threads take longer: wait for them, too, if most came back lately.

        A batch costs the server the same whatever its size, so that the crowd's way back is
        time well spent as long as it is shorter than a batch.
        """
        self._missing = self._expected - len(self._waiting)
        self._back = min(self._back + BACK_FORGET, 1.0)
        wait_s = min(self.costs.batch_s, 2 * self._missing * self.costs.append_s)
        if (
            self._missing <= 0
            or self._woken < 2
            or self._back < BACK_MIN
            or not self._pack
            or not self.costs.batch_pays(self._expected)
            or self.costs.halves_pay(self._expected)
        ):
            self._gathered()
        else:
            self._linger = self._loop.call_later(wait_s, self._lingered)

    def _lingered(self) -> None:
        """Enough are back, or the time is over."""
        back = 1 - max(self._expected - len(self._waiting), 0) / self._missing
        self._back += 0.3 * (back - self._back)
        self._gathered()

    def _saw_singles(self, count: int, waited_s: float) -> None:
        known_s = self.costs.single_s
        if self._probing:
            # The way there and back is in the time of the first answers; the rest show the rate.
            first, self._probe_answered = not self._probe_answered, True
            if first and self._unanswered and waited_s > count * known_s:
                return
        self.costs.saw_singles(count, waited_s, probe=self._probing)
        if self._probing and self.costs.single_s < known_s * SURPRISE:
            self._probe_at = self._packs  # quicker than thought: look again before the next batch

    def _gathered(self) -> None:
        self._gathering = False
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._pump()
        self._woken = 0

    def _refused(self, sent: _Sent, error: api.Refused) -> None:
        if len(sent.groups) == 1:
            _reject(sent.groups[0], error)
        elif len(sent.groups) <= SPLIT_BELOW:
            for group in sent.groups:
                self._send_alone(group)
        else:
            half = len(sent.groups) // 2
            self._send_batch(sent.groups[:half])
            self._send_batch(sent.groups[half:])

    def _send_alone(self, group: _Group) -> None:
        if group.answer.done():
            return
        if len(group.messages) == 1:
            self._send_single(group)
        else:
            self._send_batch((group,))

    def _take(self, token: int) -> _Sent | _Run:
        sent = self._sent.pop(token)
        self._unanswered -= sent.count
        self._batches_out -= sent.batch
        for group in sent.groups if self.serial_guards else ():
            self._guards -= group.guards
        return sent

    # No answer

    def _sweep(self) -> None:
        self._sweeper = None
        limit = self._loop.time() - self._timeout_s
        self._fail_all(
            (t for t, s in self._sent.items() if s.sent_at <= limit), "no answer in time"
        )
        if self._sent:
            oldest = next(iter(self._sent.values())).sent_at
            self._sweeper = self._loop.call_at(oldest + self._timeout_s + 0.001, self._sweep)
        self._pump()

    def _reconnected(self) -> None:
        """What went to the old connection will not be answered; what waited for this one will."""
        self._generation += 1
        lost = (t for t, s in self._sent.items() if s.generation < self._generation)
        self._fail_all(lost, "the connection was lost")
        self._pump()

    def _fail_all(self, tokens: Iterable[int], why: str) -> None:
        for token in tuple(tokens):
            self._take(token).fail(NoAnswer(why))

    def _denied(self, subject: str) -> None:
        denied = Denied(f"no permission to write to {subject}")
        for token in [t for t, sent in self._sent.items() if sent.concerns(subject)]:
            sent = self._sent[token]
            if isinstance(sent, _Run):
                for place, message in enumerate(sent.messages):
                    if message.subject == subject:
                        self._settle_place(token, sent, place, denied)
                continue
            self._take(token)
            if len(sent.groups) > 1:
                self._refused(sent, api.Refused(0, "denied"))  # only the culprit may fail
            else:
                sent.fail(denied)
        self._pump()


def _reject(group: _Group, error: Exception) -> None:
    if not group.answer.done():
        group.answer.set_exception(error)


def _first(data: bytes) -> int | Exception:
    answer = orjson.loads(data)
    if "error" in answer:
        return api.refused(answer["error"])
    position: int = answer["seq"]
    return position


def _line(message: Message, reply: str, extra: str = "") -> bytes:
    payload, headers = message.payload, message.headers
    if message.id:
        headers = f"{MESSAGE_ID}: {message.id}\r\n{headers}"
    if message.expected is not None:
        headers = f"{headers}{EXPECTED}: {message.expected}\r\n"
        if message.guard:
            headers = f"{headers}{EXPECTED_SUBJECT}: {message.guard}\r\n"
    if not (headers or extra):
        head = f"PUB {message.subject} {reply} {len(payload)}\r\n".encode()
        return b"".join((head, payload, b"\r\n"))
    block = f"NATS/1.0\r\n{headers}{extra}\r\n"
    size = len(block) if block.isascii() else len(block.encode())
    head = f"HPUB {message.subject} {reply} {size} {size + len(payload)}\r\n{block}".encode()
    return b"".join((head, payload, b"\r\n"))


def header(value: str) -> str:
    """A header value that cannot end its line; the fact itself stands in the body."""
    return value.replace("\r", " ").replace("\n", " ").strip()


def header_lines(headers: Mapping[str, str]) -> str:
    """As they stand in a message."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
