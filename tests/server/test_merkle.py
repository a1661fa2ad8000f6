"""The growing tree and its proofs, against the definitions of RFC 6962."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

from coffret_server import merkle


def tree(leaves: Sequence[bytes]) -> bytes:
    """MTH as the RFC defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF as the RFC defines it."""
    if first == len(leaves):
        return [] if whole else [tree(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        return [*subproof(first, leaves[:split], whole=whole), tree(leaves[split:])]
    return [*subproof(first - split, leaves[split:], whole=False), tree(leaves[:split])]


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH as the RFC defines it."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*path(index, leaves[:split]), tree(leaves[split:])]
    return [*path(index - split, leaves[split:]), tree(leaves[:split])]


LEAVES = [b"leaf %d" % number for number in range(600)]


class Hashes:
    """The hashes of `LEAVES`, tiles made by the frontier itself."""

    def __init__(self) -> None:
        frontier = merkle.Frontier()
        frontier.extend(map(merkle.leaf_hash, LEAVES))
        self.tiles = dict(frontier.tiles)

    def tile(self, index: int) -> bytes:
        """The hash of a full run."""
        return self.tiles[index]

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """Leaf hashes inside one run."""
        assert start // merkle.TILE == (stop - 1) // merkle.TILE
        return [merkle.leaf_hash(leaf) for leaf in LEAVES[start:stop]]


def test_the_frontier_has_every_root() -> None:
    """At every size the root is the RFC's, also after storing and loading the frontier."""
    frontier = merkle.Frontier()
    assert frontier.root() == tree([])
    for size, leaf in enumerate(LEAVES[:300], 1):
        frontier = merkle.Frontier(frontier.size, frontier.packed())
        frontier.extend([merkle.leaf_hash(leaf)])
        assert frontier.root() == tree(LEAVES[:size])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 600])
def test_proofs_are_those_of_the_rfc(size: int) -> None:
    """Inclusion and consistency proofs equal the recursive definitions."""
    hashes = Hashes()
    picked = sorted({0, 1, size // 3, size // 2, 255, 256, size - 2, size - 1} & set(range(size)))
    for index in picked:
        assert merkle.inclusion(hashes, index, size) == path(index, LEAVES[:size])
    for first in [*picked, size]:
        expected = subproof(first, LEAVES[:size], whole=True) if first else []
        assert merkle.consistency(hashes, first, size) == expected


@pytest.mark.parametrize("size", [15, 16, 17, 64, 95, 100, 256, 300, 599, 600])
def test_wide_runs_are_parts_of_proofs(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Where there are wide runs, here of 16 leaves, proofs are what they are without."""
    small_runs(monkeypatch)
    hashes = Hashes()
    assert min(hashes.tiles) == merkle.wide(len(LEAVES) // 16 - 1)
    for index in {0, 1, 15, 16, size // 3, size // 2, size - 1} & set(range(size)):
        assert merkle.inclusion(hashes, index, size) == path(index, LEAVES[:size])
        expected = subproof(index, LEAVES[:size], whole=True) if index else []
        assert merkle.consistency(hashes, index, size) == expected


def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 4 leaves, and wide ones of 16."""
    small = {"TILE_LEVEL": 2, "TILE": 4, "WIDE_LEVEL": 4, "WIDE": 16}
    for name, value in small.items():
        monkeypatch.setattr(merkle, name, value)


def many(indexes: Sequence[int], start: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The largest subtrees without any of these leaves, by recursion over all leaves."""
    if not any(start <= index < start + len(leaves) for index in indexes):
        return [tree(leaves)]
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left = many(indexes, start, leaves[:split])
    return [*left, *many(indexes, start + split, leaves[split:])]


@pytest.mark.parametrize("size", [1, 2, 7, 255, 256, 257, 513, 600])
def test_many_leaves_are_proven_at_once(size: int) -> None:
    """The parts are the largest subtrees beside the leaves, whichever leaves these are."""
    for step in (1, 2, 3, 100, size):
        indexes = list(range(size // 3, size, step))
        assert merkle.batch(Hashes(), indexes, size) == many(indexes, 0, LEAVES[:size])
    assert merkle.batch(Hashes(), [], size) == [tree(LEAVES[:size])]
