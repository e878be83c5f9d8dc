"""The tree against the published vectors, and proofs that hold for what is true and only that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    consistent,
    included,
    inclusion_proof,
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


@given(sizes, st.data())
def test_every_leaf_is_proven_at_its_place_and_nowhere_else(size: int, data: st.DataObject) -> None:
    tree, index = leaves(size), data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(tree, index), root_of(tree)
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
    proof = consistency_proof(tree, earlier)
    old, new = root_of(tree[:earlier]), root_of(tree)
    assert consistent(earlier, size, proof, old, new)
    changed = [*tree]
    changed[data.draw(st.integers(0, earlier - 1))] = leaf_hash(b"forged")
    forged = root_of(changed)
    assert not consistent(earlier, size, consistency_proof(changed, earlier), old, forged)
    assert not consistent(earlier, size, proof, old, forged)
    assert not consistent(earlier, size, [*proof, EMPTY_ROOT], old, new)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(leaves(size), index)
    assert not included(leaf_hash(b""), index, size, [], EMPTY_ROOT)
