"""The vault's Merkle tree as RFC 6962 hashes it: a frontier that grows, and proofs.

The frontier holds the roots of the perfect subtrees that a tree of `size` leaves is made of,
largest first: all that is needed to add a leaf and to know the root. The hash of every full run of
`TILE` leaves is kept as well, and of every `TILE` such runs (a wide one), so that a proof reads at
most two runs of leaves, the hashes of two wide ones' runs, and those of wide ones: of ten million
leaves a thousand hashes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

DIGEST: Final = 32
TILE_LEVEL: Final = 8
TILE: Final = 1 << TILE_LEVEL
WIDE_LEVEL: Final = 2 * TILE_LEVEL
WIDE: Final = 1 << WIDE_LEVEL
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def wide(index: int) -> int:
    """Where the hash of a wide run is kept, beside those of the others: below zero."""
    return -1 - index


class Frontier:
    """A tree that only grows.

    Attributes:
        size: how many leaves it has.
        tiles: `(index, hash)` of the full runs of leaves completed since it was loaded; of a wide
            one the index is what `wide` makes of it.
    """

    __slots__ = ("_nodes", "size", "tiles")

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        self.size = size
        self._nodes = [packed[at : at + DIGEST] for at in range(0, len(packed), DIGEST)]
        self.tiles: list[tuple[int, bytes]] = []

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Add leaf hashes at the end."""
        for digest in hashes:
            self._add(digest)

    def _add(self, digest: bytes) -> None:
        level, size = 0, self.size
        while size & 1:
            digest = node_hash(self._nodes.pop(), digest)
            size >>= 1
            level += 1
            if level == TILE_LEVEL:
                self.tiles.append((size, digest))
            elif level == WIDE_LEVEL:
                self.tiles.append((wide(size), digest))
        self._nodes.append(digest)
        self.size += 1

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root

    def packed(self) -> bytes:
        """The frontier as it is stored."""
        return b"".join(self._nodes)


class Hashes(Protocol):
    """Where a proof finds hashes."""

    def tile(self, index: int) -> bytes:
        """The hash of the full run of leaves number `index`, or of a wide one."""
        ...

    def leaves(self, start: int, stop: int) -> Sequence[bytes]:
        """Leaf hashes of a range shorter than a run."""
        ...


def subtree(hashes: Hashes, start: int, stop: int) -> bytes:
    """The hash MTH(D[start:stop]) of RFC 6962 §2.1.

    `start` is a multiple of the run's length, or the range lies inside one run.
    """
    count = stop - start
    if count == WIDE and start % WIDE == 0:
        return hashes.tile(wide(start // WIDE))
    if count == TILE and start % TILE == 0:
        return hashes.tile(start // TILE)
    if count < TILE:
        return _root_of(hashes.leaves(start, stop))
    middle = start + _split(count)
    return node_hash(subtree(hashes, start, middle), subtree(hashes, middle, stop))


def _root_of(leaves: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion(hashes: Hashes, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf in the tree of `size` leaves (RFC 6962 §2.1.1)."""
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(subtree(hashes, middle, stop))
            stop = middle
        else:
            path.append(subtree(hashes, start, middle))
            start = middle
    return path[::-1]


def consistency(hashes: Hashes, first: int, size: int) -> list[bytes]:
    """The proof that the tree of `first` leaves begins that of `size` (RFC 6962 §2.1.2)."""
    if first in {0, size}:
        return []
    path: list[bytes] = []
    start, stop, whole = 0, size, True
    while first - start != stop - start:
        middle = start + _split(stop - start)
        if first <= middle:
            path.append(subtree(hashes, middle, stop))
            stop = middle
        else:
            path.append(subtree(hashes, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(subtree(hashes, start, stop))
    return path[::-1]


def batch(hashes: Hashes, indexes: Sequence[int], size: int) -> list[bytes]:
    """What it takes to come from some leaves to the root of `size` leaves.

    The roots of the largest subtrees that hold none of them, from left to right.

    Args:
        hashes: where hashes are found.
        indexes: of the leaves, ascending, each once, below `size`.
        size: the tree's.
    """
    found: list[bytes] = []
    waiting = [(0, size, 0, len(indexes))]
    while waiting:
        start, stop, first, last = waiting.pop()
        if first == last:
            found.append(subtree(hashes, start, stop))
        elif stop - start > 1:
            middle = start + _split(stop - start)
            cut = bisect_left(indexes, middle, first, last)
            waiting += [(middle, stop, cut, last), (start, middle, first, cut)]
    return found
