"""Memory headers, envelopes and wraps (docs/spec/2-envelope.md and 4-records.md)."""

import unicodedata
from hashlib import sha256
from typing import Final

import msgspec

from coffret_server.problems import refuse
from coffret_server.wire import pae

HEADER: Final = pae.Layout("memory-header", 11)
RECORD: Final = pae.Layout("record", 2)
HEADER_LIMIT: Final = 16 * 1024
ENVELOPE_LIMIT: Final = 2_228_224
OVERHEAD: Final = 81
WRAP_SIZE: Final = OVERHEAD + 32
TITLE_LIMIT: Final = 512
TAG_LIMIT: Final = 64
TAGS_LIMIT: Final = 64
IMPORTANCE_LIMIT: Final = 1_000_000
_STEPS: Final = frozenset({256, 512, 1024, 2048})


_word: Final = pae.u64
# An owner's header up to the length of its title.
_OWN_BEGINNING: Final = pae.Places(
    (HEADER.prefix + _word(16), "16s"),
    (_word(16), "16s"),
    (_word(8), "Q"),
    (_word(8), "Q"),
    (_word(1) + pae.OWNER + _word(8), "Q"),
    (_word(8), "Q"),
    (_word(1), "B"),
    (b"", "Q"),
)
_ONE_NUMBER: Final = pae.Places((_word(1) + _word(8), "Q"))
_DIGEST_LENGTH: Final = _word(pae.DIGEST_SIZE)
_DIGESTS: Final = RECORD.prefix + _DIGEST_LENGTH


class Header(msgspec.Struct, frozen=True, gc=False):
    """What a record says in the clear. `author` is an app's id, or None for the owner."""

    account: bytes
    memory: bytes
    version: int
    key_number: int
    author: bytes | None
    created: int
    updated: int
    sealed: bool
    title: str
    importance: int | None
    tags: tuple[str, ...]


def parse_header(data: bytes) -> Header:
    """Read a memory header, with every rule on its fields."""
    if len(data) > HEADER_LIMIT:
        refuse("too-large", "a header is longer than 16 KiB")
    header = _read_own(data) or _read_any(data)
    _check(header)
    return header


def _read_own(data: bytes) -> Header | None:
    """An owner's header by the places of its fields; None where they are not all as expected.

    What is None here is read again field by field, which says what is wrong.
    """
    found = _OWN_BEGINNING.read(data)
    if found is None:
        return None
    account, memory, version, key_number, created, updated, visibility, length = found
    title_end = _OWN_BEGINNING.size + length
    importance_end = title_end + 8 + int.from_bytes(data[title_end : title_end + 8], "big")
    tags_at = importance_end + 8
    tags = data[tags_at:]
    largest = max(version, key_number, created, updated)
    ends = int.from_bytes(data[importance_end:tags_at], "big") == len(tags)
    if largest >> 63 or visibility > 1 or tags_at > len(data) or not ends:
        return None
    return Header(
        account=account,
        memory=memory,
        version=version,
        key_number=key_number,
        author=None,
        created=created,
        updated=updated,
        sealed=visibility == 1,
        title=pae.read_text(data[_OWN_BEGINNING.size : title_end], TITLE_LIMIT),
        importance=_importance(data[title_end + 8 : importance_end]),
        tags=tuple(map(_tag, pae.read_set(tags, TAGS_LIMIT))),
    )


def _read_any(data: bytes) -> Header:
    fields = HEADER.split(data)
    account, memory, version, key_number, author, created, updated, visibility = fields[:8]
    if len(account) != pae.ID_SIZE or len(memory) != pae.ID_SIZE:
        refuse("malformed", "an id is not 16 bytes")
    return Header(
        account=account,
        memory=memory,
        version=pae.read_time(version),
        key_number=pae.read_time(key_number),
        author=pae.read_author(author),
        created=pae.read_time(created),
        updated=pae.read_time(updated),
        sealed=pae.read_flag(visibility),
        title=pae.read_text(fields[8], TITLE_LIMIT),
        importance=_importance(fields[9]),
        tags=tuple(_tag(tag) for tag in pae.read_set(fields[10], TAGS_LIMIT)),
    )


def _check(header: Header) -> None:
    if not 1 <= header.key_number <= header.version:
        refuse("malformed", "a key number is not from 1 to its version")
    if header.updated < header.created:
        refuse("malformed", "a memory is updated before it is created")
    if header.sealed and (header.title or header.tags or header.importance is not None):
        refuse("malformed", "a sealed memory shows a title, tags or an importance")


def _importance(data: bytes) -> int | None:
    found = _ONE_NUMBER.read(data) if len(data) == _ONE_NUMBER.size else None
    if found is not None:
        value: int = found[0]
    else:
        item = pae.read_option(data)
        if item is None:
            return None
        value = pae.read_u64(item)
    if value > IMPORTANCE_LIMIT:
        refuse("malformed", "an importance is above 1,000,000")
    return value


def _tag(data: bytes) -> str:
    tag = pae.read_text(data, TAG_LIMIT)
    if tag.isprintable() and tag:
        return tag  # no control character is printable
    if not tag or any(unicodedata.category(symbol) == "Cc" for symbol in tag):
        refuse("malformed", "a tag is empty, or has a control character")
    return tag


def check_assigned(header: Header) -> None:
    """Refuse a title and tags in characters that this server's Unicode does not know."""
    pae.check_assigned((header.title, *header.tags), "a title or a tag")


def check_envelope(envelope: bytes) -> None:
    """Refuse what is not the form of a sealed, padded memory."""
    size = len(envelope)
    if size > ENVELOPE_LIMIT:
        refuse("too-large", "an envelope is longer than 2,228,224 bytes")
    if size < OVERHEAD:
        refuse("malformed", "an envelope is shorter than 81 bytes")
    if envelope[:1] != pae.SUITE:
        refuse("unknown-suite", "an envelope is not of suite 01")
    if not _is_padded(size - OVERHEAD):
        refuse("malformed", "an envelope's length is not one that padding gives")


def _is_padded(size: int) -> bool:
    if size in _STEPS:
        return True
    exponent = size.bit_length() - 1
    spare = exponent - exponent.bit_length()
    return size > max(_STEPS) and size & ((1 << spare) - 1) == 0


def check_wrap(wrap: bytes) -> None:
    """Refuse what is not the form of a wrapped 32-byte key."""
    if len(wrap) != WRAP_SIZE:
        refuse("malformed", "a wrapped key is not 113 bytes")
    if wrap[:1] != pae.SUITE:
        refuse("unknown-suite", "a wrapped key is not of suite 01")


def parse_kek(kek: bytes) -> bytes | None:
    """The grant id of a `kek`, or None for one of the owner's generations."""
    if len(kek) == 1 + pae.ID_SIZE and kek[0] == 1:
        return kek[1:]
    if len(kek) != 1 + pae.WORD or kek[0] != 0 or not any(kek[1:]):
        refuse("malformed", "a kek names neither a generation nor a grant")
    return None


def digest(header: bytes, envelope: bytes) -> bytes:
    """The record digest that a log entry names."""
    first, second = sha256(header).digest(), sha256(envelope).digest()
    return sha256(_DIGESTS + first + _DIGEST_LENGTH + second).digest()
