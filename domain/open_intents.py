"""The open intents, arranged so that a likeness among very many is found without asking each.

Two wishes alike beyond ``SIMILARITY_MAX`` differ in few letter triples. Cut into more pieces than
that, the bits of both are the same in some; so each intent is known by the content of each piece,
and only who shares enough of them is compared. The answer is exact, never a guess.

Memory      about 5 KB an open intent
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from struct import Struct

from domain.intake import SIMILARITY_MAX, WISH_BITS, OpenIntent, Wish, alike, wish_of

# For a, b alike: |a ^ b| = |a| + |b| - 2 |a & b| < _DIFFER (|a| + |b|), and |a| > _RATIO |b|.
_DIFFER = 1 - SIMILARITY_MAX
_RATIO = SIMILARITY_MAX / (2 - SIMILARITY_MAX)
_STEP = 1.5  # wishes of up to this many times the size are cut into equally many pieces
_BYTES = WISH_BITS // 8
_PIECES_MAX = 160  # smaller ones say too little: very long wishes are compared with one another


class OpenIntents:
    """Open intents by id, name and likeness. Mutable: one holder keeps it up to date."""

    def __init__(self, intents: Iterable[OpenIntent] = ()) -> None:
        self._by_id: dict[str, OpenIntent] = {}
        self._by_name: dict[str, dict[str, OpenIntent]] = {}
        self._sizes: dict[int, _Likes] = {}
        self.update(intents)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, intent_id: str) -> bool:
        return intent_id in self._by_id

    def __iter__(self) -> Iterator[OpenIntent]:
        return iter(self._by_id.values())

    def add(self, intent: OpenIntent) -> None:
        """Take it in, in place of one with the same id."""
        self.update((intent,))

    def update(self, intents: Iterable[OpenIntent]) -> None:
        """Take all of them in, the last of each id, in place of one with the same id."""
        sizes: dict[int, list[OpenIntent]] = {}
        for intent_id, intent in {intent.intent_id: intent for intent in intents}.items():
            self.remove(intent_id)
            self._by_id[intent_id] = intent
            self._by_name.setdefault(intent.service_name, {})[intent_id] = intent
            sizes.setdefault(_size_class(intent.wish.size), []).append(intent)
        for size, of_size in sizes.items():
            if size not in self._sizes:
                self._sizes[size] = _Likes(size)
            self._sizes[size].update(of_size)

    def remove(self, intent_id: str) -> None:
        """Forget it; nothing happens when it is not there."""
        intent = self._by_id.pop(intent_id, None)
        if intent is None:
            return
        same = self._by_name[intent.service_name]
        del same[intent_id]
        if not same:
            del self._by_name[intent.service_name]
        self._sizes[_size_class(intent.wish.size)].remove(intent)

    def twin(self, service_name: str, purpose: str) -> OpenIntent | None:
        """An open intent that asks for the same: same name, or name and purpose too alike."""
        if same := self._by_name.get(service_name):
            return next(iter(same.values()))
        wish = wish_of(service_name, purpose)
        for size in _alike_sizes(wish.size):
            if size in self._sizes:
                for other in self._sizes[size].candidates(wish):
                    if alike(wish, other.wish):
                        return other
        return None


class _Likes:
    """The open intents of one size class by the content of their pieces."""

    def __init__(self, size: int) -> None:
        self._largest = _STEP ** (size + 1)
        # Two are the same in those alike; more would say more and cost more (measured).
        pieces = self._differ(self._largest / _RATIO) + 2
        if pieces > _PIECES_MAX:
            self._cut = Struct(f"0s0s{_BYTES}x").unpack  # all share the same two: nothing
        else:
            ends = pairwise(n * _BYTES // pieces for n in range(pieces + 1))
            self._cut = Struct("".join(f"{end - start}s" for start, end in ends)).unpack
        self._known: list[dict[bytes, set[OpenIntent] | OpenIntent]]
        self._known = [{} for _ in self._cut(bytes(_BYTES))]

    def update(self, intents: Sequence[OpenIntent]) -> None:
        cut = zip(*(self._pieces(intent.wish) for intent in intents), strict=True)
        for known, pieces in zip(self._known, cut, strict=True):
            for piece, intent in zip(pieces, intents, strict=True):
                there = known.setdefault(piece, intent)
                if there is intent:
                    continue  # mostly it is the only one: a set would take much more
                if isinstance(there, set):
                    there.add(intent)
                else:
                    known[piece] = {there, intent}

    def remove(self, intent: OpenIntent) -> None:
        for known, piece in zip(self._known, self._pieces(intent.wish), strict=True):
            there = known[piece]
            if isinstance(there, set):
                there.remove(intent)
            if there is intent or not there:
                del known[piece]

    def candidates(self, wish: Wish) -> Iterable[OpenIntent]:
        """Everyone who may be alike, and perhaps some others.

        Anyone alike shares all pieces but ``differ``; so of any ``differ + 2`` at least two, and
        we ask for the rarest.
        """
        pieces = self._pieces(wish)
        found = [there for there in map(dict.get, self._known, pieces) if there is not None]
        left = self._differ(wish.size) - len(pieces) + len(found)
        once: set[OpenIntent] = set()
        twice: set[OpenIntent] = set()
        if left >= 0:
            for others in sorted(map(_several, found), key=len)[: left + 2]:
                twice.update(once.intersection(others))
                once.update(others)
        return twice

    def _differ(self, size: int | float) -> int:
        """In how many triples a wish of this size may differ from one alike in this class."""
        return int(_DIFFER * (size + min(self._largest, size / _RATIO)))

    def _pieces(self, wish: Wish) -> tuple[bytes, ...]:
        return self._cut(wish.bits.to_bytes(_BYTES, "little"))


def _several(there: set[OpenIntent] | OpenIntent) -> Collection[OpenIntent]:
    return there if isinstance(there, set) else (there,)


@lru_cache(maxsize=4096)
def _size_class(count: int) -> int:
    size = 0
    while _STEP ** (size + 1) <= count:
        size += 1
    return size


def _alike_sizes(count: int) -> range:
    """The classes in which a set alike to one of this size may be."""
    return range(_size_class(int(count * _RATIO)), _size_class(int(count / _RATIO) + 1) + 1)
