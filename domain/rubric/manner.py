"""The manner of a sentence: does it weigh like the plain records people keep, or like other plans?

One more signal, and a strict one: it takes an intent before a person and never lets one pass. The
weights come from the labelled intents; what they are worth on others stands in docs/governance.md.
"""

from domain.rubric.weights import BASE, LIMIT, WEIGHTS
from domain.rubric.words import Clause

KNOWN_LEAST = 4  # words; a sentence with fewer says too little to be weighed
_NAMED = 3  # words


def unlike_records(clause: Clause) -> str:
    """The words that weigh most, with their weights, where the sentence is over the limit; or "".

    A word counts once, however often it stands there.
    """
    found = {word: WEIGHTS[word] for word in clause.stems if word in WEIGHTS}
    if len(found) < KNOWN_LEAST or BASE + sum(found.values()) <= LIMIT:
        return ""
    spoken = dict(zip(clause.stems, clause.words, strict=True))
    heaviest = sorted(found, key=lambda word: (-found[word], word))[:_NAMED]
    return ", ".join(f"{spoken[word]} {found[word]:+.2f}" for word in heaviest)
