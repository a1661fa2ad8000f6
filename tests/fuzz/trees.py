"""Proofs over the log's tree: inclusion, consistency, many leaves; frontiers as they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coffret_vault.errors import FormatError
from coffret_vault.log.tree import inclusion_proof, leaf_hash, parse_frontier, root_of
from fuzz.choosing import Choices
from fuzz.target import Target, agreed, given_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 40
_LEAVES = [bytes([at]) for at in range(_MOST)]
_HASHES = [leaf_hash(leaf) for leaf in _LEAVES]


def _hashes(choices: Choices, real: list[bytes]) -> list[str]:
    """A proof: a real one with some of it replaced, left out or added."""
    found = list(real)
    for _ in range(choices.number() % 4):
        at, kind = choices.number() % (len(found) + 1), choices.number() % 3
        found[at : at + (kind > 0)] = [choices.fixed(32)] if kind < 2 else []
    return [part.hex() for part in found]


def _number(choices: Choices, usual: int) -> int:
    return choices.number(8) >> choices.number() % 64 if choices.number() == 255 else usual


def _check_inclusion(data: bytes) -> None:
    """Both readers agree on a proof that is real, damaged, or for absurd numbers."""
    choices = Choices(data)
    size = 1 + choices.number() % (_MOST - 1)
    index = choices.number() % size
    given: dict[str, Any] = {
        "leaf": _LEAVES[index if choices.number() % 4 else 0].hex(),
        "index": _number(choices, index),
        "size": _number(choices, size),
        "proof": _hashes(choices, inclusion_proof(_HASHES[:size], index)),
        "root": root_of(_HASHES[:size]).hex(),
    }
    agreed("inclusion", given)


def _check_consistency(data: bytes) -> None:
    """Both readers agree on two roots and any hashes between them."""
    choices = Choices(data)
    second = choices.number() % _MOST
    first = choices.number() % (second + 1)
    given: dict[str, Any] = {
        "first": _number(choices, first),
        "first_root": root_of(_HASHES[:first]).hex(),
        "second": _number(choices, second),
        "second_root": root_of(_HASHES[:second]).hex(),
        "proof": _hashes(choices, _consistency_proof(_HASHES[:second], first)),
    }
    agreed("consistency", given)


def _consistency_proof(hashes: list[bytes], first: int, *, whole: bool = True) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    if first in {0, len(hashes)}:
        return [] if whole or not first else [root_of(hashes)]
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    if first <= middle:
        left = _consistency_proof(hashes[:middle], first, whole=whole)
        return [*left, root_of(hashes[middle:])]
    right = _consistency_proof(hashes[middle:], first - middle, whole=False)
    return [*right, root_of(hashes[:middle])]


def _check_many(data: bytes) -> None:
    """Both readers agree on many leaves at once, with any nodes."""
    choices = Choices(data)
    size = choices.number() % _MOST
    count = choices.number() % 6
    indexes = sorted({choices.number() % (size + 1) for _ in range(count)})
    nodes = _nodes(_HASHES[:size], [index for index in indexes if index < size])
    given: dict[str, Any] = {
        "leaves": [[_number(choices, index), _LEAVES[index].hex()] for index in indexes],
        "size": _number(choices, size),
        "nodes": _hashes(choices, nodes),
        "root": root_of(_HASHES[:size]).hex(),
    }
    if len({index for index, _ in given["leaves"]}) == len(indexes):
        agreed("many-leaves", given)


def _nodes(hashes: list[bytes], indexes: list[int]) -> list[bytes]:
    if not indexes:
        return [root_of(hashes)] if hashes else []
    if len(hashes) == 1:
        return []
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    left = _nodes(hashes[:middle], [index for index in indexes if index < middle])
    right = [index - middle for index in indexes if index >= middle]
    return left + _nodes(hashes[middle:], right)


def _check_frontier(data: bytes) -> None:
    """A kept frontier is refused or is written as it was, and goes on growing."""
    choices = Choices(data)
    size, kept = choices.number(8), choices.rest()
    try:
        frontier = parse_frontier(size, kept)
    except FormatError:
        return
    assert frontier.serialize() == kept
    frontier.root()
    frontier.append(b"leaf")
    assert len(frontier.hashes) == (size + 1).bit_count()


def _number_seeds() -> Iterator[bytes]:
    for first, second in ((1, 0), (7, 3), (8, 8), (20, 19), (39, 32)):
        yield bytes((first, second, 1, 0, 0, 0))
        yield bytes((first, second, 1, 0, 0, 1, 0, 0)) + bytes(32)


def _many_seeds() -> Iterator[bytes]:
    for size, *indexes in ((0,), (1, 0), (7, 0, 3, 6), (20, 1, 2, 19), (33, 32)):
        yield bytes((size, len(indexes), *indexes, *(0 for _ in indexes), 0, 0))


def _frontier_seeds() -> Iterator[bytes]:
    for given in given_of("tree", "tree-root"):
        size = len(given["leaves"])
        yield size.to_bytes(8, "big") + bytes(32 * size.bit_count())


TARGETS = (
    Target("inclusion", _check_inclusion, _number_seeds, 512),
    Target("consistency", _check_consistency, _number_seeds, 512),
    Target("many-leaves", _check_many, _many_seeds, 512),
    Target("frontier", _check_frontier, _frontier_seeds, 2100),
)
