"""English and naming: plurals, singulars, identifiers; small tables and rules, nothing more."""

import keyword
import re


def bag(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


_IRREGULAR = {
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "foot": "feet",
    "goose": "geese",
    "mouse": "mice",
    "analysis": "analyses",
    "criterion": "criteria",
    "datum": "data",
    "medium": "media",
    "index": "indexes",
    "leaf": "leaves",
    "shelf": "shelves",
    "life": "lives",
    "status": "statuses",
    "bus": "buses",
    "quiz": "quizzes",
}
_UNCHANGED = bag("""
    equipment feedback inventory information metadata news series species staff stock data
    software hardware money sales logistics analytics
""")
_SINGULAR = {plural: singular for singular, plural in _IRREGULAR.items()}
_O_TAKES_ES = frozenset(("hero", "potato", "tomato", "echo", "veto", "cargo"))
_SIBILANT = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"


def plural(noun: str) -> str:
    """Return the plural of the last word of a snake_case noun (``order_line``: ``order_lines``)."""
    head, separator, word = noun.rpartition("_")
    return head + separator + _plural(word)


def singular(noun: str) -> str:
    """Return the singular of the last word of a snake_case noun; itself when it is one."""
    head, separator, word = noun.rpartition("_")
    return head + separator + _singular(word)


def identifier(text: str) -> str:
    """Return a snake_case name: ``Order Line``, ``orderLine``: ``order_line``. May be empty."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def is_keyword(name: str) -> bool:
    return keyword.iskeyword(name) or (keyword.issoftkeyword(name) and name != "type")


def _plural(word: str) -> str:
    if word in _UNCHANGED or word in _SINGULAR:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return word[:-1] + "ies"
    if word.endswith(_SIBILANT) or word in _O_TAKES_ES:
        return word + "es"
    return word + "s"


def _singular(word: str) -> str:
    if word in _UNCHANGED or word in _IRREGULAR or len(word) <= 3:
        return word
    if word in _SINGULAR:
        return _SINGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    stem = word[:-2]
    if word.endswith("es") and (stem in _O_TAKES_ES or stem.endswith(("ss", "x", "z", "ch", "sh"))):
        return stem
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
