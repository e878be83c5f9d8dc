"""Which messages are not as they were sealed, told from the digests kept beside the checkpoints.

The digests need no trust of their own: they count only as far as their tree has the root of a
signed checkpoint (``infra.audit_store.Checkpoints.digests``).
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

from infra.audit import Fault


def differences(expected: Sequence[bytes], found: Sequence[bytes]) -> tuple[Fault, ...]:
    """Name each message that was changed, dropped, moved or added; empty when all are the same.

    Both hold the digests of contents by position from 1 on; ``found`` may be longer by what has
    been written since. A position is that in the sealed log; of a forged one, that in the log now.
    """
    begin = 0
    while begin < min(len(expected), len(found)) and expected[begin] == found[begin]:
        begin += 1
    wanted, have = list(expected[begin:]), list(found[begin : _end(expected, found)])
    gone: dict[int, bytes] = {}  # place in the sealed log -> content
    come: dict[int, bytes] = {}  # place now -> content
    pairs: dict[int, int] = {}  # place in the sealed log -> place now, where one replaced another
    matcher = SequenceMatcher(None, wanted, have, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            gone |= {begin + i + 1: wanted[i] for i in range(i1, i2)}
            come |= {begin + j + 1: have[j] for j in range(j1, j2)}
            places = zip(range(i1, i2), range(j1, j2), strict=False)
            pairs |= {begin + i + 1: begin + j + 1 for i, j in places}
    faults = _moved(gone, come)
    for place, now in pairs.items():
        if place in gone and now in come:
            del gone[place], come[now]
            faults.append(_at(place, "changed"))
    faults += [_at(place, "dropped") for place in gone]
    faults += [_at(place, "forged: it was not there") for place in come]
    return tuple(sorted(faults, key=lambda fault: fault.position))


def _moved(gone: dict[int, bytes], come: dict[int, bytes]) -> list[Fault]:
    """Take out what has only changed its place."""
    now = {content: place for place, content in come.items()}
    faults = []
    for place, content in list(gone.items()):
        stands = now.pop(content, None)
        if stands is not None:
            del gone[place], come[stands]
            faults.append(_at(place, f"moved: it stands at {stands}"))
    return faults


def _end(expected: Sequence[bytes], found: Sequence[bytes]) -> int:
    """How far ``found`` reaches what was sealed; the rest is newer."""
    known = set(expected)
    for index in range(len(found) - 1, -1, -1):
        if found[index] in known:
            return index + 1
    return min(len(expected), len(found))


def _at(position: int, what: str) -> Fault:
    return Fault(position - 1, position, what)
