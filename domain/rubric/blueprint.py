"""The blueprint as the rubric uses it: its principles, what it welcomes and what it rules out."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from domain.rubric.vocabulary import COMMON
from domain.rubric.words import stem

_PRINCIPLE = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+(.+)$")
_EMPHASIS = re.compile(r"[*_`]+")
_SENTENCE = re.compile(r"(?<=[.;!?])\s+")
_RULED_OUT = re.compile(r"\b(?:no|never|nothing|not|nor|without|does not|must not|may not)\b", re.I)
_NO_NOUN = re.compile(r"\bno ([a-z]{4,})", re.I)
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Blueprint:
    """Principles in their order. ``digest`` is the SHA-256 of the document's bytes."""

    text: str
    principles: tuple[str, ...]
    digest: str

    @cached_property
    def welcomed(self) -> frozenset[str]:
        """Stems of the sentences that say what to grow towards."""
        sentences = [s for p in self.principles for s in _SENTENCE.split(p)]
        wanted = [s for s in sentences if not _RULED_OUT.search(s)]
        return frozenset(_stems(" ".join(wanted)))

    @cached_property
    def ruled_out(self) -> Mapping[str, str]:
        """Stem of each "no ..." in the blueprint, with the principle that says it."""
        found: dict[str, str] = {}
        for principle in self.principles:
            for word in _NO_NOUN.findall(principle.lower()):
                if stem(word) not in COMMON:
                    found.setdefault(stem(word), principle)
        return found

    @cached_property
    def _read(self) -> tuple[tuple[str, frozenset[str]], ...]:
        return tuple((principle, frozenset(_stems(principle))) for principle in self.principles)

    @cached_property
    def _closest(self) -> dict[str, str]:
        return {}

    def closest(self, topic: str) -> str:
        """The principle that shares most words with a topic; "" when none shares any."""
        if topic not in self._closest:
            self._closest[topic] = self._find(topic)
        return self._closest[topic]

    def _find(self, topic: str) -> str:
        wanted = {stem(word) for word in topic.split()}
        best, most = "", 0
        for principle, words in self._read:
            if len(wanted & words) > most:
                best, most = principle, len(wanted & words)
        return best


def _stems(text: str) -> list[str]:
    stems = (stem(word) for word in _WORD.findall(text.lower()))
    return [s for s in stems if s not in COMMON]


def parse_blueprint(text: str) -> Blueprint:
    """Read a blueprint: its list items are the principles, or its paragraphs if it has no list."""
    lines = text.splitlines()
    items = [match.group(1) for line in lines if (match := _PRINCIPLE.match(line))]
    if not items:
        items = [line for line in lines if line.strip() and not line.startswith("#")]
    principles = tuple(_EMPHASIS.sub("", item).strip() for item in items)
    return Blueprint(text, principles, hashlib.sha256(text.encode()).hexdigest())
