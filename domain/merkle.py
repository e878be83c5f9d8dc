"""The Merkle tree of RFC 9162 (Certificate Transparency) over any sequence of leaves.

A ``CompactRange`` keeps only the roots of the full subtrees, so that a log of any length is hashed
as it grows in constant memory. A ``Tree`` keeps every node (64 bytes a leaf) and makes proofs from
them in a few dozen hashes; whoever checks one needs only the proof.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256().digest()
_HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The tree over the first ``size`` leaves, as its full subtrees from left to right."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        carried, size = leaf, self.size
        while size & 1:  # two full subtrees of one height become one
            carried = node_hash(self._peaks.pop(), carried)
            size >>= 1
        self._peaks.append(carried)
        self.size += 1

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the full subtrees, left to right: all that is needed to go on."""
        return tuple(self._peaks)

    @classmethod
    def resume(cls, size: int, peaks: Sequence[bytes]) -> "CompactRange":
        """The tree as it was with this size and these peaks.

        Raises:
            ValueError: a tree of that size has another number of peaks.
        """
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves does not have {len(peaks)} peaks")
        tree = cls()
        tree.size, tree._peaks = size, list(peaks)
        return tree

    def root(self) -> bytes:
        """The Merkle tree hash; that of the empty string for no leaves."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


class Tree:
    """Every node over leaf hashes, level by level, for proofs about any of its beginnings."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0]) // _HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        height, carried = 0, leaf
        while True:
            if height == len(self._levels):
                self._levels.append(bytearray())
            level = self._levels[height]
            level += carried
            if len(level) // _HASH_BYTES & 1:
                return
            carried = node_hash(*self._pair(level))
            height += 1

    def root(self, size: int | None = None) -> bytes:
        """The Merkle tree hash over the first ``size`` leaves (default: all)."""
        count = len(self) if size is None else size
        return self._root(0, count) if count else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path for the leaf at ``index`` (from 0) in the tree of the first ``size``."""
        if not 0 <= index < size <= len(self):
            raise IndexError(f"no leaf {index} in a tree of {size} of {len(self)} leaves")
        path, begin, end = [], 0, size
        while end - begin > 1:
            split = begin + _split(end - begin)
            if index < split:
                path.append(self._root(split, end))
                end = split
            else:
                path.append(self._root(begin, split))
                begin = split
        return path[::-1]

    def consistency(self, earlier: int, later: int) -> list[bytes]:
        """Show that the tree of ``earlier`` leaves is the beginning of that of ``later``."""
        if not 0 < earlier <= later <= len(self):
            raise IndexError(f"no trees of {earlier} and {later} within {len(self)} leaves")
        path, begin, end = [], 0, later
        while earlier < end:
            split = begin + _split(end - begin)
            if earlier <= split:
                path.append(self._root(split, end))
                end = split
            else:
                path.append(self._root(begin, split))
                begin = split
        if begin:  # the earlier tree is not one full subtree from the first leaf on
            path.append(self._root(begin, end))
        return path[::-1]

    def _root(self, begin: int, end: int) -> bytes:
        """The hash over the leaves ``begin`` to ``end``; ``begin`` fits the subtree's size."""
        count = end - begin
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            at = (begin >> height) * _HASH_BYTES
            return bytes(self._levels[height][at : at + _HASH_BYTES])
        split = begin + _split(count)
        return node_hash(self._root(begin, split), self._root(split, end))

    @staticmethod
    def _pair(level: bytearray) -> tuple[bytes, bytes]:
        """The newest two nodes of a level."""
        return bytes(level[-2 * _HASH_BYTES : -_HASH_BYTES]), bytes(level[-_HASH_BYTES:])


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over leaf hashes."""
    return CompactRange(leaves).root()


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that ``leaf`` is number ``index`` of the ``size`` under ``root``."""
    if not 0 <= index < size:
        return False
    position, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and current == root


def consistent(
    earlier: int, later: int, proof: Sequence[bytes], earlier_root: bytes, later_root: bytes
) -> bool:
    """Whether the proof shows that the later tree only adds to the earlier one."""
    if not 0 < earlier <= later:
        return False
    if earlier == later:
        return not proof and earlier_root == later_root
    path = [earlier_root, *proof] if earlier & (earlier - 1) == 0 else list(proof)
    if not path:
        return False
    position, last = earlier - 1, later - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and old == earlier_root and new == later_root


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)
