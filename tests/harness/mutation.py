"""Every node of an answer, and everything that could stand there instead."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str | int, ...]

_HUGE = 2**63
_BYTES_FROM = 12
"""Base64 of at least so many characters is taken for bytes."""


class Mutation(NamedTuple):
    """One answer with one node changed: where, how, and the whole of it."""

    path: Path
    how: str
    answer: Any


def mutations(read: Any, others: tuple[Any, ...] = ()) -> Iterator[Mutation]:
    """Every mutation of every node of an answer.

    Args:
        read: gives the honest answer, new at each call.
        others: answers of the same kind: another person's, or an older one; what stands at the
            same place in them is put in too.
    """
    tree = read()
    for path in _paths(tree):
        value = _at(tree, path)
        for how, instead in _instead(value):
            yield Mutation(path, how, _put(read(), path, instead))
        yield Mutation(path, "left out", _leave_out(read(), path))
        neighbours = [("a neighbour's", tree, other) for other in _neighbours(tree, path)]
        strangers = [("another's", other, path) for other in others]
        for how, source, place in neighbours + strangers:
            found = _at(source, place)
            if found is not _NOTHING and found != value:
                yield Mutation(path, how, _put(read(), path, found))


class _Nothing:
    pass


_NOTHING = _Nothing()


def _paths(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Every node below the root, containers before what they hold; none in an empty answer."""
    if tree is None:
        return
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        try:
            tree = tree[key]
        except (LookupError, TypeError):
            return _NOTHING
    return tree


def _put(tree: Any, path: Path, value: Any) -> Any:
    _at(tree, path[:-1])[path[-1]] = value
    return tree


def _leave_out(tree: Any, path: Path) -> Any:
    del _at(tree, path[:-1])[path[-1]]
    return tree


def _neighbours(tree: Any, path: Path) -> Iterator[Path]:
    """The same place in the next item of each list that the path goes through."""
    for depth, key in enumerate(path):
        if isinstance(key, int):
            among = len(_at(tree, path[:depth]))
            if among > 1:
                yield (*path[:depth], (key + 1) % among, *path[depth + 1 :])


def _instead(value: Any) -> Iterator[tuple[str, Any]]:
    others: tuple[Any, ...] = (None, True, 7, "x", [], {})
    for other in others:
        if type(other) is not type(value):
            yield f"a {type(other).__name__}", other
    if isinstance(value, bool):
        yield "the contrary", not value
    elif isinstance(value, int):
        yield from _integers(value)
    elif isinstance(value, bytes):
        yield from _bytes(value)
    elif isinstance(value, str):
        yield from _texts(value)
    elif isinstance(value, list):
        yield from _lists(value)


def _integers(value: int) -> Iterator[tuple[str, int]]:
    for other in (0, -1, value + 1, value - 1, _HUGE):
        if other != value:
            yield f"{other - value:+d}" if abs(other - value) == 1 else "another number", other


def _bytes(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "longer", value + b"\0"
    if value:
        yield "empty", b""
        yield "shorter", value[:-1]
    for place in sorted({0, len(value) // 2, len(value) - 1} if value else ()):
        for bit in (0, 7):
            flipped = bytes([value[place] ^ 1 << bit])
            yield f"a bit of byte {place}", value[:place] + flipped + value[place + 1 :]


def _texts(value: str) -> Iterator[tuple[str, str]]:
    yield "a longer text", value + "x"
    if value:
        yield "no text", ""
        yield "a shorter text", value[:-1]
        last = "0" if value[-1] != "0" else "1"
        yield "another end", value[:-1] + last
    if len(value) >= _BYTES_FROM and len(value) % 4 == 0:
        try:
            data = b64decode(value, validate=True)
        except ValueError:
            return
        yield from ((how, b64encode(other).decode()) for how, other in _bytes(data))


def _lists(value: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    if value:
        yield "emptied", []
        yield "one twice", [value[0], *value]
        yield "the last twice", [*value, value[-1]]
    if value != value[::-1]:
        yield "backwards", value[::-1]
        yield "turned", value[1:] + value[:1]
