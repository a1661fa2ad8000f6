"""The Merkle tree against its definition."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_vault.errors import TrustError
from coffret_vault.log.tree import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    parse_frontier,
    verify_consistency,
    verify_inclusion,
)
from harness.flipping import flipped
from vectors.verifier import tree

MOST = 40
LEAVES = [bytes([n]) * (n % 5) for n in range(MOST)]
bounded = settings(max_examples=150, deadline=None)
sizes = st.integers(1, MOST)


@cache
def root(size: int) -> bytes:
    """The root by definition."""
    return tree.root(LEAVES[:size])


def test_the_frontier_has_the_root_of_the_definition_at_every_size() -> None:
    """Appending one leaf after another gives MTH of RFC 6962, and survives being stored."""
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, 1):
        before = frontier.copy()
        frontier.append(leaf)
        assert frontier.root() == root(size)
        assert before.root() == (root(size - 1) if size > 1 else EMPTY_ROOT)
        assert parse_frontier(size, frontier.serialize()).root() == root(size)


def test_inclusion_at_every_index_of_every_size() -> None:
    """Every leaf is proven included by the path of the definition, and under no other index."""
    for size in range(1, 18):
        for index in range(size):
            proof = tree.inclusion_proof(index, LEAVES[:size])
            verify_inclusion(LEAVES[index], index, size, proof, root(size))
            for other in set(range(-1, size + 1)) - {index}:
                with pytest.raises(TrustError):
                    verify_inclusion(LEAVES[index], other, size, proof, root(size))


def test_consistency_of_every_pair_of_sizes() -> None:
    """Every earlier log is proven a prefix, and no other root passes for it."""
    for second in range(18):
        for first in range(second + 1):
            proof = tree.consistency_proof(first, LEAVES[:second])
            verify_consistency(first, root(first), second, root(second), proof)
            with pytest.raises(TrustError):
                verify_consistency(first, bytes(32), second, root(second), proof)
            if first:
                with pytest.raises(TrustError):
                    verify_consistency(first, root(first), second, bytes(32), proof)


@bounded
@given(sizes, st.data())
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    """A part of the proof changed, left out, added or swapped does not verify."""
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion_proof(index, LEAVES[:size])
    for changed in _changes(proof, data):
        with pytest.raises(TrustError):
            verify_inclusion(LEAVES[index], index, size, changed, root(size))


@bounded
@given(sizes, st.data())
def test_a_changed_consistency_proof_is_refused(second: int, data: st.DataObject) -> None:
    """A part of the proof changed, left out, added or swapped does not verify."""
    first = data.draw(st.integers(1, second))
    proof = tree.consistency_proof(first, LEAVES[:second])
    for changed in _changes(proof, data):
        with pytest.raises(TrustError):
            verify_consistency(first, root(first), second, root(second), changed)


def _changes(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    at = data.draw(st.integers(0, len(proof)))
    changes = [[*proof[:at], bytes(32), *proof[at:]]]
    if at < len(proof):
        other = flipped(proof[at], 0)
        changes += [[*proof[:at], other, *proof[at + 1 :]], [*proof[:at], *proof[at + 1 :]]]
    if len(set(proof)) > 1:
        changes.append(proof[::-1])
    return changes


@bounded
@given(sizes, sizes, st.data())
def test_a_rewritten_log_is_not_consistent(first: int, more: int, data: st.DataObject) -> None:
    """If one leaf of the first log is another in the second, no proof of that shape verifies."""
    first = min(first, MOST - 1)
    second = min(first + more, MOST)
    at = data.draw(st.integers(0, first - 1))
    rewritten = [*LEAVES[:at], b"rewritten", *LEAVES[at + 1 : second]]
    proof = tree.consistency_proof(first, rewritten)
    with pytest.raises(TrustError):
        verify_consistency(first, root(first), second, tree.root(rewritten), proof)


def test_a_node_is_not_a_leaf() -> None:
    """The two hashes of a node cannot be passed off as a leaf (second preimage)."""
    node = leaf_hash(LEAVES[0]) + leaf_hash(LEAVES[1])
    with pytest.raises(TrustError):
        verify_inclusion(node, 0, 1, [], root(2))
    proof = tree.inclusion_proof(0, LEAVES[:4])[1:]
    with pytest.raises(TrustError):
        verify_inclusion(node, 0, 2, proof, root(4))
