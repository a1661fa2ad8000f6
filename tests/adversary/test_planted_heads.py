"""Somebody writes to a locked device's folder that its server was asked for more than it showed.

A head from elsewhere that is over more than a device has read accuses the server only where the log
was read since there was that head: so that is the device's own word, and sealed.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret_vault.errors import CredentialsError, LockedError, NotFoundError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.pae import u64
from coffret_vault.store import Store
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.world import Owner, World

PLANTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "as it was noted before it was sealed": ("awaited head", lambda digest: digest + b"\1"),
    "without a seal": ("read since", lambda digest: digest + u64(1)),
    "behind a generation": ("read since", lambda digest: u64(1) + digest + u64(1)),
    "as an envelope's shape": ("read since", lambda digest: u64(1) + b"\1" + bytes(80) + digest),
    "of keys that are to come": ("read since", lambda digest: u64(2) + b"\1" + bytes(80) + digest),
}


def _behind(world: World) -> tuple[Owner, Path, str]:
    """An owner, the folder of a device that is behind and closed, and the newest head."""
    owner = world.owner()
    device = world.device(owner)
    device.close()
    owner.vault.remember("today")
    return owner, device.folder, owner.vault.status().head


def _write(folder: Path, name: str, value: bytes) -> None:
    store = Store(folder / "store.db")
    store.set_meta(name, value)
    store.close()


def _read(folder: Path, name: str) -> bytes:
    store = Store(folder / "store.db")
    found = store.meta(name) or b""
    store.close()
    return found


def _opened(world: World, folder: Path, owner: Owner) -> Vault:
    vault: Vault = world.closing(Vault.open(folder, **world.around()))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


@pytest.mark.attack(19, 49)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_note_of_a_head_accuses_no_server(world: World, plant: str) -> None:
    """A device that is said to have read since, and has not, is to read, and keeps no evidence."""
    owner, folder, head = _behind(world)
    name, made = PLANTS[plant]
    _write(folder, name, made(parse_head(head).digest))
    locked: Vault = world.closing(Vault.open(folder, **world.around()))
    with pytest.raises((NotFoundError, LockedError)):
        locked.confirm(head)
    vault = _opened(world, folder, owner)
    with pytest.raises(NotFoundError, match="has not read"):
        vault.confirm(head)
    vault.sync()
    assert vault.confirm(head) == parse_head(head).head.size
    assert vault.evidence() == []


@pytest.mark.attack(19, 49)
def test_a_genuine_note_in_a_folder_of_before_accuses_no_server(world: World) -> None:
    """The device's own note that it read up to somewhere counts for nothing where it has not."""
    owner, folder, head = _behind(world)
    before = folder.with_name(f"{folder.name}-before")
    shutil.copytree(folder, before)
    device = _opened(world, folder, owner)
    with pytest.raises(NotFoundError):
        device.confirm(head)
    device.sync()
    device.close()
    note = _read(folder, "read since")
    assert note
    _write(before, "read since", note)
    turned_back = _opened(world, before, owner)
    with pytest.raises(NotFoundError, match="has not read"):
        turned_back.confirm(head)
    assert turned_back.evidence() == []


@pytest.mark.attack(17)
def test_a_locked_device_leaves_the_alarm_to_its_keys(world: World) -> None:
    """Where the server did show too little, who compares while it is locked is told to unlock."""
    owner, folder, head = _behind(world)
    evil = Evil()
    vault: Vault = world.closing(Vault.open(folder, **world.around(transport=evil)))
    with pytest.raises(NotFoundError):
        vault.confirm(head)
    shown = vault.status()
    evil.rewrite["/sync"] = lambda _: [shown.entries, shown.head, []]
    vault.unlock(PASSPHRASE, owner.secret_key)
    vault.sync()
    vault.lock()
    with pytest.raises(LockedError):
        vault.confirm(head)
    vault.unlock(PASSPHRASE, owner.secret_key)
    with pytest.raises(TrustError, match="another log") as raised:
        vault.confirm(head)
    assert raised.value.evidence


@pytest.mark.attack(19, 49)
def test_another_vault_in_the_place_of_a_locked_one_accuses_no_server(world: World) -> None:
    """Whose log it is that lies here, the vault's keys tell; without them no head is judged."""
    owner, folder, head = _behind(world)
    stranger = world.owner()
    stranger.vault.close()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(stranger.vault.folder / "store.db", folder / "store.db")
    vault: Vault = world.closing(Vault.open(folder, **world.around()))
    with pytest.raises(LockedError):
        vault.confirm(head)
    with pytest.raises(CredentialsError):
        vault.unlock(PASSPHRASE, owner.secret_key)
    assert vault.evidence() == []
