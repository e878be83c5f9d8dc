"""The tree against the published vectors, and proofs that hold for what is true and only that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY_ROOT,
    CompactRange,
    Tree,
    consistent,
    included,
    leaf_hash,
    root_of,
)

# The inputs and roots that the Certificate Transparency implementations share.
INPUTS = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]

sizes = st.integers(1, 70)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert CompactRange().root() == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


_A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (0, 8, [_A, _B, _C]),
        (5, 8, [_D, _E, ROOTS[3]]),
        (2, 3, [ROOTS[1]]),
        (1, 5, [ROOTS[0], _B, _D]),
    ],
)
def test_audit_paths_are_the_published_ones(index: int, size: int, path: list[str]) -> None:
    assert [step.hex() for step in Tree(LEAVES).inclusion(index, size)] == path


@pytest.mark.parametrize(
    ("earlier", "later", "proof"),
    [(1, 1, []), (1, 8, [_A, _B, _C]), (6, 8, [_F, _E, ROOTS[3]]), (2, 5, [_B, _D])],
)
def test_consistency_proofs_are_the_published_ones(
    earlier: int, later: int, proof: list[str]
) -> None:
    assert [step.hex() for step in Tree(LEAVES).consistency(earlier, later)] == proof


@given(sizes, st.data())
def test_a_tree_has_the_root_and_the_proofs_of_each_of_its_beginnings(
    size: int, data: st.DataObject
) -> None:
    tree, part = Tree(leaves(size)), data.draw(st.integers(1, size))
    index, earlier = data.draw(st.integers(0, part - 1)), data.draw(st.integers(1, part))
    assert tree.root(part) == root_of(leaves(part))
    assert tree.inclusion(index, part) == Tree(leaves(part)).inclusion(index, part)
    assert included(
        leaves(size)[index], index, part, tree.inclusion(index, part), root_of(leaves(part))
    )
    assert tree.consistency(earlier, part) == Tree(leaves(part)).consistency(earlier, part)


@given(sizes, sizes)
def test_a_compact_range_goes_on_from_its_peaks(first: int, more: int) -> None:
    whole, begun = leaves(first + more), CompactRange(leaves(first))
    resumed = CompactRange.resume(begun.size, begun.peaks)
    for leaf in whole[first:]:
        resumed.append(leaf)
    assert resumed.root() == root_of(whole)
    with pytest.raises(ValueError, match="peaks"):
        CompactRange.resume(first, [*begun.peaks, EMPTY_ROOT])


@given(sizes, st.data())
def test_every_leaf_is_proven_at_its_place_and_nowhere_else(size: int, data: st.DataObject) -> None:
    tree, index = leaves(size), data.draw(st.integers(0, size - 1))
    proof, root = Tree(tree).inclusion(index, size), root_of(tree)
    assert included(tree[index], index, size, proof, root)
    assert not included(leaf_hash(b"forged"), index, size, proof, root)
    for other in {data.draw(st.integers(0, size - 1)), size} - {index}:
        assert not included(tree[index], other, size, proof, root)
    assert not included(tree[index], index, size, [*proof, EMPTY_ROOT], root)
    if proof:
        assert not included(tree[index], index, size, proof[:-1], root)


@given(sizes, st.data())
def test_a_longer_log_is_proven_to_begin_with_the_shorter_one(
    size: int, data: st.DataObject
) -> None:
    tree, earlier = leaves(size), data.draw(st.integers(1, size))
    proof = Tree(tree).consistency(earlier, size)
    old, new = root_of(tree[:earlier]), root_of(tree)
    assert consistent(earlier, size, proof, old, new)
    changed = [*tree]
    changed[data.draw(st.integers(0, earlier - 1))] = leaf_hash(b"forged")
    forged = root_of(changed)
    of_forged = Tree(changed).consistency(earlier, size)
    assert not consistent(earlier, size, of_forged, old, forged)
    assert not consistent(earlier, size, proof, old, forged)
    assert not consistent(earlier, size, [*proof, EMPTY_ROOT], old, new)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        Tree(leaves(size)).inclusion(index, size)
    assert not included(leaf_hash(b""), index, size, [], EMPTY_ROOT)
