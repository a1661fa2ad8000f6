"""Encodings, records, entries and the log's tree, written from the specification alone."""

import base64
import os
import time
import uuid
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OWNER = b"\x00"
WRAP_SIZE = 113


def u64(value: int) -> bytes:
    """Eight bytes, big-endian."""
    return value.to_bytes(8, "big")


def pae(purpose: str, *fields: bytes, suite: bytes = b"\x01") -> bytes:
    """PAE of fields, the suite before them."""
    label = b"coffret/v1/" + purpose.encode()
    parts = [u64(len(label)), label, u64(len(fields) + 1)]
    for item in (suite, *fields):
        parts += [u64(len(item)), item]
    return b"".join(parts)


def listing(*items: bytes) -> bytes:
    """A `list`."""
    return u64(len(items)) + b"".join(u64(len(item)) + item for item in items)


def sorted_set(*items: bytes | str) -> bytes:
    """A `set` of bytes or text."""
    raw = {item.encode() if isinstance(item, str) else item for item in items}
    return listing(*sorted(raw))


def sign(key: Ed25519PrivateKey, kind: str, message: bytes) -> bytes:
    """A signature of one of the published kinds."""
    return key.sign(pae(f"sign/{kind}", message))


def public(key: Ed25519PrivateKey) -> bytes:
    """The raw public key."""
    return key.public_key().public_bytes_raw()


def now() -> int:
    """µs since 1970."""
    return time.time_ns() // 1000


def new_id() -> uuid.UUID:
    """A UUIDv7."""
    data = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    data[6] = 0x70 | data[6] & 0x0F
    data[8] = 0x80 | data[8] & 0x3F
    return uuid.UUID(bytes=bytes(data))


def sealed(size: int = 256) -> bytes:
    """Random bytes in the form of an envelope of a frame of `size` bytes."""
    return b"\x01" + os.urandom(80 + size)


def wrapped() -> bytes:
    """Random bytes in the form of a wrapped key."""
    return b"\x01" + os.urandom(WRAP_SIZE - 1)


def author(app: uuid.UUID | None) -> bytes:
    """An `author`."""
    return OWNER if app is None else b"\x01" + app.bytes


def hash_of(data: bytes) -> bytes:
    """SHA-256."""
    return sha256(data).digest()


def b64(data: bytes) -> str:
    """Bytes as JSON holds them."""
    return base64.b64encode(data).decode()


def header(
    account: uuid.UUID,
    memory: uuid.UUID,
    version: int = 1,
    *,
    key_number: int = 1,
    app: uuid.UUID | None = None,
    created: int = 1_000,
    updated: int = 1_000,
    visibility: int = 0,
    title: str = "a title",
    importance: int | None = 500_000,
    tags: tuple[str, ...] = ("travel",),
) -> bytes:
    """A memory header."""
    return pae(
        "memory-header",
        account.bytes,
        memory.bytes,
        u64(version),
        u64(key_number),
        author(app),
        u64(created),
        u64(updated),
        bytes([visibility]),
        title.encode(),
        listing() if importance is None else listing(u64(importance)),
        sorted_set(*tags),
    )


def digest_of(record: "Record") -> bytes:
    """A record's digest."""
    return sha256(pae("record", sha256(record[0]).digest(), sha256(record[1]).digest())).digest()


Record = tuple[bytes, bytes, bytes, bytes]


def record(head: bytes, *, kek: bytes | None = None, size: int = 256) -> Record:
    """A record of random bytes, for the owner unless a kek is given."""
    return head, sealed(size), b"\x00" + u64(1) if kek is None else kek, wrapped()


def entry(
    account: uuid.UUID,
    kind: str,
    subject: uuid.UUID,
    version: int,
    digest: bytes,
    *,
    app: uuid.UUID | None = None,
    at: int = 5_000,
) -> bytes:
    """A log entry."""
    return pae(
        "log-entry",
        account.bytes,
        kind.encode(),
        subject.bytes,
        u64(version),
        digest,
        author(app),
        u64(at),
    )


class Tree:
    """RFC 6962's tree, kept as perfect subtrees by size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def copy(self) -> "Tree":
        """A tree that grows apart from this one."""
        other = Tree()
        other.size, other._peaks = self.size, list(self._peaks)
        return other

    def add(self, leaf: bytes) -> None:
        """Add a leaf."""
        node, count = sha256(b"\x00" + leaf).digest(), 1
        while self._peaks and self._peaks[-1][0] == count:
            node = sha256(b"\x01" + self._peaks.pop()[1] + node).digest()
            count *= 2
        self._peaks.append((count, node))
        self.size += 1

    def root(self) -> bytes:
        """The root."""
        if not self._peaks:
            return sha256(b"").digest()
        root = self._peaks[-1][1]
        for _, node in reversed(self._peaks[:-1]):
            root = sha256(b"\x01" + node + root).digest()
        return root


def identity_of(raw: bytes) -> tuple[uuid.UUID, int]:
    """The memory and version of a header made here."""
    start = 8 + len(b"coffret/v1/memory-header") + 8 + 8 + 1
    memory = raw[start + 8 + 16 + 8 : start + 8 + 16 + 8 + 16]
    version = raw[start + 8 + 16 + 8 + 16 + 8 : start + 8 + 16 + 8 + 16 + 16]
    return uuid.UUID(bytes=memory), int.from_bytes(version, "big")


def subject_of(leaf: bytes) -> tuple[uuid.UUID, int]:
    """The memory and version of a leaf made here."""
    start = 8 + len(b"coffret/v1/log-entry") + 8 + 8 + 1 + 8 + 16
    start += 8 + int.from_bytes(leaf[start : start + 8], "big")
    memory, version = leaf[start + 8 : start + 24], leaf[start + 32 : start + 40]
    return uuid.UUID(bytes=memory), int.from_bytes(version, "big")


def as_json(value: Any) -> Any:
    """A value with bytes as base64 and ids hyphenated."""
    if isinstance(value, bytes):
        return b64(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
