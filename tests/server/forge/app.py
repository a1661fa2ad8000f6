"""An app, what it asks for, and what it is granted."""

import os
import uuid
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.forge.encoding import (
    Record,
    b64,
    digest_of,
    entry,
    header,
    identity_of,
    listing,
    new_id,
    now,
    pae,
    public,
    record,
    sign,
    sorted_set,
    u64,
    wrapped,
)
from server.forge.owner import Owner


class App:
    """An app, its keys, and the time on its clock."""

    def __init__(self, name: str = "Wayfarer") -> None:
        self.app = new_id()
        self.name = name
        self.key = Ed25519PrivateKey.generate()
        self.sealing_key = os.urandom(1216)
        self.token = self.api_key = self.developer_key = ""
        self.time = 5_000

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

    def manifest_digest(self) -> bytes:
        """The digest of the manifest."""
        return sha256(self.manifest()).digest()

    def request(
        self,
        owner: Owner,
        *,
        scopes: tuple[str, ...] = ("create", "read"),
        request: uuid.UUID | None = None,
        seconds: int = 86_400,
        standing: int = 0,
        created: int | None = None,
        memories: tuple[uuid.UUID, ...] = (),
        tags: tuple[str, ...] = ("travel",),
        purpose: str = "to plan journeys",
        retention: str = "thirty days",
    ) -> bytes:
        """An access request."""
        return pae(
            "access-request",
            (request or new_id()).bytes,
            owner.account.bytes,
            self.app.bytes,
            self.manifest_digest(),
            owner.keys_hash(),
            sorted_set(*scopes),
            selector(tags=tags, memories=memories),
            purpose.encode(),
            retention.encode(),
            u64(seconds),
            bytes([standing]),
            os.urandom(32),
            u64(created or now()),
        )

    def leaf(
        self, account: uuid.UUID, kind: str, memory: uuid.UUID, version: int, digest: bytes
    ) -> bytes:
        """A leaf signed by the app."""
        raw = entry(account, kind, memory, version, digest, app=self.app, at=self.time)
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


def selector(
    everything: int = 0,
    tags: tuple[str, ...] = ("travel",),
    memories: tuple[uuid.UUID, ...] = (),
) -> bytes:
    """A selector."""
    return pae(
        "selector",
        bytes([everything]),
        sorted_set(*(() if everything else tags)),
        listing(),
        sorted_set(*(memory.bytes for memory in memories)),
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
        app.manifest_digest(),
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
