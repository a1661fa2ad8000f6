"""Two processes of one device that write at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec

from coffret import Vault
from coffret.flows import append, unsent
from coffret_vault.formats.checkpoint import parse_head
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    import httpx

    from harness.world import World


def sizes(evil: Evil) -> list[int]:
    """The sizes of the heads that went out."""
    bodies = [
        msgspec.msgpack.decode(request.content) for request in evil.requests if _is_append(request)
    ]
    return [parse_head(body["head"]).head.size for body in bodies]


def _is_append(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/memory-blobs")


def test_one_head_of_a_size_leaves_the_device(world: World) -> None:
    """A head made before the other process wrote is not sent: another is made behind that."""
    evil = Evil()
    owner = world.owner(transport=evil)
    other = world.closing(Vault.open(owner.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    before, hold = owner.vault._state.position().size, unsent.hold

    def behind_the_other(*arguments: Any, **options: Any) -> bytes | None:
        with patch.object(append, "hold", hold):
            if not list(other.list()):
                other.remember("by the other process")
        return hold(*arguments, **options)

    with patch.object(append, "hold", behind_the_other):
        owner.vault.remember("by this one")
    assert sizes(evil) == [before + 2]
    assert {memory.content for memory in other.list()} == {"by the other process", "by this one"}
