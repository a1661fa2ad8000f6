"""The Merkle tree of RFC 6962, section 2.1, kept as its frontier.

A frontier is the roots of the perfect subtrees that make up a log of ``size`` leaves, largest
first: enough to append and to know the root, 32 bytes for each one-bit of the size.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING

from coffret_vault.errors import FormatError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
_HASH = 32


def leaf_hash(leaf: bytes) -> bytes:
    """``H(00 ‖ leaf)``."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``H(01 ‖ left ‖ right)``."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """A log's size and the roots of its perfect subtrees."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Begin with ``size`` leaves under ``hashes``.

        Raises:
            FormatError: there are not as many hashes as the size has one-bits.
        """
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            message = "a frontier does not fit its size"
            raise FormatError(message)

    def copy(self) -> Frontier:
        """An independent frontier of the same log."""
        return Frontier(self.size, self.hashes)

    def append(self, leaf: bytes) -> None:
        """Take one more leaf."""
        self.append_hash(leaf_hash(leaf))

    def append_hash(self, current: bytes) -> None:
        """Take one more leaf, by its hash."""
        hashes = self.hashes
        carry = self.size
        while carry & 1:
            current = node_hash(hashes.pop(), current)
            carry >>= 1
        hashes.append(current)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self.hashes:
            return EMPTY_ROOT
        current = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            current = node_hash(left, current)
        return current

    def serialize(self) -> bytes:
        """The hashes one after another; the size is kept beside them."""
        return b"".join(self.hashes)


def parse_frontier(size: int, data: bytes) -> Frontier:
    """Read what :meth:`Frontier.serialize` wrote.

    Raises:
        FormatError: the bytes do not fit the size.
    """
    if len(data) % _HASH:
        message = "a frontier does not fit its size"
        raise FormatError(message)
    return Frontier(size, (data[i : i + _HASH] for i in range(0, len(data), _HASH)))


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Verify that ``leaf`` is at ``index`` of a log of ``size`` leaves (RFC 9162, 2.1.3.2).

    Raises:
        TrustError: it is not, or the proof is of another shape.
    """
    if _climb(index, size, leaf_hash(leaf), proof)[0] != root:
        raise TrustError(_INCLUSION)


def prefix_root(hashed: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bytes:
    """The root over the first ``index`` leaves, out of the inclusion proof of the leaf after them.

    What stands to the left of a leaf on its way up is the frontier of the log before it, so an
    inclusion proof fixes what any log under that root held at that size.

    Args:
        hashed: the leaf's hash.
        index: the leaf's index, and the size that is asked about; at least 1.
        size: the log's.
        proof: the leaf's inclusion proof.
        root: the log's.

    Raises:
        TrustError: the proof does not verify.
    """
    found, left = _climb(index, size, hashed, proof)
    if found != root:
        raise TrustError(_INCLUSION)
    return Frontier(index, left[::-1]).root()


def _climb(
    index: int, size: int, current: bytes, proof: Sequence[bytes]
) -> tuple[bytes, list[bytes]]:
    """The root over a leaf's hash by its proof, and the parts that stand to its left, upwards."""
    if not 0 <= index < size:
        raise TrustError(_INCLUSION)
    fn, sn, left = index, size - 1, []
    for part in proof:
        if not sn:
            raise TrustError(_INCLUSION)
        if fn & 1 or fn == sn:
            left.append(part)
            current = node_hash(part, current)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, part)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise TrustError(_INCLUSION)
    return current, left


def verify_batch(
    leaves: Mapping[int, bytes], size: int, nodes: Sequence[bytes], root: bytes
) -> None:
    """Verify many leaves of one log at once. docs/spec/5-log.md, Many leaves.

    Args:
        leaves: the hash of each leaf by its index.
        size: the log's.
        nodes: the roots of the largest subtrees that hold none of them, from left to right.
        root: the log's.

    Raises:
        TrustError: a leaf is not at its index, or the proof is of another shape.
    """
    indexes, given = sorted(leaves), iter(nodes)

    def climb(start: int, stop: int, first: int, last: int) -> bytes:
        if first == last:
            return next(given)
        if stop - start == 1:
            return leaves[start]
        middle = start + (1 << (stop - start - 1).bit_length() - 1)
        cut = bisect_left(indexes, middle, first, last)
        left = climb(start, middle, first, cut)
        return node_hash(left, climb(middle, stop, cut, last))

    try:
        if indexes and not 0 <= indexes[0] <= indexes[-1] < size:
            raise TrustError(_INCLUSION)
        found = climb(0, size, 0, len(indexes)) if size else EMPTY_ROOT
        if found != root or next(given, None) is not None:
            raise TrustError(_INCLUSION)
    except StopIteration:
        raise TrustError(_INCLUSION) from None


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion proof of a leaf (RFC 6962, 2.1.1), from the hashes of all leaves."""
    path: list[bytes] = []
    start, stop = 0, len(hashes)
    while stop - start > 1:
        middle = start + (1 << (stop - start - 1).bit_length() - 1)
        if index < middle:
            path.append(root_of(hashes[middle:stop]))
            stop = middle
        else:
            path.append(root_of(hashes[start:middle]))
            start = middle
    return path[::-1]


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over leaves with these hashes."""
    frontier = Frontier()
    for digest in hashes:
        frontier.append_hash(digest)
    return frontier.root()


_INCLUSION = "an inclusion proof does not verify"
_CONSISTENCY = "a consistency proof does not verify: the log was not only appended to"


def verify_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Verify that the first log is a prefix of the second (RFC 9162, 2.1.4.2).

    Raises:
        TrustError: it is not, or the proof is of another shape.
    """
    if not 0 <= first <= second or (not first and first_root != EMPTY_ROOT):
        raise TrustError(_CONSISTENCY)
    if first == second or not first:
        if proof or (first == second and first_root != second_root):
            raise TrustError(_CONSISTENCY)
        return
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path or _walk_consistency(first - 1, second - 1, path) != (first_root, second_root):
        raise TrustError(_CONSISTENCY)


def _walk_consistency(fn: int, sn: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for part in path[1:]:
        if not sn:
            return None
        if fn & 1 or fn == sn:
            old, new = node_hash(part, old), node_hash(part, new)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, part)
        fn, sn = fn >> 1, sn >> 1
    return None if sn else (old, new)
