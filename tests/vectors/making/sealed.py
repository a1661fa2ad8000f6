"""Padding, payload, envelope, wrapped keys and record digests."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import seal, wrap_key
from coffret_vault.formats.memory import (
    HEADER,
    KEK,
    Kek,
    Payload,
    Peek,
    memory_key_wrap_header,
    record_digest,
    serialize_payload,
)
from coffret_vault.formats.padding import pad, padded_size
from coffret_vault.formats.pae import u64
from coffret_vault.grants.given import give_key
from coffret_vault.keyring import Keyring
from coffret_vault.records.seal import Wrapping
from vectors.making.book import Book, Steady, flipped, steady
from vectors.making.samples import ACCOUNT_ID, GRANT_ID, HEADER_SAMPLE, MEMORY_ID, secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.primitives.secret import SecretBytes

_pack = msgspec.msgpack.encode
_FULL = Payload(
    format=1,
    content="Prefers the aisle seat \u2708\ufe0f",
    summary="Aisle seat",
    type="preference",
    confidence=0.75,
    source="chat",
    labels={"app": "trips", "user": "ada"},
    metadata={"n": [1, -1, 255, -129, 65_536, 2**63, -(2**63)], "deep": {"b": b"\0", "x": None}},
    valid_from=-1,
    valid_until=1_800_000_000_000_000,
    provenance={"importer": "markdown"},
    title="Seat",
    importance=500_000,
    tags=("flights", "travel"),
)


def padding_book() -> Book:
    """Frames and their sizes."""
    book = Book("padding", "2-envelope", "Frames: their sizes, and what is refused.")
    for size in (0, 1, 247, 248, 249, 504, 1016, 1017, 2040, 2041, 2168, 2169, 5000, 65_535):
        book.accept(f"size {size}", "pad", {"size": size}, size=padded_size(size + 8))
    book.accept("a mebibyte", "pad", {"size": 1 << 20}, size=padded_size((1 << 20) + 8))
    for size in (0, 5, 248, 249, 2041):
        content = steady(f"content {size}", size)
        given = {"frame": pad(content).hex()}
        book.accept(f"frame of {size}", "unpad", given, content=content.hex())
    frame = pad(b"hello")
    for name, data in _frames(frame):
        book.refuse(name, "unpad", {"frame": data.hex()}, "malformed")
    return book


def _frames(frame: bytes) -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "only a length", bytes(8)
    yield "a byte short", frame[:-1]
    yield "a byte long", frame + b"\0"
    yield "the next bucket", frame + bytes(256)
    yield "the last byte not zero", frame[:-1] + b"\1"
    yield "the first byte of padding not zero", frame[:13] + b"\1" + frame[14:]
    yield "a length past the end", u64(249) + frame[8:]
    yield "a length of 2^64-1", b"\xff" * 8 + frame[8:]
    yield "a length that another bucket is for", u64(5) + pad(bytes(300))[8:]
    yield "unpadded above the buckets", u64(2100) + bytes(2100)


def payload_book() -> Book:
    """The MessagePack of a memory."""
    book = Book("payload", "4-records", "Payloads: one encoding of each, and no unknown key.")
    for name, payload in (
        ("everything", _FULL),
        ("the least", Payload(format=1, content="x")),
        ("an empty map inside metadata", Payload(format=1, content="x", metadata={"a": {}})),
        ("nested as deep as may be", Payload(format=1, content="x", metadata=_nested(31))),
        ("a text of 256 bytes", Payload(format=1, content="y" * 256)),
    ):
        data = serialize_payload(payload)
        names = list(msgspec.to_builtins(payload))
        given = {"bytes": data.hex()}
        book.accept(name, "payload", given, names=names, content=payload.content)
    for name, data in _bad_payloads():
        book.refuse(name, "payload", {"bytes": data.hex()}, "malformed")
    book.accept("a mebibyte of content", "content-size", {"size": 1 << 20})
    book.refuse("a byte more", "content-size", {"size": (1 << 20) + 1}, "too-large")
    for author, most in (("app", 2 << 20), ("owner", (2 << 20) + (32 << 10))):
        for size in (most, most + 1):
            wanted: dict[str, object] = {"author": author, "size": size}
            if size == most:
                book.accept(f"as large as the {author}'s may be", "payload-size", wanted)
            else:
                book.refuse(f"a byte more than the {author}'s", "payload-size", wanted, "too-large")
    return book


def _nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def _bad_payloads() -> Iterator[tuple[str, bytes]]:
    head, least = b"\x86\xa6format\x01\xa7content\xa1x", _pack({"format": 1, "content": "x"})
    yield "nothing", b""
    yield "an array", _pack([1, "x"])
    yield "no format", _pack({"content": "x"})
    yield "another format", _pack({"format": 2, "content": "x"})
    yield "no content", _pack({"format": 1})
    yield "empty content", _pack({"format": 1, "content": ""})
    yield "another order", _pack({"content": "x", "format": 1})
    yield "a byte left over", least + b"\xc0"
    yield "cut short", least[:-1]
    yield "a map longer than it says", head
    for name, values in _BAD_KEYS.items():
        for number, value in enumerate(values, 1):
            yield f"{name}, wrong way {number}", _pack({"format": 1, "content": "x", name: value})
    three = b"\x83" + least[1:]
    yield "a key repeated", three + b"\xa7content\xa1x"
    yield "a key repeated in metadata", three + b"\xa8metadata\x82\xa1a\x01\xa1a\x01"
    yield "a number as key in metadata", three + b"\xa8metadata\x81\xa1a\x81\x01\x02"
    yield "a list as key in metadata", three + b"\xa8metadata\x81\x90\x02"
    yield "an extension", three + b"\xa8metadata\x81\xa1a\xd4\x05\x00"
    yield "a timestamp", three + b"\xa8metadata\x81\xa1a\xd6\xff\x00\x00\x00\x01"
    yield "float 32", three + b"\xaaconfidence\xca" + struct.pack(">f", 0.5)
    yield "float 32 in metadata", three + b"\xa8metadata\x81\xa1a\xca" + struct.pack(">f", 0.5)
    yield "a whole number for a float", three + b"\xaaconfidence\x01"
    yield "not a number", three + b"\xaaconfidence\xcb" + struct.pack(">d", float("nan"))
    for wrong, text in (("not a number", "nan"), ("infinite", "inf"), ("minus infinite", "-inf")):
        listed = b"\x81\xa1a\x91\xcb" + struct.pack(">d", float(text))
        yield f"{wrong} in metadata", three + b"\xa8metadata" + listed
    yield "a length longer than need be", b"\x82\xa6format\x01\xa7content\xd9\x01x"
    yield "a number longer than need be", b"\x82\xa6format\xcc\x01\xa7content\xa1x"
    yield "a signed number for a small one", b"\x82\xa6format\xd0\x01\xa7content\xa1x"
    yield "a map longer than need be", b"\xde\x00\x02" + least[1:]
    yield "text that is not UTF-8", b"\x82\xa6format\x01\xa7content\xa1\xff"
    yield "a byte never used", b"\x82\xa6format\x01\xa7content\xc1"
    yield "nested too deep", three + b"\xa8metadata" + _pack(_nested(32))


_BAD_KEYS: dict[str, tuple[object, ...]] = {
    "unknown": (1,),
    "summary": ("", None, 1),
    "confidence": (-0.5, 1.5, None, "1"),
    "labels": ({}, {"a": 1}, [], None),
    "metadata": ({}, [], None),
    "valid_from": (1.5, "1", None, True),
    "title": ("", "t" * 513),
    "importance": (-1, 1_000_001, 0.5, None),
    "tags": ([], ["b", "a"], ["a", "a"], [""], ["a\n"], ["t" * 65], [1], "a"),
}


def envelope_book() -> Book:
    """Seal and open."""
    book = Book("envelope", "2-envelope", "The committing envelope, sealed and opened.")
    header = HEADER.serialize(HEADER_SAMPLE)
    key = steady("memory key", 32)
    for size in (0, 1, 16, 100, 256):
        plaintext, random = steady(f"plaintext {size}", size), Steady(f"envelope {size}")
        sealed = seal("memory", secret("memory key"), header, plaintext, random=random)
        given = {"purpose": "memory", "key": key.hex(), "header": header.hex()}
        sealing = given | {"plaintext": plaintext.hex(), "salt": sealed[1:33].hex()}
        book.accept(f"seal {size}", "seal", sealing, envelope=sealed.hex())
        opening = given | {"envelope": sealed.hex()}
        book.accept(f"open {size}", "open", opening, plaintext=plaintext.hex())
        book.accept(f"shape {size}", "envelope-shape", {"envelope": sealed.hex()})
    sealed = seal("memory", secret("memory key"), header, b"secret", random=Steady("bad"))
    for name, changes in _bad_opens(sealed, header):
        given = {"purpose": "memory", "key": key.hex(), "header": header.hex()}
        book.refuse(name, "open", given | {"envelope": sealed.hex()} | changes, "cannot-open")
    for name, data, outcome in (
        ("80 bytes", sealed[:80], "malformed"),
        ("no byte", b"", "malformed"),
        ("80 bytes of another suite", b"\2" + sealed[1:80], "malformed"),
        ("suite 0", b"\0" + sealed[1:], "unknown-suite"),
        ("suite 2", b"\2" + sealed[1:], "unknown-suite"),
    ):
        book.refuse(f"shape: {name}", "envelope-shape", {"envelope": data.hex()}, outcome)
    return book


def _bad_opens(sealed: bytes, header: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    yield "another purpose", {"purpose": "identity"}
    yield "another key", {"key": steady("another key", 32).hex()}
    yield "another header", {"header": (header + b"\0").hex()}
    yield "no header", {"header": ""}
    yield "nothing", {"envelope": ""}
    yield "a byte short", {"envelope": sealed[:-1].hex()}
    yield "a byte long", {"envelope": (sealed + b"\0").hex()}
    yield "only the fixed parts, cut", {"envelope": sealed[:80].hex()}
    for name, at in (("suite", 0), ("salt", 1), ("commitment", 33), ("text", 65), ("tag", -16)):
        yield f"a bit of the {name}", {"envelope": flipped(sealed, at % len(sealed))}


def wrap_book() -> Book:
    """Memory keys under both kinds of KEK, and record digests."""
    book = Book("key-wrap", "4-records", "Wrapped memory keys, and the digest of a record.")
    for name, kek in (("owner", Kek(generation=3)), ("grant", Kek(grant_id=GRANT_ID))):
        header = memory_key_wrap_header(ACCOUNT_ID, MEMORY_ID, 2, KEK.encode(kek))
        key = secret(f"memory key of {name}")
        random = Steady(f"wrap {name}")
        wrap = wrap_key("memory-key", secret(f"kek of {name}"), header, key, random=random)
        given = {
            "purpose": "memory-key",
            "key": steady(f"kek of {name}", 32).hex(),
            "header": header.hex(),
            "wrap": wrap.hex(),
        }
        book.accept(f"for the {name}", "unwrap", given, key=key.reveal().hex())
        other = memory_key_wrap_header(ACCOUNT_ID, MEMORY_ID, 3, KEK.encode(kek)).hex()
        book.refuse(f"{name}, other number", "unwrap", given | {"header": other}, "cannot-open")
        book.refuse(f"{name}, bit", "unwrap", given | {"wrap": flipped(wrap, 70)}, "cannot-open")
        long = seal("memory-key", secret(f"kek of {name}"), header, bytes(33), random=random)
        book.refuse(f"{name}, 33 bytes", "unwrap", given | {"wrap": long.hex()}, "cannot-open")
    for name, number, which in (("first", 1, "one"), ("second", 2, "one"), ("other", 2, "two")):
        values, wrap = _given(number, secret(f"given {which}"))
        book.accept(f"given to a grant, {name}", "give", values, wrap=wrap.hex())
    header_bytes, envelope = steady("header", 90), steady("envelope", 120)
    given = {"header": header_bytes.hex(), "envelope": envelope.hex()}
    digest = record_digest(header_bytes, envelope).hex()
    book.accept("digest", "record-digest", given, digest=digest)
    return book


def _given(number: int, memory_key: SecretBytes) -> tuple[dict[str, object], bytes]:
    """A memory's key for a grant, which an owner's device makes the same each time."""
    keyring, grant_key = Keyring(ACCOUNT_ID, 2, secret("account key")), secret("grant key")
    subject = Peek(ACCOUNT_ID, MEMORY_ID, 3, number)
    wrap = give_key(keyring, subject, memory_key, Wrapping(Kek(grant_id=GRANT_ID), grant_key))
    values: dict[str, object] = {
        "account_id": ACCOUNT_ID.hex(),
        "account_key": keyring.account_key().reveal().hex(),
        "generation": 2,
        "grant_id": GRANT_ID.hex(),
        "grant_key": grant_key.reveal().hex(),
        "memory_id": MEMORY_ID.hex(),
        "key_number": number,
        "memory_key": memory_key.reveal().hex(),
    }
    return values, wrap
