"""What an auditor can do with a copy of what the server keeps, and without a key or this code."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vectors.verifier import objects, tree
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.refusal import Refused

if TYPE_CHECKING:
    from harness.world import World


def _table(view: Any, name: str) -> list[dict[str, Any]]:
    (found,) = (table for table in view["tables"] if table["table"] == name)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def test_the_signed_head_is_over_the_leaves_that_the_server_shows(world: World) -> None:
    """By the specification alone: the root over the leaves, and the owner's signature under it.

    What apps wrote since is behind those: no head of the owner is over it yet.
    """
    owner, app = world.owner(), world.app()
    vault = owner.vault
    kept = [vault.remember(f"memory {number}") for number in range(300)]
    vault.update(kept[0].id, content="x" * 300)
    vault.forget(kept[1].id)
    _, access = world.granted(owner, app)
    access.remember("by an app")
    view = json.loads(msgspec.json.encode(vault.server_view()))
    rows = sorted(_table(view, "entries"), key=lambda row: row["seq"])
    leaves = [msgspec.msgpack.decode(b64decode(row["leaf"]), type=bytes) for row in rows]
    (log,), (account,) = _table(view, "logs"), _table(view, "accounts")
    head, public = objects.parse_head(log["head"]), b64decode(account["signing_key"])
    assert head["key_id"] == objects.head_key_id(b64decode(account["account_id"]), public).hex()
    ed25519_verify(public, head["text"].encode(), bytes.fromhex(head["signature"]))
    signed = leaves[: head["size"]]
    assert (len(signed), tree.root(signed).hex()) == (len(leaves) - 1, head["root"])
    with pytest.raises(Refused):
        ed25519_verify(public, head["text"].encode() + b"\n", bytes.fromhex(head["signature"]))
