"""Seal a memory's version into a record, and open it. docs/spec/4-records.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import open_envelope, seal, unwrap_key, wrap_key
from coffret_vault.errors import FormatError, InputError, OpenError
from coffret_vault.formats.author import Author
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import (
    IMPORTANCE_ONE,
    KEK,
    MAX_OWN_PAYLOAD,
    MAX_PAYLOAD,
    PAYLOAD_FORMAT,
    Header,
    Kek,
    Payload,
    Peek,
    Record,
    memory_key_wrap_header,
    parse_payload,
    peek_header,
    serialize_header,
    serialize_payload,
)
from coffret_vault.formats.padding import pad, unpad
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.marks import said_by
from coffret_vault.records.memory import (
    Fields,
    Memory,
    Review,
    from_micros,
    maybe_micros,
    maybe_moment,
)

if TYPE_CHECKING:
    from coffret_vault.primitives.symmetric import Random

_APPROVED = Review()


class Stamp(msgspec.Struct, frozen=True):
    """Which version of which memory this is, by whom and when (microseconds)."""

    account_id: bytes
    memory_id: bytes
    version: int
    key_number: int
    author: Author
    created: int
    updated: int


class Wrapping(msgspec.Struct, frozen=True):
    """A key that wraps memory keys, and its name in the wrap."""

    name: Kek
    key: SecretBytes


def seal_version(
    stamp: Stamp, fields: Fields, memory_key: SecretBytes, *, random: Random
) -> tuple[bytes, bytes]:
    """The header and the envelope of a version. Fields that do not say show nothing.

    Raises:
        InputError: the fields cannot be a memory; says which and why.
    """
    try:
        header = serialize_header(_header(stamp, fields))
        most = MAX_OWN_PAYLOAD if stamp.author.is_owner else MAX_PAYLOAD
        plaintext = serialize_payload(_payload(fields), most)
    except FormatError as error:
        raise InputError(str(error)) from None
    return header, seal("memory", memory_key, header, pad(plaintext), random=random)


def _header(stamp: Stamp, fields: Fields) -> Header:
    shown = fields.sealed is False
    return Header(
        account_id=stamp.account_id,
        memory_id=stamp.memory_id,
        version=stamp.version,
        key_number=stamp.key_number,
        author=stamp.author,
        created=stamp.created,
        updated=stamp.updated,
        sealed=not shown,
        title=fields.title if shown else "",
        importance=_importance(fields.importance) if shown else None,
        tags=frozenset(fields.tags) if shown else frozenset(),
    )


def _payload(fields: Fields) -> Payload:
    shown = fields.sealed is False
    return Payload(
        format=PAYLOAD_FORMAT,
        content=fields.content,
        summary=fields.summary,
        type=fields.type,
        confidence=fields.confidence,
        source=fields.source,
        labels=fields.labels,
        metadata=fields.metadata,
        valid_from=maybe_micros(fields.valid_from),
        valid_until=maybe_micros(fields.valid_until),
        provenance=fields.provenance,
        title="" if shown else fields.title,
        importance=None if shown else _importance(fields.importance),
        tags=() if shown else tuple(sorted(set(fields.tags))),
    )


def _importance(value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 <= value <= 1:
        message = "importance is between 0 and 1"
        raise FormatError(message)
    return round(value * IMPORTANCE_ONE)


def wrap_memory_key(
    subject: Header | Peek | Stamp, memory_key: SecretBytes, wrapping: Wrapping, *, random: Random
) -> bytes:
    """The memory key of a version's header or stamp, under a KEK or a grant's key; 113 bytes."""
    aad = memory_key_wrap_header(
        subject.account_id, subject.memory_id, subject.key_number, KEK.encode(wrapping.name)
    )
    return wrap_key("memory-key", wrapping.key, aad, memory_key, random=random)


def unwrap_memory_key(header: Header | Peek, wrap: bytes, wrapping: Wrapping) -> SecretBytes:
    """Undo :func:`wrap_memory_key`.

    Raises:
        OpenError: whatever the cause.
    """
    aad = memory_key_wrap_header(
        header.account_id, header.memory_id, header.key_number, KEK.encode(wrapping.name)
    )
    return unwrap_key("memory-key", wrapping.key, aad, wrap)


def check_opens(header_bytes: bytes, envelope: bytes, memory_key: SecretBytes) -> None:
    """Open a version and throw away what is inside, unread.

    Raises:
        OpenError: it does not open.
    """
    open_envelope("memory", memory_key, header_bytes, envelope)


def open_version(header_bytes: bytes, envelope: bytes, memory_key: SecretBytes) -> Payload:
    """Open a version's payload.

    Raises:
        OpenError: it does not open, or what is inside is not a payload.
    """
    plaintext = open_envelope("memory", memory_key, header_bytes, envelope)
    most = MAX_PAYLOAD if peek_header(header_bytes) is None else MAX_OWN_PAYLOAD
    try:
        return parse_payload(unpad(plaintext), most)
    except FormatError:
        raise OpenError from None


def make_record(
    stamp: Stamp,
    fields: Fields,
    memory_key: SecretBytes,
    wrapping: Wrapping,
    *,
    random: Random,
) -> Record:
    """Seal a version and wrap its key: the record that is sent.

    Raises:
        InputError: the fields cannot be a memory.
    """
    header_bytes, envelope = seal_version(stamp, fields, memory_key, random=random)
    wrap = wrap_memory_key(stamp, memory_key, wrapping, random=random)
    return Record(header_bytes, envelope, KEK.encode(wrapping.name), wrap)


def to_memory(header: Header, payload: Payload, review: Review = _APPROVED) -> Memory:
    """The owner's view of an opened version, without marks that its author cannot have made."""
    importance = payload.importance if header.sealed else header.importance
    tags = payload.tags if header.sealed else header.tags
    return Memory(
        id=id_text(header.memory_id),
        version=header.version,
        author=author_text(header.author),
        created=from_micros(header.created),
        updated=from_micros(header.updated),
        review=review,
        content=payload.content,
        title=payload.title if header.sealed else header.title,
        summary=payload.summary,
        type=payload.type,
        tags=tuple(sorted(tags)),
        importance=None if importance is None else importance / IMPORTANCE_ONE,
        confidence=payload.confidence,
        source=payload.source,
        labels=payload.labels,
        metadata=payload.metadata,
        sealed=header.sealed,
        valid_from=maybe_moment(payload.valid_from),
        valid_until=maybe_moment(payload.valid_until),
        provenance=said_by(header.author, payload.provenance),
    )


def written_memory(stamp: Stamp, fields: Fields) -> Memory:
    """The owner's view of a version that was just sealed from these fields."""
    importance = _importance(fields.importance)
    created = from_micros(stamp.created)
    return Memory(
        id=id_text(stamp.memory_id),
        version=stamp.version,
        author=author_text(stamp.author),
        created=created,
        updated=created if stamp.updated == stamp.created else from_micros(stamp.updated),
        review=_APPROVED,
        content=fields.content,
        title=fields.title,
        summary=fields.summary,
        type=fields.type,
        tags=tuple(sorted(set(fields.tags))),
        importance=None if importance is None else importance / IMPORTANCE_ONE,
        confidence=fields.confidence,
        source=fields.source,
        labels=fields.labels,
        metadata=fields.metadata,
        sealed=fields.sealed is not False,
        valid_from=maybe_moment(maybe_micros(fields.valid_from)),
        valid_until=maybe_moment(maybe_micros(fields.valid_until)),
        provenance=said_by(stamp.author, fields.provenance),
    )


def author_text(author: Author) -> str:
    """``owner``, or the app's id."""
    return "owner" if author.app_id is None else id_text(author.app_id)
