"""Memories on the wire: header, payload, wrap, record. docs/spec/4-records.md."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from coffret_vault.errors import FormatError, TooLargeError
from coffret_vault.formats.author import AUTHOR, OWNER, Author
from coffret_vault.formats.layout import (
    FLAG,
    ID,
    TIME,
    U64,
    Codec,
    Layout,
    option,
    set_of,
    text,
)
from coffret_vault.formats.pae import pae, u64
from coffret_vault.formats.template import Template

MAX_TITLE = 512
MAX_TAG = 64
MAX_TAGS = 64
MAX_HEADER = 16 << 10
MAX_CONTENT = 1 << 20
MAX_PAYLOAD = 2 << 20
MAX_OWN_PAYLOAD = MAX_PAYLOAD + (32 << 10)
"""The owner's: what an app wrote fits with all that is added when it is written again."""
IMPORTANCE_ONE = 1_000_000
"""Importance is counted in millionths: this many are 1.0."""

_CONTROL = frozenset(map(chr, (*range(32), *range(127, 160))))


class Header(msgspec.Struct, frozen=True):
    """What the server sees of a memory's version, authenticated as the envelope's AAD.

    ``key_number`` is the version that its memory key came with, ``importance`` is in millionths,
    times in microseconds. ``sealed`` headers have no title, importance or tags: those are in the
    payload.
    """

    account_id: bytes
    memory_id: bytes
    version: int
    key_number: int
    author: Author
    created: int
    updated: int
    sealed: bool
    title: str
    importance: int | None
    tags: frozenset[str]


def _check_header(header: Header) -> None:
    if not 1 <= header.key_number <= header.version:
        message = "versions and key numbers count from 1, and no version begins two keys"
        raise FormatError(message)
    if header.updated < header.created:
        message = "a memory is updated before it was created"
        raise FormatError(message)
    if header.importance is not None and header.importance > IMPORTANCE_ONE:
        message = "importance is between 0 and 1"
        raise FormatError(message)
    if header.sealed and (header.title or header.tags or header.importance is not None):
        message = "a sealed memory shows no title, tags or importance"
        raise FormatError(message)
    check_tags(header.tags)


def check_tags(tags: frozenset[str]) -> None:
    """Refuse empty tags and control characters in them."""
    for tag in tags:
        if not tag or not _CONTROL.isdisjoint(tag):
            message = "a tag is empty or holds a control character"
            raise FormatError(message)


_TITLE = text(MAX_TITLE)
_EACH_TAGS = set_of(text(MAX_TAG), most=MAX_TAGS)
# Few sets of tags are on many memories, and a server sees them in the clear: they are remembered.
_TAGS = Codec(lru_cache(1_024)(_EACH_TAGS.encode), lru_cache(1_024)(_EACH_TAGS.decode))
_IMPORTANCE = option(U64)
HEADER: Layout[Header] = Layout(
    "memory-header",
    Header,
    (
        ("account_id", ID),
        ("memory_id", ID),
        ("version", U64),
        ("key_number", U64),
        ("author", AUTHOR),
        ("created", TIME),
        ("updated", TIME),
        ("sealed", FLAG),
        ("title", _TITLE),
        ("importance", _IMPORTANCE),
        ("tags", _TAGS),
    ),
    _check_header,
)


_OWN_HEADER = Template("memory-header", (16, 16, 8, 8, b"\0", 8, 8, 1), more=3)
"""A header by the owner: all but title, importance and tags is of one length."""


def serialize_header(header: Header) -> bytes:
    """``HEADER.serialize(header)``, sooner for the owner's. Errors are the same."""
    if header.author.app_id is not None:
        return HEADER.serialize(header)
    _check_header(header)
    importance = header.importance
    return _OWN_HEADER.write(
        (
            header.account_id,
            header.memory_id,
            u64(header.version),
            u64(header.key_number),
            u64(header.created),
            u64(header.updated),
            b"\1" if header.sealed else b"\0",
        ),
        (
            _TITLE.encode(header.title),
            _NOTHING if importance is None else _ONE_NUMBER + u64(importance),
            _TAGS.encode(header.tags),
        ),
    )


_NOTHING = u64(0)
_ONE_NUMBER = u64(1) + u64(8)
_FLAGS = {b"\0": False, b"\1": True}


def parse_header(data: bytes) -> Header:
    """``HEADER.parse(data)``, sooner for the owner's. Errors are the same."""
    found = _OWN_HEADER.read_whole(data)
    if found is None or found[6] not in _FLAGS:
        return HEADER.parse(data)
    account_id, memory_id, version, number, created, updated, sealed, *shown = found
    read = int.from_bytes
    header = Header(
        account_id=account_id,
        memory_id=memory_id,
        version=read(version, "big"),
        key_number=read(number, "big"),
        author=OWNER,
        created=read(created, "big"),
        updated=read(updated, "big"),
        sealed=_FLAGS[sealed],
        title=_TITLE.decode(shown[0]),
        importance=_IMPORTANCE.decode(shown[1]),
        tags=_TAGS.decode(shown[2]),
    )
    _check_header(header)
    return header


class Peek(msgspec.Struct, frozen=True, gc=False):
    """What stands at fixed places of a header by the owner; the rest of it was not looked at."""

    account_id: bytes
    memory_id: bytes
    version: int
    key_number: int


_PEEK = Template("memory-header", (16, 16, 8, 8, b"\0"), more=6)


def peek_header(data: bytes) -> Peek | None:
    """The beginning of a header by the owner; None for any other.

    For bytes whose hash the owner signed, so that whoever wrote them has checked the rest.
    """
    found = _PEEK.read(data)
    if found is None:
        return None
    account_id, memory_id, version, number = found
    read = int.from_bytes
    return Peek(account_id, memory_id, read(version, "big"), read(number, "big"))


class Payload(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is sealed of a memory. Every field but the content may be absent.

    ``confidence`` is 0 to 1; ``valid_from`` and ``valid_until`` are microseconds; ``title``,
    ``importance`` (millionths) and ``tags`` are used by sealed memories only.
    """

    format: int = msgspec.field(default=0)
    content: str = ""
    summary: str = ""
    type: str = ""
    confidence: float | None = None
    source: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    valid_from: int | None = None
    valid_until: int | None = None
    provenance: dict[str, str] = msgspec.field(default_factory=dict)
    title: str = ""
    importance: int | None = None
    tags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # Never the plaintext: objects end up in logs and tracebacks.
        return "<Payload>"


PAYLOAD_FORMAT = 1
_PLAIN = (str, int, bool, bytes, type(None))
_MOST_NESTING = 32
_encode_payload = msgspec.msgpack.Encoder().encode
_decode_payload = msgspec.msgpack.Decoder(Payload).decode


def serialize_payload(payload: Payload, most: int = MAX_PAYLOAD) -> bytes:
    """The payload as MessagePack.

    Raises:
        TooLargeError: content over 1 MiB, or a payload over ``most`` bytes.
        FormatError: a field breaks its rule, or metadata holds a value that cannot be stored.
    """
    _check_payload(payload)
    try:
        data = _encode_payload(payload)
    except (TypeError, ValueError, OverflowError, RecursionError):
        message = (
            "content or metadata holds a value that cannot be stored, such as half a character"
        )
        raise FormatError(message) from None
    if len(data) > most:
        message = "a memory with everything that belongs to it is at most 2 MiB"
        raise TooLargeError(message)
    return data


def parse_payload(data: bytes, most: int = MAX_PAYLOAD) -> Payload:
    """Read a payload; its one encoding is accepted, and no unknown key.

    Raises:
        FormatError: anything is not as the specification says.
    """
    if len(data) > most:
        message = "a payload is over its limit"
        raise FormatError(message)
    try:
        payload = _decode_payload(data)
        _check_payload(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TooLargeError):
        message = "a payload is not what the specification says"
        raise FormatError(message) from None
    if _encode_payload(payload) != data:
        message = "a payload is not in its one encoding"
        raise FormatError(message)
    return payload


def _check_payload(payload: Payload) -> None:
    if payload.format != PAYLOAD_FORMAT:
        message = "a payload has an unknown format number; update Coffret"
        raise FormatError(message)
    if not payload.content:
        message = "a memory has no content"
        raise FormatError(message)
    if _is_over(payload.content, MAX_CONTENT):
        message = "a memory's content is at most 1 MiB"
        raise TooLargeError(message)
    if payload.confidence is not None and not 0 <= payload.confidence <= 1:
        message = "confidence is between 0 and 1"
        raise FormatError(message)
    _check_plain(payload.metadata, _MOST_NESTING)
    _check_shown(payload)


def _is_over(text: str, most: int) -> bool:
    """Whether a text has more than ``most`` bytes. A character has four at the most."""
    return len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most


def _check_plain(value: object, room: int) -> None:
    """Metadata is what JSON can hold, and bytes: no extension types, no endless nesting, no NaN."""
    if isinstance(value, _PLAIN) or (isinstance(value, float) and math.isfinite(value)):
        return
    inside = _inside(value)
    if inside is None or not room:
        message = "metadata holds a value that cannot be stored, or is nested too deep"
        raise FormatError(message)
    for item in inside:
        _check_plain(item, room - 1)


def _inside(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return list(value.values()) if all(isinstance(name, str) for name in value) else None
    return list(value) if isinstance(value, list | tuple) else None


def _check_shown(payload: Payload) -> None:
    """What a sealed memory hides here keeps to the rules that a header has for it."""
    if not payload.title and not payload.tags and payload.importance is None:
        return
    _TITLE.encode(payload.title)
    if payload.importance is not None and not 0 <= payload.importance <= IMPORTANCE_ONE:
        message = "importance is between 0 and 1"
        raise FormatError(message)
    _EACH_TAGS.encode(frozenset(payload.tags))
    check_tags(frozenset(payload.tags))
    if any(left >= right for left, right in pairwise(payload.tags)):
        message = "tags are not sorted, or one is repeated"
        raise FormatError(message)


_KEK_LENGTH = {0: 9, 1: 17}


class Kek(msgspec.Struct, frozen=True):
    """Which key wraps a memory key: the owner's KEK of a generation, or a grant's key."""

    generation: int | None = None
    grant_id: bytes | None = None


def _write_kek(kek: Kek) -> bytes:
    if kek.grant_id is not None:
        return b"\1" + ID.encode(kek.grant_id)
    return _checked_kek(b"\0" + u64(kek.generation or 0))


def _read_kek(data: bytes) -> Kek:
    if not data or len(data) != _KEK_LENGTH.get(data[0]):
        message = "a wrap names no key that there could be"
        raise FormatError(message)
    if data[0] == 1:
        return Kek(grant_id=data[1:])
    return Kek(generation=int.from_bytes(_checked_kek(data)[1:], "big"))


def _checked_kek(data: bytes) -> bytes:
    if not any(data[1:]):
        message = "generations of the account key count from 1"
        raise FormatError(message)
    return data


# A few keys wrap the keys of all memories.
KEK: Codec[Kek] = Codec(lru_cache(64)(_write_kek), _read_kek)


_WRAP_HEADERS = {
    size: Template("memory-key-wrap", (16, 16, 8, size)) for size in _KEK_LENGTH.values()
}


def memory_key_wrap_header(
    account_id: bytes, memory_id: bytes, key_number: int, kek: bytes
) -> bytes:
    """The header under which a memory key is wrapped; ``kek`` is serialised."""
    template = _WRAP_HEADERS[len(kek)]
    return template.write((account_id, memory_id, u64(key_number), kek))


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One version of a memory as the server keeps it: four byte strings, none of them opened."""

    header: bytes
    envelope: bytes
    kek: bytes
    wrap: bytes

    @property
    def digest(self) -> bytes:
        """The hash that the log's entry names."""
        return record_digest(self.header, self.envelope)


_DIGESTED = pae("record", bytes(32), b"")[:-40]
_HASH_LENGTH = u64(32)


def record_digest(header: bytes, envelope: bytes) -> bytes:
    """``H(PAE("record", H(header), H(envelope)))``."""
    sha256 = hashlib.sha256
    first, second = sha256(header).digest(), sha256(envelope).digest()
    return sha256(_DIGESTED + first + _HASH_LENGTH + second).digest()
