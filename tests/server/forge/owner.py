"""An owner's device."""

import base64
import os
import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.forge.encoding import (
    Record,
    Tree,
    as_json,
    b64,
    digest_of,
    entry,
    header,
    identity_of,
    listing,
    new_id,
    pae,
    public,
    record,
    sign,
    u64,
    wrapped,
)


@dataclass
class Keyslot:
    """A keyslot and its login key."""

    account: uuid.UUID
    kind: str = "passphrase"
    generation: int = 1
    slot: uuid.UUID = field(default_factory=uuid.uuid4)
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
        letters = b"\xab"  # without any, it would have one spelling in capitals and in small ones
        self.account = uuid.UUID(bytes=letters + os.urandom(15), version=4)
        self.key = Ed25519PrivateKey.generate()
        self.sealing_key = os.urandom(1216)
        self.slots = [Keyslot(self.account), Keyslot(self.account, "recovery")]
        self.identity = b"\x01" + os.urandom(144)
        self.generation = 1
        self.tree = Tree()
        self.head = ""
        self.token = ""
        self.session = Ed25519PrivateKey.generate()
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
        session_key = public(self.session)
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
