"""A key change of an owner, as a device makes it."""

import copy
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server import forge
from server.stand import Stand


class Change:
    """A key change of an owner, as a device makes it."""

    def __init__(self, owner: forge.Owner) -> None:
        self.before = owner
        self.after = copy.copy(owner)
        self.after.tree = owner.tree.copy()
        self.after.key = Ed25519PrivateKey.generate()
        self.after.generation = owner.generation + 1
        self.after.identity = forge.sealed(64)
        self.after.slots = [
            forge.Keyslot(owner.account, kind, self.after.generation)
            for kind in ("passphrase", "recovery")
        ]
        self.id = forge.new_id()
        self.grants: dict[Any, tuple[int, bytes]] = {}
        """The version of each grant's revocation and its statement."""
        self.says: dict[str, bytes] = {}
        """What the succession says of something else than this change."""

    def succession(self, **changed: bytes) -> bytes:
        """What the keys before sign."""
        fields = {
            "account": self.before.account.bytes,
            "generation": forge.u64(self.after.generation),
            "before": sha256(self.before.card()).digest(),
            "after": sha256(self.after.card()).digest(),
            "identity": sha256(self.after.identity).digest(),
            "created": forge.u64(1_000),
        }
        return forge.pae("succession", *(fields | self.says | changed).values())

    def leaves(self) -> list[bytes]:
        """The entries of the change."""
        before, after = self.before, self.after
        digest = forge.hash_of(self.succession())
        return [
            before.entry("rotate", before.account, after.generation, digest),
            *(_slot_entry(before, "keyslot", slot) for slot in after.slots),
            *(_slot_entry(before, "keyslot-remove", slot) for slot in before.slots),
            *(
                before.entry("revoke", grant, version, forge.hash_of(statement))
                for grant, (version, statement) in self.grants.items()
            ),
        ]

    def append(self) -> dict[str, Any]:
        """The append, under a head by the new key."""
        return self.after.append(*self.leaves())

    def body(self) -> dict[str, Any]:
        """The call's body."""
        card, succession = self.after.card(), self.succession()
        return {
            "change_id": str(self.id),
            "account_card": forge.b64(card),
            "card_signature": forge.b64(forge.sign(self.after.key, "account", card)),
            "succession": forge.b64(succession),
            "succession_signature": forge.b64(
                forge.sign(self.before.key, "succession", succession)
            ),
            "keyslots": [forge.b64(slot.raw()) for slot in self.after.slots],
            "identity": {
                "generation": self.after.generation,
                "envelope": forge.b64(self.after.identity),
            },
            "grants": [
                {"grant_id": str(grant), "owner_wrap": forge.b64(forge.wrapped())}
                for grant in self.grants
            ],
            "append": forge.as_json(self.append()),
        }


def _slot_entry(owner: forge.Owner, kind: str, slot: forge.Keyslot) -> bytes:
    return owner.entry(kind, slot.slot, slot.generation, forge.hash_of(slot.raw()))


def unpacked(answer: Any) -> Any:
    """A MessagePack answer."""
    assert answer.is_success, answer.text
    return msgspec.msgpack.decode(answer.content)


async def stage(stand: Stand, change: Change, *wraps: tuple[Any, int, bytes]) -> Any:
    """Stage wraps for a change."""
    body = {"change_id": change.id, "wraps": [list(wrap) for wrap in wraps]}
    return await stand.send("POST", "/accounts/me/rewraps", body, change.before.token)


async def make(stand: Stand, change: Change, body: dict[str, Any] | None = None) -> Any:
    """Make a change."""
    return await stand.post("/accounts/me/keys", body or change.body(), change.before.token)


async def wraps_of(stand: Stand, owner: forge.Owner) -> list[Any]:
    """The memory keys as the server keeps them."""
    answer = await stand.get("/accounts/me/memory-keys?limit=2", owner.token)
    found, following = [], unpacked(answer)
    while True:
        found += following[1]
        if following[0] is None:
            return found
        path = f"/accounts/me/memory-keys?from={following[0]}&limit=2"
        following = unpacked(await stand.get(path, owner.token))
