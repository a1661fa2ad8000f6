"""The frontier's edges; proofs are in tests/properties and tests/vectors."""

import pytest

from coffret_vault.errors import FormatError, TrustError
from coffret_vault.log.tree import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    node_hash,
    parse_frontier,
    verify_consistency,
    verify_inclusion,
)


def test_a_frontier_has_as_many_hashes_as_its_size_has_ones() -> None:
    """What does not fit its size is refused."""
    for size, count in ((1, 0), (2, 2), (3, 1), (0, 1), (7, 4)):
        with pytest.raises(FormatError):
            Frontier(size, [bytes(32)] * count)


@pytest.mark.parametrize(
    ("size", "data"), [(1, bytes(31)), (1, bytes(33)), (1, b""), (2, bytes(64))]
)
def test_a_stored_frontier_fits_its_size(size: int, data: bytes) -> None:
    """Bytes that are cut or belong to another size are refused."""
    with pytest.raises(FormatError):
        parse_frontier(size, data)


def test_leaf_and_node_hashes_are_apart() -> None:
    """A leaf with the bytes of a node has another hash."""
    left, right = bytes(32), b"\1" * 32
    assert leaf_hash(left + right) != node_hash(left, right)


def test_a_copy_goes_its_own_way() -> None:
    """Appending to a copy leaves the frontier as it was."""
    frontier = Frontier()
    frontier.append(b"one")
    copy = frontier.copy()
    copy.append(b"two")
    assert (frontier.size, copy.size) == (1, 2)
    assert frontier.root() == leaf_hash(b"one")


def test_nothing_is_included_in_the_empty_log() -> None:
    """An index has to be below the size."""
    for index, size in ((0, 0), (-1, 1), (1, 1), (5, 2)):
        with pytest.raises(TrustError):
            verify_inclusion(b"leaf", index, size, [], EMPTY_ROOT)


def test_the_empty_log_is_a_prefix_of_every_log() -> None:
    """From the empty log, with its root and no proof, to any; not from anything else of size 0."""
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 5, bytes(32), [])
    for first_root, second, second_root, proof in (
        (bytes(32), 5, bytes(32), []),
        (EMPTY_ROOT, 0, bytes(32), []),
        (EMPTY_ROOT, 5, bytes(32), [bytes(32)]),
    ):
        with pytest.raises(TrustError):
            verify_consistency(0, first_root, second, second_root, proof)


@pytest.mark.parametrize(("first", "second"), [(5, 4), (-1, 4), (4, -1), (-2, -1), (3, 7), (4, 8)])
def test_sizes_that_make_no_sense_are_refused(first: int, second: int) -> None:
    """A shorter log, a negative size, or a missing proof is no consistency."""
    with pytest.raises(TrustError):
        verify_consistency(first, bytes(32), second, bytes(32), [])
