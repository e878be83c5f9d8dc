"""The open intents, arranged so that a likeness among very many is found without asking each.

Two sets alike beyond ``SIMILARITY_MAX`` differ in few trigrams. Dealt into more parts than that (by
their hash), most parts of both must be the same; so each intent is known by the content of each of
its parts, and only who shares enough of them is compared. The answer is exact, never a guess.

Memory      about 8 KB an open intent
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from domain.intake import SIMILARITY_MAX, OpenIntent, similarity, trigrams

# For a, b alike: |a ^ b| = |a| + |b| - 2 |a & b| < _DIFFER (|a| + |b|), and |a| > _RATIO |b|.
_DIFFER = 1 - SIMILARITY_MAX
_RATIO = SIMILARITY_MAX / (2 - SIMILARITY_MAX)
_EMPTY = frozenset((0,))
_STEP = 1.5  # sets of up to this many times the size are dealt into equally many parts


class OpenIntents:
    """Open intents by id, name and likeness. Mutable: one holder keeps it up to date."""

    def __init__(self, intents: Iterable[OpenIntent] = ()) -> None:
        self._by_id: dict[str, OpenIntent] = {}
        self._by_name: dict[str, dict[str, OpenIntent]] = {}
        self._sizes: dict[int, _Likes] = {}
        for intent in intents:
            self.add(intent)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, intent_id: str) -> bool:
        return intent_id in self._by_id

    def __iter__(self) -> Iterator[OpenIntent]:
        return iter(self._by_id.values())

    def add(self, intent: OpenIntent) -> None:
        """Take it in, in place of one with the same id."""
        self.remove(intent.intent_id)
        self._by_id[intent.intent_id] = intent
        self._by_name.setdefault(intent.service_name, {})[intent.intent_id] = intent
        size = _size_class(len(intent.grams))
        if size not in self._sizes:
            self._sizes[size] = _Likes(size)
        self._sizes[size].add(intent)

    def remove(self, intent_id: str) -> None:
        """Forget it; nothing happens when it is not there."""
        intent = self._by_id.pop(intent_id, None)
        if intent is None:
            return
        same = self._by_name[intent.service_name]
        del same[intent_id]
        if not same:
            del self._by_name[intent.service_name]
        self._sizes[_size_class(len(intent.grams))].remove(intent)

    def twin(self, service_name: str, purpose: str) -> OpenIntent | None:
        """An open intent that asks for the same: same name, or name and purpose too alike."""
        if same := self._by_name.get(service_name):
            return next(iter(same.values()))
        grams = trigrams(service_name, purpose)
        for size in _alike_sizes(len(grams)):
            if size in self._sizes:
                for other in self._sizes[size].candidates(grams):
                    if similarity(grams, other.grams) > SIMILARITY_MAX:
                        return other
        return None


class _Likes:
    """The open intents of one size class by the content of their parts."""

    def __init__(self, size: int) -> None:
        self._largest = _STEP ** (size + 1)
        differ = int(_DIFFER * self._largest * (1 + 1 / _RATIO))
        self._parts = 2 + differ + differ // 3
        self._known: dict[int, tuple[OpenIntent, ...] | OpenIntent] = {}
        self._last: tuple[frozenset[str], frozenset[int]] = frozenset(), frozenset()
        self._members: dict[str, OpenIntent] = {}

    def add(self, intent: OpenIntent) -> None:
        self._members[intent.intent_id] = intent
        for part in self._dealt(intent.grams):
            there = self._known.get(part)
            if there is None:
                self._known[part] = intent  # mostly the only one: a tuple would cost as much again
            else:
                self._known[part] = (*_several(there), intent)

    def remove(self, intent: OpenIntent) -> None:
        del self._members[intent.intent_id]
        for part in self._dealt(intent.grams):
            there = self._known[part]
            if there is intent:
                del self._known[part]
                continue
            rest = tuple(i for i in _several(there) if i.intent_id != intent.intent_id)
            if rest:
                self._known[part] = rest
            else:
                del self._known[part]

    def candidates(self, grams: frozenset[str]) -> Iterable[OpenIntent]:
        """Everyone who may be alike, and perhaps some others.

        Of the parts that are not empty all but ``differ`` are shared with anyone alike; so of any
        ``differ + 1`` at least one, and we ask for the rarest.
        """
        differ = int(_DIFFER * (len(grams) + min(self._largest, len(grams) / _RATIO)))
        parts = self._dealt(grams)
        if len(parts) <= differ:
            return tuple(self._members.values())
        found, unshared = [], 0
        for part in parts:
            there = self._known.get(part)
            if there is not None:
                found.append(there)
            elif unshared == differ:
                return ()
            else:
                unshared += 1
        several = sorted(map(_several, found), key=len)[: differ + 1 - unshared]
        return {other.intent_id: other for others in several for other in others}.values()

    def _dealt(self, grams: frozenset[str]) -> frozenset[int]:
        """The content of each part that is not empty, as a number."""
        if self._last[0] is grams:  # whoever has no twin is taken in next
            return self._last[1]
        count = self._parts
        parts = [0] * count
        for number in map(hash, grams):
            parts[number % count] ^= number
        dealt = frozenset(parts) - _EMPTY
        self._last = grams, dealt
        return dealt


def _several(there: tuple[OpenIntent, ...] | OpenIntent) -> tuple[OpenIntent, ...]:
    return there if isinstance(there, tuple) else (there,)


@lru_cache(maxsize=4096)
def _size_class(count: int) -> int:
    size = 0
    while _STEP ** (size + 1) <= count:
        size += 1
    return size


def _alike_sizes(count: int) -> range:
    """The classes in which a set alike to one of this size may be."""
    return range(_size_class(int(count * _RATIO)), _size_class(int(count / _RATIO) + 1) + 1)
