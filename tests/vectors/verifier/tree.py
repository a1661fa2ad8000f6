"""The Merkle tree of RFC 6962, section 2.1, by its recursive definitions.

A proof is verified by rebuilding roots from it along the definitions, not with the loop of RFC 9162
that an implementation uses.
"""

from __future__ import annotations

from vectors.verifier.encoding import sha256
from vectors.verifier.refusal import UNTRUSTWORTHY, Refused, require


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right)


def root(leaves: list[bytes]) -> bytes:
    """MTH of section 2.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    k = _split(len(leaves))
    return _node(root(leaves[:k]), root(leaves[k:]))


def inclusion_proof(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(index, leaves[:k]), root(leaves[k:])]
    return [*inclusion_proof(index - k, leaves[k:]), root(leaves[:k])]


def verify_many(leaves: dict[int, bytes], size: int, nodes: list[bytes], want: bytes) -> None:
    """Nothing, or ``untrustworthy``: leaves by index, and the subtrees that hold none of them."""
    require(all(0 <= index < size for index in leaves), UNTRUSTWORTHY)
    rest = nodes[::-1]
    got = _many_root(leaves, 0, size, rest) if size else sha256(b"")
    require(got == want and not rest, UNTRUSTWORTHY)


def _many_root(leaves: dict[int, bytes], start: int, size: int, rest: list[bytes]) -> bytes:
    if not any(start <= index < start + size for index in leaves):
        return _pop(rest)
    if size == 1:
        return sha256(b"\0" + leaves[start])
    k = _split(size)
    left = _many_root(leaves, start, k, rest)
    return _node(left, _many_root(leaves, start + k, size - k, rest))


def many_proof(indexes: set[int], leaves: list[bytes], start: int = 0) -> list[bytes]:
    """The roots of the largest subtrees without any of the leaves, from left to right."""
    if not any(start <= index < start + len(leaves) for index in indexes):
        return [root(leaves)]
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    left = many_proof(indexes, leaves[:k], start)
    return [*left, *many_proof(indexes, leaves[k:], start + k)]


def consistency_proof(first: int, leaves: list[bytes]) -> list[bytes]:
    """PROOF of section 2.1.2; empty for the empty and the whole log."""
    if first in {0, len(leaves)}:
        return []
    return _subproof(first, leaves, whole=True)


def _subproof(first: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [root(leaves)]
    k = _split(len(leaves))
    if first <= k:
        return [*_subproof(first, leaves[:k], whole=whole), root(leaves[k:])]
    return [*_subproof(first - k, leaves[k:], whole=False), root(leaves[:k])]


def _pop(proof: list[bytes]) -> bytes:
    require(proof, UNTRUSTWORTHY)
    return proof.pop()


def _climb(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    if size == 1:
        require(not proof, UNTRUSTWORTHY)
        return leaf
    k, sibling = _split(size), _pop(proof)
    if index < k:
        return _node(_climb(leaf, index, k, proof), sibling)
    return _node(sibling, _climb(leaf, index - k, size - k, proof))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], want: bytes) -> None:
    """Nothing, or ``untrustworthy``."""
    verify_inclusion_of(sha256(b"\0" + leaf), index, size, proof, want)


def verify_inclusion_of(
    hashed: bytes, index: int, size: int, proof: list[bytes], want: bytes
) -> None:
    """The same for a leaf of which the hash is known."""
    require(0 <= index < size, UNTRUSTWORTHY)
    require(_climb(hashed, index, size, list(proof)) == want, UNTRUSTWORTHY)


def grown(size: int, frontier: list[bytes], leaves: list[bytes]) -> bytes:
    """The root of a log of ``size`` leaves, known by its perfect trees, and more leaves."""
    trees = [(1 << bit, part) for bit, part in zip(_bits(size), frontier, strict=True)]
    for leaf in leaves:
        trees.append((1, sha256(b"\0" + leaf)))
        while len(trees) > 1 and trees[-1][0] == trees[-2][0]:
            (count, left), (_, right) = trees[-2:]
            trees[-2:] = [(2 * count, _node(left, right))]
    while len(trees) > 1:
        (count, left), (more, right) = trees[-2:]
        trees[-2:] = [(count + more, _node(left, right))]
    return trees[0][1] if trees else sha256(b"")


def _bits(size: int) -> list[int]:
    return [bit for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1]


def _both(first: int, size: int, proof: list[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """Roots of the first ``first`` and of all ``size`` leaves of a subtree."""
    if first == size:
        if known is None:
            known = _pop(proof)
        require(not proof, UNTRUSTWORTHY)
        return known, known
    k, sibling = _split(size), _pop(proof)
    if first <= k:
        old, new = _both(first, k, proof, known)
        return old, _node(new, sibling)
    old, new = _both(first - k, size - k, proof, None)
    return _node(sibling, old), _node(sibling, new)


def verify_consistency(
    first: int, first_root: bytes, size: int, want: bytes, proof: list[bytes]
) -> None:
    """Nothing, or ``untrustworthy``."""
    if not 0 <= first <= size:
        raise Refused(UNTRUSTWORTHY)
    if first == 0:
        require(not proof and first_root == sha256(b""), UNTRUSTWORTHY)
        require(size or want == first_root, UNTRUSTWORTHY)
        return
    roots = _both(first, size, list(proof), first_root)
    require(roots == (first_root, want), UNTRUSTWORTHY)
