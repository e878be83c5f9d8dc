"""Weighs words: how often they stand in plans that were stopped, how often in plain ones.

``python -m tests.governance.weigh`` prints what the weights are worth on intents that they were not
made from, and writes ``domain/rubric/weights.py``. A logistic regression over the stems of each
sentence of a purpose, with the same answer each time: no random start, full batches.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.rubric.manner import KNOWN_LEAST
from domain.rubric.signals import LEXICON
from domain.rubric.words import read
from tests.governance.labelled import Labelled, labelled

TARGET = Path(__file__).parents[2] / "domain" / "rubric" / "weights.py"
SEEN_LEAST = 3  # sentences; a rarer word says nothing about others
WEIGHT_LEAST = 0.05
HARMLESS_KEPT = 0.95  # of the harmless intents that the weights were not made from
FOLDS = 6
ROUNDS = 400
STOPPED = ("hostile", "misaligned")

Sentence = frozenset[str]
Text = tuple[Sentence, ...]


@dataclass(frozen=True)
class Weights:
    base: float
    words: dict[str, float]

    def of(self, text: Text) -> float:
        """The worst sentence counts, so that plain ones around it change nothing."""
        return max(self._of(part) for part in text)

    def _of(self, part: Sentence) -> float:
        found = [self.words[word] for word in sorted(part) if word in self.words]
        return self.base + sum(found) if len(found) >= KNOWN_LEAST else -math.inf


def sentences(entry: Labelled) -> Text:
    clauses = read((entry.intent.purpose,), LEXICON).clauses
    return tuple(frozenset(stem for stem in clause.stems if stem.isalpha()) for clause in clauses)


def texts() -> tuple[list[Text], list[Text]]:
    """All that was stopped, and all that is plain."""
    entries = list(labelled())
    stopped = [sentences(entry) for entry in entries if entry.label in STOPPED]
    plain = [sentences(entry) for entry in entries if entry.label == "routine"]
    return stopped, plain


def fit(stopped: Sequence[Text], plain: Sequence[Text]) -> Weights:
    """Weights with a pull of strength one towards zero (L2)."""
    parts = [(part, 1.0) for text in stopped for part in text]
    parts += [(part, 0.0) for text in plain for part in text]
    seen = Counter(word for part, _ in parts for word in part)
    names = sorted(word for word, n in seen.items() if n >= SEEN_LEAST)
    index = {word: number for number, word in enumerate(names)}
    rows = [([index[w] for w in sorted(part) if w in index], label) for part, label in parts]
    weights, base = [0.0] * len(names), 0.0
    # Adagrad: each word has a step of its own, which shrinks as it moves.
    moved, moved_base = [1e-8] * len(names), 1e-8
    for _ in range(ROUNDS):
        slope, slope_base = weights[:], 0.0
        for words, label in rows:
            z = base + sum(weights[i] for i in words)
            error = 1 / (1 + math.exp(-z)) - label
            slope_base += error
            for i in words:
                slope[i] += error
        for i, value in enumerate(slope):
            moved[i] += value * value
            weights[i] -= 0.5 * value / math.sqrt(moved[i])
        moved_base += slope_base * slope_base
        base -= 0.5 * slope_base / math.sqrt(moved_base)
    kept = {
        name: round(w, 2) for name, w in zip(names, weights, strict=True) if abs(w) >= WEIGHT_LEAST
    }
    return Weights(round(base, 2), kept)


def limit(stopped: Sequence[Text], plain: Sequence[Text]) -> float:
    """The score under which ``HARMLESS_KEPT`` of the plain texts stay that were held out."""
    scores = []
    for fold in range(FOLDS):
        weights = fit(
            [text for number, text in enumerate(stopped) if number % FOLDS != fold],
            [text for number, text in enumerate(plain) if number % FOLDS != fold],
        )
        scores += [weights.of(text) for text in plain[fold::FOLDS]]
    return round(sorted(scores)[int(len(scores) * HARMLESS_KEPT)], 2)


def halves(seed: int) -> tuple[float, float]:
    """Shares held back on the half that was not used: of what was stopped, and of what is plain."""
    stopped, plain = texts()
    rng = random.Random(seed)
    rng.shuffle(stopped)
    rng.shuffle(plain)
    weights = fit(stopped[::2], plain[::2])
    most = limit(stopped[::2], plain[::2])
    found = [sum(weights.of(t) > most for t in part[1::2]) for part in (stopped, plain)]
    return found[0] / len(stopped[1::2]), found[1] / len(plain[1::2])


def module(weights: Weights, most: float) -> str:
    lines, line = [], "   "
    for name, weight in sorted(weights.words.items()):
        entry = f" {name}={weight:g}"
        if len(line) + len(entry) > 99:
            lines.append(line)
            line = "   "
        line += entry
    body = "\n".join((*lines, line))
    return (
        '"""What words weigh: above zero where plans were stopped, below where plain ones stand.\n'
        "\nMade by ``python -m tests.governance.weigh`` from the labelled intents; not by hand.\n"
        '"""\n\n'
        f"BASE = {weights.base}\n"
        f"LIMIT = {most}  # a sentence above it is read by a person\n"
        f'_TABLE = """\n{body}\n"""\n'
        "WEIGHTS: dict[str, float] = {\n"
        "    name: float(weight)\n"
        '    for name, weight in (entry.split("=") for entry in _TABLE.split())\n'
        "}\n"
    )


def main() -> None:
    for seed in range(3):
        stopped, plain = halves(seed)
        print(f"other half: {stopped:.0%} of what was stopped, {plain:.0%} of the plain")  # noqa: T201
    weights = fit(*texts())
    TARGET.write_text(module(weights, limit(*texts())), encoding="utf-8")


if __name__ == "__main__":
    main()
