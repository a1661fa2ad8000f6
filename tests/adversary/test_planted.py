"""Somebody writes to a locked device's folder what the device is to do once it is unlocked.

Not a byte of it is sent: what a device goes on with are notes that its own keys sealed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret import Vault
from coffret.flows.grantfeed import sharing_name
from coffret.flows.unsent import _Unsent
from coffret_vault.errors import NetworkError, StoreAlteredError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.pae import u64
from coffret_vault.store import Store
from harness.network import Losing, Recorder
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret_vault.keyring import Keyring
    from harness.world import Owner, World

    Forge = Callable[[bytes], bytes]

FAR = 1 << 40
PLANTED = _Unsent(FAR, b"", "DELETE", "/accounts/me/planted", b"{}")
"""A request that the owner never made, on a log so long that it would never be given up."""

FORGERIES: dict[str, Forge] = {
    "as it was kept before notes were sealed": lambda plain: plain,
    "behind a generation": lambda plain: u64(1) + plain,
    "as an envelope's shape": lambda plain: u64(1) + b"\1" + bytes(80) + plain,
    "of keys that are to come": lambda plain: u64(2) + b"\1" + bytes(80) + plain,
    "cut to nothing": lambda _: u64(1),
}


def _believing(_keyring: Keyring, _name: str, sealed: bytes) -> bytes:
    """A device that takes what it finds for its own."""
    return sealed


def _write(owner: Owner, name: str, value: bytes) -> None:
    """What somebody does to the folder of a locked device."""
    store = Store(owner.vault.folder / "store.db")
    store.set_meta(name, value)
    store.close()


def _planted(world: World, owner: Owner, value: bytes, name: str = "unsent") -> Vault:
    """The device, closed, with something planted, and opened and unlocked again."""
    owner.vault.close()
    _write(owner, name, value)
    around = world.around(transport=Recorder())
    vault: Vault = world.closing(Vault.open(owner.vault.folder, **around))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


def _paths(vault: Vault) -> list[str]:
    recorder = vault._driver._connection._transport  # type: ignore[attr-defined]
    assert isinstance(recorder, Recorder)
    return recorder.paths


@pytest.mark.attack(49)
@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("go_on", [Vault.sync, lambda vault: vault.remember("next")])
def test_a_planted_request_is_not_sent(
    world: World, forgery: str, go_on: Callable[[Vault], object]
) -> None:
    """It is refused by name and dropped; what the owner does next goes through."""
    owner = world.owner()
    value = FORGERIES[forgery](msgspec.msgpack.encode(PLANTED))
    vault = _planted(world, owner, value)
    with pytest.raises(StoreAlteredError, match="never made"):
        go_on(vault)
    vault.remember("more")
    vault.sync()
    assert [memory.content for memory in vault.list()] == ["more"]
    assert not [path for path in _paths(vault) if "planted" in path]


@pytest.mark.control(49)
def test_a_device_that_believes_its_folder_sends_it(world: World) -> None:
    """Control: without the seal the planted request goes out, as the owner."""
    owner = world.owner()
    vault = _planted(world, owner, msgspec.msgpack.encode(PLANTED))
    with patch("coffret.flows.unsent.open_note", _believing):
        vault.sync()
    assert "/accounts/me/planted" in _paths(vault)


@pytest.mark.attack(49)
def test_a_note_works_in_its_own_place_only(world: World) -> None:
    """A genuine note of another vault, or of this one under another name, or changed: refused."""
    network = Losing()
    owner, other = world.owner(transport=network), world.owner()
    kept = _unsent(owner, network)
    vault = _planted(world, other, kept)
    with pytest.raises(StoreAlteredError):
        vault.sync()
    changed = bytearray(kept)
    changed[-1] ^= 1
    vault = _planted(world, owner, bytes(changed))
    with pytest.raises(StoreAlteredError):
        vault.sync()


def _unsent(owner: Owner, network: Losing) -> bytes:
    """A change of the owner's that never reached the server."""
    network.left = 0
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        owner.vault.remember("lost")
    network.left = -1
    return owner.vault._state.store.meta("unsent") or b""


@pytest.mark.attack(49)
def test_a_genuine_note_that_is_put_back_later_changes_nothing(world: World) -> None:
    """What went out long ago builds on a log of then: it is dropped without being sent."""
    network = Losing()
    owner = world.owner(transport=network)
    kept = _unsent(owner, network)
    owner.vault.sync()
    vault = _planted(world, owner, kept)
    before = vault.status().entries
    vault.sync()
    assert vault.status().entries == before
    assert [memory.content for memory in vault.list()] == ["lost"]
    assert not [path for path in _paths(vault) if path.startswith("/memory-blobs")]


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.attack(49)
def test_nobody_adds_to_what_a_grant_shares(world: World, *, moved: bool) -> None:
    """The list of what an interrupted approval hands over is the owner's, or nothing is shared."""
    assert _shared(world, moved=moved) is None


@pytest.mark.control(49)
def test_a_device_that_believes_its_list_shares_what_it_says(world: World) -> None:
    """Control: without the seal the app gets a memory that nobody approved."""
    with patch("coffret.flows.handover.open_note", _believing):
        assert _shared(world, moved=False) == ["secret"]


def _shared(world: World, *, moved: bool) -> list[str] | None:
    """What an app gets of an approval that was interrupted, its list being exchanged meanwhile.

    It was granted "shown"; planted is a list of "secret", in the clear or, ``moved``, as another
    grant's genuine list. None where the approval is refused.
    """
    owner, texts = world.owner(), ("shown", "secret")
    apps = {text: world.app(text, f"https://{text}.example") for text in texts}
    ids = {text: owner.vault.remember(text).id for text in texts}
    requests = {text: ask(apps[text], owner, memories={ids[text]}) for text in texts}
    with patch("coffret.flows.approval.hand_over", side_effect=NetworkError):
        grants = {text: _decided(owner, apps[text].words, requests[text]) for text in texts}
    store = owner.vault._state.store
    genuine = store.meta(sharing_name(parse_id(grants["secret"]))) or b""
    value = genuine if moved else parse_id(ids["secret"]) + bytes(8)
    vault = _planted(world, owner, value, sharing_name(parse_id(grants["shown"])))
    vault.requests(None)
    try:
        vault.approve(requests["shown"])
    except StoreAlteredError:
        return None
    return [memory.content for memory in apps["shown"].access(requests["shown"]).memories()]


def _decided(owner: Owner, words: str, request_id: str) -> str:
    owner.vault.requests(None)
    known = {grant.grant_id for grant in owner.vault.grants()}
    with pytest.raises(NetworkError):
        owner.vault.approve(request_id, words=words)
    (made,) = {grant.grant_id for grant in owner.vault.grants()} - known
    return made


LOGS = {
    "entries are gone": "DELETE FROM leaves WHERE at > 2",
    "all entries are gone": "DELETE FROM leaves",
    "an entry is another": "UPDATE leaves SET leaf = x'00' WHERE at = 2",
    "an entry is one more": "INSERT INTO leaves VALUES (100, x'00')",
}


@pytest.mark.attack(49)
@pytest.mark.parametrize("change", LOGS)
@pytest.mark.parametrize("unlocked", [True, False], ids=["unlocked", "locked"])
def test_a_log_that_was_changed_here_accuses_no_server(
    world: World,
    change: str,
    unlocked: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A genuine head is compared with the log that was verified, or with nothing."""
    owner = world.owner()
    heads = [owner.vault.status().head]
    owner.vault.remember("one")
    heads.append(owner.vault.status().head)
    device = world.device(owner)
    device.close()
    with closing(sqlite3.connect(device.folder / "store.db")) as database, database:
        database.execute(LOGS[change])
    vault = world.closing(Vault.open(device.folder, **world.around()))
    if unlocked:
        vault.unlock(PASSPHRASE, owner.secret_key)
    for head in heads:
        with pytest.raises(StoreAlteredError, match="changed"):
            vault.confirm(head)
    assert vault.evidence() == []
    assert not vault._state.account.confirmed
