"""Makes what a client sends, from the specification alone: a second, independent writer.

Envelopes and wraps are random bytes of the right form: the server cannot tell, and must not.
"""

import base64
import os
import time
import uuid
from dataclasses import dataclass, field
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


@dataclass
class Keyslot:
    """A keyslot and its login key."""

    account: uuid.UUID
    kind: str = "passphrase"
    generation: int = 1
    slot: uuid.UUID = field(default_factory=new_id)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    wrap: bytes = field(default_factory=wrapped)

    def kdf(self) -> bytes:
        """The KDF's parameters."""
        if self.kind == "recovery":
            return listing()
        return listing(b"argon2id", bytes(16), u64(65_536), u64(3), u64(4))

    def raw(self) -> bytes:
        """The keyslot's bytes."""
        return pae(
            "keyslot",
            self.account.bytes,
            self.slot.bytes,
            self.kind.encode(),
            u64(self.generation),
            self.kdf(),
            public(self.key),
            u64(1_000),
            self.wrap,
        )


class Owner:
    """An owner's device: keys, and the log as it knows it."""

    def __init__(self, username: str = "ada") -> None:
        self.username = username
        self.account = new_id()
        self.key = Ed25519PrivateKey.generate()
        self.sealing_key = os.urandom(1216)
        self.slots = [Keyslot(self.account), Keyslot(self.account, "recovery")]
        self.identity = b"\x01" + os.urandom(144)
        self.generation = 1
        self.tree = Tree()
        self.head = ""
        self.token = ""
        self.statements: dict[uuid.UUID, bytes] = {}

    def card(self) -> bytes:
        """The account card."""
        return pae(
            "account",
            self.account.bytes,
            self.username.encode(),
            public(self.key),
            self.sealing_key,
            u64(1_000),
        )

    def keys_hash(self) -> bytes:
        """The hash of the owner's public keys."""
        return sha256(pae("identity-keys", public(self.key), self.sealing_key)).digest()

    def sign_head(self, tree: Tree, *, previous: str | None = None, at: int = 9_000) -> str:
        """A signed head over a tree."""
        before = self.head if previous is None else previous
        prev = (
            sha256(before.partition("\n\n")[0].encode() + b"\n").digest() if before else bytes(32)
        )
        name = f"coffret/v1/vault/{self.account}"
        text = f"{name}\n{tree.size}\n{b64(tree.root())}\nprev {b64(prev)}\ntime {at}\n"
        key_id = sha256(name.encode() + b"\n\x01" + public(self.key)).digest()[:4]
        return f"{text}\n\u2014 {name} {b64(key_id + self.key.sign(text.encode()))}\n"

    def append(self, *leaves: bytes, **parts: Any) -> dict[str, Any]:
        """An append on the log as this device knows it; `commit` it when it was accepted."""
        tree = self.tree.copy()
        for leaf in leaves:
            tree.add(leaf)
        return {
            "base": self.tree.size,
            "leaves": list(leaves),
            "head": self.sign_head(tree),
            "records": [],
            "accepts": [],
            "wraps": [],
            "unwraps": [],
            **parts,
        }

    def commit(self, append: dict[str, Any]) -> None:
        """Take an accepted append into this device's view of the log."""
        for leaf in append["leaves"]:
            self.tree.add(leaf)
        self.head = append["head"]

    def follow(self, leaves: list[bytes]) -> None:
        """Take leaves that others added into this device's view of the log."""
        for leaf in leaves:
            self.tree.add(leaf)

    def entry(self, kind: str, subject: uuid.UUID, version: int, digest: bytes) -> bytes:
        """An entry by the owner."""
        return entry(self.account, kind, subject, version, digest)

    def first_append(self) -> dict[str, Any]:
        """The append that begins the vault."""
        leaves = [self.entry("account", self.account, 1, sha256(self.card()).digest())]
        leaves += [
            self.entry("keyslot", slot.slot, slot.generation, sha256(slot.raw()).digest())
            for slot in self.slots
        ]
        return self.append(*leaves)

    def creation(self, append: dict[str, Any] | None = None) -> dict[str, Any]:
        """The body that makes the account."""
        return {
            "username": self.username,
            "account_card": b64(self.card()),
            "card_signature": b64(sign(self.key, "account", self.card())),
            "keyslots": [b64(slot.raw()) for slot in self.slots],
            "identity": {"generation": self.generation, "envelope": b64(self.identity)},
            "append": as_json(append or self.first_append()),
        }

    def put(self, *records: Record, **parts: Any) -> dict[str, Any]:
        """An append of records, whose ids and versions are read from their headers."""
        leaves = []
        for item in records:
            memory, version = identity_of(item[0])
            leaves.append(self.entry("put", memory, version, digest_of(item)))
        return self.append(*leaves, records=[list(item) for item in records], **parts)

    def memory(self, memory: uuid.UUID | None = None, version: int = 1, **fields: Any) -> Record:
        """A record of this owner."""
        size = fields.pop("size", 256)
        return record(header(self.account, memory or new_id(), version, **fields), size=size)

    def login_body(self, challenge: dict[str, Any], origin: str, slot: int = 0) -> dict[str, Any]:
        """The signed answer to a challenge."""
        session_key = public(Ed25519PrivateKey.generate())
        statement = pae(
            "login",
            origin.encode(),
            uuid.UUID(challenge["account_id"]).bytes,
            uuid.UUID(challenge["slot_id"]).bytes,
            base64.b64decode(challenge["nonce"]),
            session_key,
        )
        return {
            "account_id": challenge["account_id"],
            "slot_id": challenge["slot_id"],
            "nonce": challenge["nonce"],
            "session_public_key": b64(session_key),
            "signature": b64(sign(self.slots[slot].key, "login", statement)),
        }


def identity_of(raw: bytes) -> tuple[uuid.UUID, int]:
    """The memory and version of a header made here."""
    start = 8 + len(b"coffret/v1/memory-header") + 8 + 8 + 1
    memory = raw[start + 8 + 16 + 8 : start + 8 + 16 + 8 + 16]
    version = raw[start + 8 + 16 + 8 + 16 + 8 : start + 8 + 16 + 8 + 16 + 16]
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


class App:
    """An app and its keys."""

    def __init__(self, name: str = "Wayfarer") -> None:
        self.app = new_id()
        self.name = name
        self.key = Ed25519PrivateKey.generate()
        self.sealing_key = os.urandom(1216)
        self.token = self.api_key = self.developer_key = ""

    def manifest(self) -> bytes:
        """The manifest."""
        return pae(
            "app-manifest",
            self.app.bytes,
            self.name.encode(),
            b"https://wayfarer.example",
            public(self.key),
            self.sealing_key,
            u64(1_000),
        )

    def keys_hash(self) -> bytes:
        """The hash of the app's public keys."""
        return sha256(pae("identity-keys", public(self.key), self.sealing_key)).digest()

    def request(
        self,
        owner: Owner,
        *,
        scopes: tuple[str, ...] = ("create", "read"),
        request: uuid.UUID | None = None,
        seconds: int = 86_400,
        standing: int = 0,
        created: int | None = None,
    ) -> bytes:
        """An access request."""
        return pae(
            "access-request",
            (request or new_id()).bytes,
            owner.account.bytes,
            self.app.bytes,
            self.keys_hash(),
            owner.keys_hash(),
            sorted_set(*scopes),
            selector(),
            b"to plan journeys",
            b"thirty days",
            u64(seconds),
            bytes([standing]),
            os.urandom(32),
            u64(created or now()),
        )

    def leaf(
        self, account: uuid.UUID, kind: str, memory: uuid.UUID, version: int, digest: bytes
    ) -> bytes:
        """A leaf signed by the app."""
        raw = entry(account, kind, memory, version, digest, app=self.app)
        return raw + sign(self.key, "app-entry", raw)

    def memory(
        self,
        account: uuid.UUID,
        grant: uuid.UUID,
        memory: uuid.UUID | None = None,
        version: int = 1,
        **fields: Any,
    ) -> Record:
        """A record by the app, under its grant's key."""
        head = header(account, memory or new_id(), version, app=self.app, **fields)
        return record(head, kek=b"\x01" + grant.bytes)

    def put(self, account: uuid.UUID, *records: Record) -> dict[str, Any]:
        """The body that writes records."""
        leaves = []
        for item in records:
            memory, version = identity_of(item[0])
            leaves.append(self.leaf(account, "put", memory, version, digest_of(item)))
        return {"records": [list(item) for item in records], "leaves": leaves}


def selector(everything: int = 0, tags: tuple[str, ...] = ("travel",)) -> bytes:
    """A selector."""
    return pae(
        "selector",
        bytes([everything]),
        sorted_set(*(() if everything else tags)),
        listing(),
        listing(),
        listing(),
        listing(),
    )


def grant_statement(
    owner: Owner,
    app: App,
    request: bytes,
    *,
    grant: uuid.UUID,
    scopes: tuple[str, ...] = ("create", "read"),
    created: int | None = None,
    seconds: int = 86_400,
    standing: int = 0,
) -> bytes:
    """A grant statement."""
    start = created or now()
    return pae(
        "grant",
        owner.account.bytes,
        grant.bytes,
        app.app.bytes,
        sha256(request).digest(),
        owner.keys_hash(),
        app.keys_hash(),
        sorted_set(*scopes),
        selector(),
        bytes([standing]),
        b"\x00",
        u64(start),
        u64(start + seconds * 1_000_000),
    )


def approval(owner: Owner, statement: bytes) -> dict[str, Any]:
    """What an owner sends with an approval: the grant, its sealed key, and the signature."""
    sealed_key = os.urandom(1168)
    signed = pae("grant-approval", statement, sha256(sealed_key).digest())
    return {
        "grant": b64(statement),
        "sealed_key": b64(sealed_key),
        "signature": b64(sign(owner.key, "grant", signed)),
        "owner_wrap": b64(wrapped()),
        "generation": owner.generation,
    }
