"""Audit files: a log whole, with what anybody needs to verify it. docs/spec/5-log.md, Audit file.

Lines of text, so that a long log is written and read one leaf after the other. What is in a file is
public, or was shown to the server; ``coffret_vault.log.auditing`` verifies it.
"""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import msgspec

from coffret_vault.errors import FormatError, TooLargeError
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.sharing import GRANT, MANIFEST
from coffret_vault.log.evidence import read_bytes
from coffret_vault.log.lineage import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from coffret_vault.formats.sharing import Grant, Manifest

FORMAT = b"coffret/v1/audit\n"
MAX_LINE = 1 << 22
"""Bytes of a line, with its end: a grant may name 65,536 memories."""
MAX_LEAF_LINE = 1_024
MAX_STEPS = 1_000
MAX_GRANTS = 10_000
MAX_LEAVES = 10_000_000
_CARD, _SUCCESSION, _GRANT, _HEAD, _LEAF = "card", "succession", "grant", "head", "leaf"
_PARTS = {_CARD: 2, _SUCCESSION: 3, _GRANT: 2, _HEAD: 1}


class AppGrant(msgspec.Struct, frozen=True):
    """A grant's statement and the manifest that it names, as they were signed."""

    statement: bytes
    manifest: bytes

    def parse(self) -> tuple[Grant, Manifest]:
        """Both of them, or FormatError."""
        return GRANT.parse(self.statement), MANIFEST.parse(self.manifest)


class Preamble(msgspec.Struct, frozen=True):
    """What stands before the leaves.

    Attributes:
        card: the owner's account card, the newest.
        card_signature: its own.
        steps: the key changes that led to it from the first card, oldest first.
        grants: every grant to an app that wrote an entry, with the app's manifest.
        head: the head that the leaves lead to.
    """

    card: bytes
    card_signature: bytes
    steps: tuple[Step, ...]
    grants: tuple[AppGrant, ...]
    head: SignedHead


def write_audit(preamble: Preamble, leaves: Iterable[bytes]) -> Iterator[bytes]:
    """A file's lines."""
    yield FORMAT
    yield _line(_CARD, preamble.card, preamble.card_signature)
    for step in preamble.steps:
        yield _line(_SUCCESSION, step.card, step.succession, step.signature)
    for grant in preamble.grants:
        yield _line(_GRANT, grant.statement, grant.manifest)
    yield _line(_HEAD, preamble.head.note.encode())
    for leaf in leaves:
        yield _line(_LEAF, leaf)


def read_audit(lines: Iterable[bytes]) -> tuple[Preamble, Iterator[bytes]]:
    """What stands before the leaves, and the leaves as they are asked for; nothing is verified.

    Args:
        lines: of the file, each with its end; of a line that is longer than ``MAX_LINE`` no more
            than one byte beyond that has to be there.

    Raises:
        TooLargeError: a line, or how many there are, is beyond what any such file has.
        FormatError: it is not one, or not in its one form. Both may come with any leaf, too.
    """
    given = iter(lines)
    if next(given, b"") != FORMAT:
        message = "this is not an audit file"
        raise FormatError(message)
    card, signature = _parts(next(given, b""), _CARD)
    steps: list[Step] = []
    grants: list[AppGrant] = []
    line = next(given, b"")
    while line.startswith(b"succession "):
        _bound(len(steps), MAX_STEPS)
        before, succession, signed = _parts(line, _SUCCESSION)
        steps.append(Step(succession, signed, before))
        line = next(given, b"")
    while line.startswith(b"grant "):
        _bound(len(grants), MAX_GRANTS)
        grants.append(AppGrant(*_parts(line, _GRANT)))
        line = next(given, b"")
    try:
        head = parse_head(_parts(line, _HEAD)[0].decode())
    except UnicodeDecodeError:
        raise FormatError from None
    return Preamble(card, signature, tuple(steps), tuple(grants), head), _leaves(given)


def _leaves(lines: Iterator[bytes]) -> Iterator[bytes]:
    for at, line in enumerate(lines):
        _bound(at, MAX_LEAVES)
        if len(line) > MAX_LEAF_LINE:
            raise TooLargeError
        yield _read(line, _LEAF, 1)[0]


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, of each no more than is looked at."""
    return iter(partial(stream.readline, MAX_LINE + 1), b"")


def is_audit(data: bytes) -> bool:
    """Whether a file with this beginning means to be one."""
    return data.startswith(FORMAT)


def _parts(line: bytes, kind: str) -> Sequence[bytes]:
    return _read(line, kind, _PARTS[kind])


def _read(line: bytes, kind: str, count: int) -> list[bytes]:
    if len(line) > MAX_LINE:
        raise TooLargeError
    if not line.isascii() or not line.endswith(b"\n"):
        _refuse()
    name, *parts = line[:-1].decode("ascii").split(" ")
    if name != kind or len(parts) != count:
        _refuse()
    return [read_bytes(part) for part in parts]


def _line(kind: str, *parts: bytes) -> bytes:
    return b" ".join((kind.encode(), *map(b64encode, parts))) + b"\n"


def _bound(count: int, most: int) -> None:
    if count >= most:
        raise TooLargeError


def _refuse() -> NoReturn:
    message = "this audit file is not whole, or not in its one form"
    raise FormatError(message)
