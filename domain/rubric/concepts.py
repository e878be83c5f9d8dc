"""Concepts: classes of meaning, and where in a clause they occur."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Place = tuple[int, int]  # first index, and one past the last
Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)  # a key by what it is, not by what is in it
class Concept:
    """A class of words: single stems, and phrases by their first stem."""

    singles: frozenset[str]
    phrases: Mapping[str, tuple[Phrase, ...]]
    heads: frozenset[str]  # every stem that a match can begin with


class Lexicon:
    """All concepts by the stems they begin with: a clause is gone through once for all of them.

    ``known``: stems that leet spelling may hide.
    """

    def __init__(self, known: frozenset[str], concepts: Iterable[Concept]) -> None:
        self.known = known
        self._begins: dict[str, tuple[list[Concept], dict[str, list[tuple[Concept, Phrase]]]]] = {}
        for concept in dict.fromkeys(concepts):
            for head in concept.heads:
                alone, followed = self._begins.setdefault(head, ([], {}))
                if head in concept.singles:  # whatever follows
                    alone.append(concept)
                    continue
                for phrase in concept.phrases[head]:
                    followed.setdefault(phrase[1], []).append((concept, phrase))

    def places(self, stems: tuple[str, ...]) -> dict[Concept, list[Place]]:
        """Where each concept that occurs does so, in order; one place at most begins at a stem."""
        found: dict[Concept, list[Place]] = {}
        begins = self._begins
        for index, stem in enumerate(stems):
            if stem not in begins:
                continue
            alone, followed = begins[stem]
            if alone:
                place = (index, index + 1)
                for concept in alone:
                    found.setdefault(concept, []).append(place)
            if not followed or index + 1 == len(stems):
                continue
            for concept, phrase in followed.get(stems[index + 1], ()):
                end = index + len(phrase)
                if stems[index:end] == phrase:
                    places = found.setdefault(concept, [])
                    if not places or places[-1][0] != index:
                        places.append((index, end))
        return found
