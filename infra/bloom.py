"""A Bloom filter of strings: what it does not hold was never added.

Source      B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970.
"""

_WIDTH = 20  # bits of a hash; Python's has room for three
_MASK = (1 << _WIDTH) - 1


class BloomFilter:
    """``text in filter`` is True for all that was added, and now and then for others.

    128 KiB, three hashes: with 50,000 added one in 400 others seems to have been, with 100,000 one
    in 65. It lasts as long as the process: Python's hash of a string is another in each.
    """

    def __init__(self) -> None:
        self._bits = bytearray((1 << _WIDTH) // 8)

    def add(self, text: str) -> None:
        for bit in _bits(text):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, text: str) -> bool:
        return all(self._bits[bit >> 3] & 1 << (bit & 7) for bit in _bits(text))


def _bits(text: str) -> tuple[int, ...]:
    code = hash(text)
    return code & _MASK, code >> _WIDTH & _MASK, code >> 2 * _WIDTH & _MASK
