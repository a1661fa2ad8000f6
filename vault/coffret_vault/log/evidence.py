"""Evidence: what a device keeps when a log contradicts itself. docs/spec/5-log.md, Evidence.

A file holds public things only, and is judged with nothing but itself: the owner's card, two heads
that the owner's key signed, and what shows that they, or the entries that came with them, cannot
belong to one log. ``coffret_vault.log.judging`` says what follows.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Annotated

import msgspec

from coffret_vault.errors import FormatError, TooLargeError
from coffret_vault.log.lineage import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret_vault.formats.checkpoint import SignedHead
    from coffret_vault.log.tree import Frontier

MAX_EVIDENCE = 1 << 20
"""Bytes of a file; what would be larger is not written."""

FORK = "fork"
TWO_HEADS = "two-heads"
UNLINKED = "unlinked"
ROLLED_BACK = "rolled-back"
ALTERED = "altered"
_FORMAT = "coffret/v1/evidence"
_HASH = 32
_Origin = Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"\A[ -~]+\Z")]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class SuccessionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step from the keys of a card to those of the next; bytes are base64."""

    card: str
    succession: str
    signature: str


class _File(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True
):
    """What every kind has; bytes are base64."""

    format: str
    origin: _Origin
    card: str
    card_signature: str
    held: str
    shown: str
    successions: list[SuccessionFile] | msgspec.UnsetType = msgspec.UNSET


class ForkFile(_File, frozen=True, tag=FORK):
    """Of a fork: the longer log's leaf behind the shorter's end, and its proof."""

    leaf: str
    proof: list[str]


class TwoHeadsFile(_File, frozen=True, tag=TWO_HEADS):
    """Of two heads over one log."""


class UnlinkedFile(_File, frozen=True, tag=UNLINKED):
    """Of a head without a proof."""


class RolledBackFile(_File, frozen=True, tag=ROLLED_BACK):
    """Of a log that became shorter; sizes count what apps wrote after the head."""

    held_size: _Size
    shown_size: _Size


class AlteredFile(_File, frozen=True, tag=ALTERED):
    """Of entries that are not those under their head."""

    frontier: list[str]
    leaves: list[str]


AnyFile = ForkFile | TwoHeadsFile | UnlinkedFile | RolledBackFile | AlteredFile
_decoder: msgspec.json.Decoder[AnyFile] = msgspec.json.Decoder(AnyFile)


class Subject(msgspec.Struct, frozen=True):
    """Whose log it is about, and at which server: the owner's card as it was signed.

    ``steps`` lead to it from the card whose key signed the older head, where that is another.
    """

    origin: str
    card: bytes
    card_signature: bytes
    steps: tuple[Step, ...] = ()


def fork(
    subject: Subject,
    held: SignedHead,
    shown: SignedHead,
    leaf: bytes = b"",
    proof: Iterable[bytes] = (),
) -> bytes:
    """Two heads of which the longer is no continuation of the shorter.

    Args:
        subject: whose log.
        held: the head of the shorter log, or of either where they are of one size.
        shown: the other.
        leaf: where ``shown`` is longer, the hash of its leaf behind ``held``'s size.
        proof: that leaf's inclusion proof under ``shown``.
    """
    parts = {"leaf": _text(leaf), "proof": [_text(part) for part in proof]}
    return _write(FORK, subject, held, shown, **parts)


def two_heads(subject: Subject, held: SignedHead, shown: SignedHead) -> bytes:
    """Two different heads over one and the same log."""
    return _write(TWO_HEADS, subject, held, shown)


def unlinked(subject: Subject, held: SignedHead, shown: SignedHead) -> bytes:
    """A longer log's head that came without a proof that it continues the shorter one's."""
    return _write(UNLINKED, subject, held, shown)


def rolled_back(
    subject: Subject, held: SignedHead, held_size: int, shown: SignedHead, shown_size: int
) -> bytes:
    """A log that was shown shorter than it had been; sizes count what apps wrote after the head."""
    return _write(ROLLED_BACK, subject, held, shown, held_size=held_size, shown_size=shown_size)


def altered(
    subject: Subject,
    held: SignedHead,
    frontier: Frontier,
    shown: SignedHead,
    leaves: Iterable[bytes],
) -> bytes:
    """Entries that came with a head, behind the one that was held, and are not those under it.

    Raises:
        TooLargeError: it would be too long for a file.
    """
    hashes, entries = map(_text, frontier.hashes), map(_text, leaves)
    data = _write(ALTERED, subject, held, shown, frontier=list(hashes), leaves=list(entries))
    if len(data) > MAX_EVIDENCE:
        raise TooLargeError
    return data


def _write(
    kind: str, subject: Subject, held: SignedHead, shown: SignedHead, **more: object
) -> bytes:
    whole = {
        "format": _FORMAT,
        "kind": kind,
        "origin": subject.origin,
        "card": _text(subject.card),
        "card_signature": _text(subject.card_signature),
        "held": held.note,
        "shown": shown.note,
        **more,
    }
    if subject.steps:
        whole["successions"] = [
            {name: _text(getattr(step, name)) for name in ("card", "succession", "signature")}
            for step in subject.steps
        ]
    return _canonical(whole)


def _canonical(value: object) -> bytes:
    """The one form of a file: ASCII, keys sorted, no spaces, a newline at the end."""
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return f"{text}\n".encode("ascii")


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def read_bytes(text: str) -> bytes:
    """Base64 in its one form, or FormatError."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if _text(data) != text:
        message = "evidence is not base64 where it should be"
        raise FormatError(message)
    return data


def read_steps(file: AnyFile) -> list[Step]:
    """The successions of a file, or FormatError."""
    found = [] if isinstance(file.successions, msgspec.UnsetType) else file.successions
    return [
        Step(read_bytes(step.succession), read_bytes(step.signature), read_bytes(step.card))
        for step in found
    ]


def read_hashes(texts: Iterable[str]) -> list[bytes]:
    """Hashes in base64, or FormatError."""
    found = [read_bytes(text) for text in texts]
    if any(len(digest) != _HASH for digest in found):
        message = "evidence has a hash of another length"
        raise FormatError(message)
    return found


def read_file(data: bytes) -> AnyFile:
    """A file's parts; nothing in it is verified.

    Raises:
        TooLargeError: it is longer than any such file.
        FormatError: it is not one, or not in its one form.
    """
    message = "this is not a file of evidence"
    if len(data) > MAX_EVIDENCE:
        raise TooLargeError
    try:
        file = _decoder.decode(data)
        same = _canonical(json.loads(data)) == data
    except (ValueError, RecursionError):  # msgspec's and json's errors are of the first kind
        raise FormatError(message) from None
    if not same or file.format != _FORMAT or file.successions == []:
        raise FormatError(message)
    _check_bytes(file)
    return file


def _check_bytes(file: AnyFile) -> None:
    """See that every field which holds bytes does, before any of them is judged."""
    read_bytes(file.card)
    read_bytes(file.card_signature)
    read_steps(file)
    if isinstance(file, ForkFile):
        read_hashes((*filter(None, (file.leaf,)), *file.proof))
    elif isinstance(file, AlteredFile):
        read_hashes(file.frontier)
        for leaf in file.leaves:
            read_bytes(leaf)
