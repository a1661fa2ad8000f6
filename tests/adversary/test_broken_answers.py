"""One lie does not last, and a server that only stalls gets nothing signed twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret.flows.http import b64
from coffret_vault.errors import CoffretError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from harness.flipping import flipped
from harness.network import Evil, updating

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Vault
    from harness.victim import Victim
    from harness.world import World

KEK, WRAP = 2, 3


# -- one lie ------------------------------------------------------------------------------------


def _spoil(part: int, data: bytes) -> Callable[[list[Any]], None]:
    def rewrite(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None:
                item[1][part] = data or flipped(item[1][part])

    return rewrite


@pytest.mark.parametrize(
    ("part", "data", "automatic"),
    [
        (KEK, b"\xff", True),
        (KEK, b"\1" + bytes(16), False),
        (WRAP, b"", True),
        (WRAP, bytes(113), False),
    ],
)
def test_a_lie_about_a_pending_key_does_not_last(
    victim: Victim,
    part: int,
    data: bytes,
    automatic: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """What does not open because of the server can be accepted when the server is honest again."""
    app = victim.world.app()
    _, access = victim.world.granted(victim.owner, app, auto_accept=automatic)
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = _spoil(part, data)
    made = access.remember("honest note")
    victim.vault.sync()
    assert [item.proposed for item in victim.vault.pending()] == [None]
    victim.evil.rewrite.clear()
    victim.vault.sync()
    assert [item.memory_id for item in victim.vault.pending()] == [made.id]
    assert victim.vault.status().pending == 1
    accepted = victim.vault.accept(made.id)
    assert accepted is not None
    assert accepted.content == "honest note"
    assert list(victim.vault.pending()) == []
    victim.vault.update(made.id, content="changed")
    assert victim.world.device(victim.owner).get(made.id).content == "changed"


def test_a_lie_that_is_told_again_at_acceptance_is_refused(victim: Victim) -> None:
    """Another record than the log's, when it is asked for once more, is a lie and is not kept."""
    app = victim.world.app()
    _, access = victim.world.granted(victim.owner, app)
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = _spoil(WRAP, b"")
    made, other = access.remember("honest note"), access.remember("another")
    victim.vault.sync()
    victim.evil.rewrite.clear()
    shown: list[Any] = []
    path = f"/memory-blobs/{other.id}"
    victim.evil.rewrite[path] = shown.append
    victim.vault.accept(other.id)
    victim.evil.rewrite[f"/memory-blobs/{made.id}"] = lambda _: shown[0]
    with pytest.raises(TrustError):
        victim.vault.accept(made.id)
    victim.evil.rewrite.clear()
    accepted = victim.vault.accept(made.id)
    assert accepted is not None
    assert accepted.content == "honest note"


@pytest.mark.attack(2)
def test_a_lie_about_a_grant_s_key_does_not_last(victim: Victim) -> None:
    """A grant whose key the owner cannot open is refused; later everything works."""
    app = victim.world.app()
    grant_id, access = victim.world.granted(victim.owner, app, standing=True, approve_standing=True)
    lie = updating({"owner_wrap": b64(os.urandom(113))})
    victim.evil.rewrite[f"/grants/{grant_id}"] = lie
    victim.refuses(TrustError, "cannot open")
    made = victim.vault.remember("by the second device")
    victim.vault.update(victim.seen.id, content="changed")
    victim.vault.sync()
    assert {memory.id for memory in access.memories()} == {made.id, victim.seen.id}
    victim.vault.revoke(grant_id)
    assert victim.vault.rotate() == 2


def test_a_login_that_was_lied_to_can_be_made_again(world: World) -> None:
    """A new device that is shown a grant it cannot open fails, and the next login works."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("shared")
    grant_id, access = world.granted(owner, app, standing=True, approve_standing=True)
    evil = Evil()
    evil.rewrite[f"/grants/{grant_id}"] = updating({"owner_wrap": b64(os.urandom(113))})
    with pytest.raises(TrustError, match="cannot open"):
        world.device(owner, transport=evil)
    device = world.device(owner)
    device.update(memory.id, content="changed")
    assert [item.content for item in access.memories()] == ["changed"]


def test_a_lie_about_a_grant_s_key_lasts_with_a_client_that_keeps_it(victim: Victim) -> None:
    """Control: kept unopened, the wrong key stops what the device writes from then on."""
    app = victim.world.app()
    grant_id, access = victim.world.granted(victim.owner, app, standing=True, approve_standing=True)
    assert len(access.memories()) == 1
    lie = updating({"owner_wrap": b64(os.urandom(113))})
    victim.evil.rewrite[f"/grants/{grant_id}"] = lie
    with (
        patch("coffret.flows.grantfeed.open_owner_wrap"),
        patch("coffret.flows.wraps.grant_wrapping"),
        patch("coffret.flows.wraps._holds", return_value=True),
    ):
        victim.vault.sync()
    victim.evil.rewrite.clear()
    victim.vault.sync()
    with pytest.raises(CoffretError):
        victim.vault.remember("by the second device")


# -- devices that rotate after each other -------------------------------------------------------


def test_the_third_app_keeps_its_memories_when_two_devices_rotate(world: World) -> None:
    """Two grants are revoked on two devices: the third app has the key after each rotation."""
    owner = world.owner()
    one, two = owner.vault, world.device(owner)
    memory = one.remember("trip", tags=["travel"])
    granted = [
        world.granted(owner, world.app(f"App {n}"), scopes=["read"], tags=["travel"])
        for n in range(3)
    ]
    two.sync()
    (first, _), (second, _), (third, keeper) = granted
    for device, ending in ((one, first), (two, second)):
        device.sync()
        device.revoke(ending)
        assert device.rotate() == 1
        assert [item.id for item in keeper.memories()] == [memory.id]
        assert device.grant(third).memories == 1
    one.sync()
    one.update(memory.id, content="changed")
    assert [item.content for item in keeper.memories()] == ["changed"]


def test_a_device_that_goes_by_counts_alone_leaves_the_third_app_out(world: World) -> None:
    """Control: unless the server says that wraps changed, the second rotation forgets the app."""
    evil = Evil()
    owner = world.owner()
    two = world.device(owner, transport=evil)
    evil.rewrite["/grants"] = lambda answer: [{**item, "wraps_changed": 0} for item in answer]
    owner.vault.remember("trip", tags=["travel"])
    asking = {"scopes": ["read"], "tags": ["travel"]}
    (first, _), (second, _), (_, keeper) = [
        world.granted(owner, world.app(f"App {n}"), **asking) for n in range(3)
    ]
    two.sync()
    for device, ending in ((owner.vault, first), (two, second)):
        device.sync()
        device.revoke(ending)
        device.rotate()
    assert keeper.memories() == []


# -- a server that stalls -----------------------------------------------------------------------


class Stalling(Evil):
    """Says that the log moved, to every append, and shows nothing that moved it."""

    def __init__(self) -> None:
        """Begin honest."""
        super().__init__()
        self.stalls = False
        self.takes = False
        """Take the append, and say all the same that the log moved."""
        self.heads: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Keep the head of every append, and answer it with a lie."""
        note = _head_of(request)
        if note:
            self.heads.append(note)
        if not (note and self.stalls):
            return super().handle_request(request)
        if self.takes:
            super().handle_request(request)
        body = b'{"code":"log-moved","current":{"size":1,"head":""}}'
        kind = {"content-type": "application/problem+json"}
        return httpx.Response(409, content=body, headers=kind)


def _head_of(request: httpx.Request) -> str:
    """The signed head in an append, alone or within a call about a grant."""
    if request.method == "GET" or not request.content:
        return ""
    packed = "msgpack" in request.headers.get("content-type", "")
    decode: Callable[[bytes], Any] = msgspec.msgpack.decode if packed else msgspec.json.decode
    body = decode(request.content)
    found: str = (body.get("append") or body).get("head", "")
    return found


def _remember(vault: Vault, _grant: str, _memory: str) -> None:
    vault.remember("only once")


def _update(vault: Vault, _grant: str, memory: str) -> None:
    vault.update(memory, content="only once")


def _forget(vault: Vault, _grant: str, memory: str) -> None:
    vault.forget(memory)


def _pause(vault: Vault, grant: str, _memory: str) -> None:
    vault.pause(grant)


def _revoke(vault: Vault, grant: str, _memory: str) -> None:
    vault.revoke(grant)


@pytest.mark.parametrize("write", [_remember, _update, _forget, _pause, _revoke])
def test_a_stalling_server_gets_one_head(
    world: World, write: Callable[[Vault, str, str], None]
) -> None:
    """The very same head is sent again, and then the device stops: never two over one size."""
    network = Stalling()
    owner, app = world.owner(transport=network), world.app()
    memory = owner.vault.remember("seen")
    grant_id, _ = world.granted(owner, app)
    network.heads.clear()
    network.stalls = True
    before = owner.vault.status()
    with pytest.raises(TrustError, match="shows nothing"):
        write(owner.vault, grant_id, memory.id)
    assert len(network.heads) > 1
    assert len(set(network.heads)) == 1
    assert parse_head(network.heads[0]).head.size == before.entries + 1
    assert owner.vault.status().head == before.head
    network.stalls = False
    owner.vault.sync()
    assert owner.vault.status().entries == before.entries + 1
    assert len(set(network.heads)) == 1


def test_a_head_that_was_taken_after_all_is_kept(world: World) -> None:
    """A server that takes an append and says that it did not gets it once, under one head."""
    network = Stalling()
    owner = world.owner(transport=network)
    owner.vault.remember("seen")
    network.heads.clear()
    network.stalls = network.takes = True
    owner.vault.remember("only once")
    assert len(set(network.heads)) == 1
    network.stalls = False
    contents = [memory.content for memory in world.device(owner).list()]
    assert sorted(contents) == ["only once", "seen"]


def test_between_two_devices_each_size_has_one_head(world: World) -> None:
    """Control: where another device really wrote in between, the next head is of a larger log."""
    network = Stalling()
    owner = world.owner(transport=network)
    other = world.device(owner)
    owner.vault.remember("seen")
    other.sync()
    network.heads.clear()
    other.remember("in between")
    owner.vault.remember("behind it")
    sizes = [parse_head(note).head.size for note in network.heads]
    assert len(network.heads) == 2
    assert sizes[1] == sizes[0] + 1
    assert network.paths.count("/memory-blobs") == 3
