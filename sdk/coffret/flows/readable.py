"""A memory under a grant, as an app holds it. docs/spec/6-grants.md, Reading by an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.ids import given_id
from coffret_vault.errors import FormatError, NotFoundError, TrustError
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import Header, Payload
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.memory import REJECTED, Memory, Review
from coffret_vault.records.seal import to_memory

if TYPE_CHECKING:
    from collections.abc import Mapping


class Readable(msgspec.Struct, frozen=True):
    """A memory under a grant: opened, with its key.

    Attributes:
        memory: what counts, or the newest that this app proposed; what was rejected only where
            there is nothing else.
        header: that version's header.
        payload: that version's payload.
        key: the memory's key; None of what was rejected, which is erased.
        newest: the newest version of any kind that this app knows of.
        digest: what that version's log entry names.
    """

    memory: Memory
    header: Header
    payload: Payload
    key: SecretBytes | None
    newest: int
    digest: bytes

    def __repr__(self) -> str:
        return f"<Readable {self.memory.id}>"


def joined(one: Readable, other: Readable) -> Readable:
    """Of two versions the one to be read, with what is known of the newest."""
    newest = max(one, other, key=lambda item: item.newest)
    return msgspec.structs.replace(
        max(one, other, key=_weight), newest=newest.newest, digest=newest.digest
    )


def _weight(item: Readable) -> tuple[bool, int]:
    return item.memory.review.status != REJECTED, item.memory.version


def turned_down(leaf: bytes, key_number: int) -> Readable:
    """What is left of a version that the owner rejected: its entry.

    Raises:
        TrustError: that is none, or no version of it has a key of that number.
    """
    try:
        entry = parse_leaf(leaf).entry
    except FormatError:
        message = "a memory comes without its entry in the owner's log"
        raise TrustError(message) from None
    if not 1 <= key_number <= entry.version:
        message = "the server shows a memory under a key that it cannot have had"
        raise TrustError(message)
    header = Header(
        account_id=entry.account_id,
        memory_id=entry.subject,
        version=entry.version,
        key_number=key_number,
        author=entry.author,
        created=entry.time,
        updated=entry.time,
        sealed=True,
        title="",
        importance=None,
        tags=frozenset(),
    )
    memory = to_memory(header, Payload(), Review(REJECTED))
    return Readable(memory, header, Payload(), None, entry.version, entry.digest)


def one(readable: Mapping[str, Readable], memory_id: str) -> Readable:
    """One of the memories that were read.

    Raises:
        InputError: it is no text.
        NotFoundError: it is not among them.
    """
    try:
        return readable[id_text(parse_id(given_id(memory_id)))]
    except (KeyError, FormatError):
        message = "this grant has no such memory"
        raise NotFoundError(message) from None
