"""From text to clauses of stems: what the rubric compares, made hard to hide from.

Invariants  look-alike letters, invisible characters, spaced-out and camelCase words read as what a
            person would read; ``Reading.disguised`` says that such a thing was found.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domain.rubric.concepts import Concept, Lexicon, Place

# Letters of other scripts that look like Latin ones.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһԛԝАЕОРСХІЈЅВНКМТαοιεκντυρχ",
    "aeopcyxijsdhqwAEOPCXIJSBHKMTaoiekvtupx",
)
_LEET = str.maketrans("0134578@$", "oieastbas")
_SPACED = re.compile(r"\b(?:[A-Za-z][ .\-_*]){3,}[A-Za-z]\b")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_POSSESSIVE = re.compile(r"['’]s\b")  # noqa: RUF001 (the typographic one is meant)
# A search is quick where the pattern begins with a class of characters.
_SENTENCE = re.compile(r"[.;!?\n\r](?:[.;!?\n\r]*(?:\s|$)|(?<=[;!?\n\r]))")
_WORD = re.compile(r"[a-z0-9@$]+|,|:")
_DIGIT = re.compile(r"[0-9@$]")
_DIGIT_INSIDE = re.compile(r"^(?=.*[a-z])(?=.*[0-9@$])[a-z0-9@$]{4,}$")
_BLOB = re.compile(r"[A-Za-z0-9+/=_\-]{40,}")


CLAUSE_CHARS_MAX = 1000
STEMS_KEPT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence, or one listed feature: its stems in order, and the text it came from."""

    stems: tuple[str, ...]  # ``,`` and ``:`` are kept: they bound what a "never" speaks about
    words: tuple[str, ...]
    text: str
    places: Mapping[Concept, list[Place]]  # of the concepts that occur in it


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as the rubric reads it. ``disguised`` names each trick that was undone."""

    clauses: tuple[Clause, ...]
    text: str  # cleaned, lower case
    disguised: tuple[str, ...]


class Turns:
    """Turns of phrase by name, each a pattern that begins with a word (so do all of its branches).

    A text is searched once for any of them: most texts hold none.
    """

    def __init__(self, *named: tuple[str, str]) -> None:
        self._named = tuple((name, re.compile(rf"\b(?:{pattern})")) for name, pattern in named)
        together = "|".join(pattern for _, pattern in named)
        self._any = re.compile(rf"\b(?=\w)(?:{together})")

    def found(self, text: str) -> Iterator[tuple[str, str]]:
        """The name of each that occurs, in their order, and where it first does so."""
        if self._any.search(text) is None:
            return
        for name, pattern in self._named:
            match = pattern.search(text)
            if match is not None:
                yield name, match.group()


class _Stems(dict[str, str]):
    """Words come again: a stem is worked out once. Emptied when there are too many of them."""

    def __missing__(self, word: str) -> str:
        if len(self) >= STEMS_KEPT_MAX:
            self.clear()
        self[word] = found = _stem(word)
        return found


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending, least in (("ing", 6), ("ed", 5), ("ion", 7)):
        if len(word) >= least and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


# A crude stem; the vocabulary goes through the same function, so it only has to be stable.
stem = _Stems().__getitem__


def read(texts: Iterable[str], lexicon: Lexicon) -> Reading:
    """Read several texts, each a clause or more, and find the concepts in each clause."""
    clauses: list[Clause] = []
    disguised: dict[str, None] = {}
    cleaned: list[str] = []
    for text in texts:
        clean = _clean(text, disguised)
        cleaned.append(clean.lower())
        for sentence in _SENTENCE.split(clean):
            parts = (sentence,) if len(sentence) <= CLAUSE_CHARS_MAX else _parts(sentence)
            for part in parts:
                clause = _clause(part, lexicon, disguised)
                if clause is not None:
                    clauses.append(clause)
    return Reading(tuple(clauses), "\n".join(cleaned), tuple(disguised))


def _parts(sentence: str) -> tuple[str, ...]:
    """Of an endless sentence, pieces that overlap: work stays linear in the text."""
    step = CLAUSE_CHARS_MAX - 200
    return tuple(
        sentence[start : start + CLAUSE_CHARS_MAX] for start in range(0, len(sentence), step)
    )


def _clean(text: str, disguised: dict[str, None]) -> str:
    if text.isascii():
        plain = text
    else:
        visible = text if text.isprintable() else _visible(text)
        if visible != text:
            disguised["invisible characters"] = None
        plain = _latin(unicodedata.normalize("NFKC", visible), disguised)
    if _SPACED.search(plain):
        disguised["spaced-out words"] = None
        plain = _SPACED.sub(lambda m: re.sub(r"[ .\-_*]", "", m.group()), plain)
    plain = _POSSESSIVE.sub("", plain)
    if _BLOB.search(plain):
        disguised["an encoded block"] = None
    return plain


def _visible(text: str) -> str:
    return "".join([c for c in text if unicodedata.category(c) not in ("Cf", "Co", "Cn")])


def _latin(text: str, disguised: dict[str, None]) -> str:
    if text.translate(_LOOKALIKES) != text:
        text = " ".join([_unlike(word, disguised) for word in text.split(" ")])
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join([c for c in decomposed if not unicodedata.combining(c)])


def _unlike(word: str, disguised: dict[str, None]) -> str:
    """The word in Latin letters, where some of its letters are Latin and some only look so."""
    swapped = word.translate(_LOOKALIKES)
    if swapped == word or not any(c.isascii() and c.isalpha() for c in word):
        return word
    disguised["look-alike letters"] = None
    return swapped


def _clause(sentence: str, lexicon: Lexicon, disguised: dict[str, None]) -> Clause | None:
    text = sentence.strip()
    lower = text.lower()
    if lower[1:] != text[1:]:  # capitals inside
        lower = _CAMEL.sub(" ", text).lower()
    words = tuple(_WORD.findall(lower))
    if not words:
        return None
    stems = tuple(map(stem, words))
    if _DIGIT.search(lower):
        stems = tuple(_undigited(word, lexicon.known, disguised) for word in words)
    return Clause(stems, words, text, lexicon.places(stems))


def _undigited(word: str, known: frozenset[str], disguised: dict[str, None]) -> str:
    """The stem of a word, or of the known one that is written with digits in it."""
    found = stem(word)
    if word.isalpha() or found in known or not _DIGIT_INSIDE.match(word):
        return found
    plain = stem(word.translate(_LEET))
    if plain not in known:
        return found
    disguised["letters written as digits"] = None
    return plain
