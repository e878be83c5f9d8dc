"""A Bloom filter of strings with one hash function: what it does not hold was never added.

Source      B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970.
"""

_BITS = 1 << 20  # 128 KiB; with 100,000 added, one in eleven others seems to have been, too


class BloomFilter:
    """``text in filter`` is True for all that was added, and now and then for others.

    It lasts as long as the process: Python's hash of a string is another in each.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)

    def add(self, text: str) -> None:
        bit = hash(text) % _BITS
        self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, text: str) -> bool:
        bit = hash(text) % _BITS
        return bool(self._bits[bit >> 3] & 1 << (bit & 7))
