"""What a thief took before a key change is worth nothing after it, whatever else is in between."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import Vault
from coffret.flows import newkeys, reentry
from coffret.flows.grantfeed import grant_wrapping
from coffret.flows.session import get
from coffret_vault.errors import CredentialsError, KeysChangedError, OpenError, TrustError
from coffret_vault.formats.memory import HEADER
from coffret_vault.keyslots.slots import derive_passphrase_keys
from coffret_vault.records.seal import open_version, unwrap_memory_key
from harness.network import BASE
from harness.thief import proved_again, session_of
from harness.world import PASSPHRASE as OLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import RecoveryKit
    from coffret_vault.records.seal import Wrapping
    from harness.world import Owner, World

NEW = "another passphrase"


def change(vault: Vault, passphrase: str = NEW) -> RecoveryKit:
    """Change every key, and give the new kit."""
    kits: list[RecoveryKit] = []
    vault.change_keys(passphrase, kits.append)
    return kits[0]


def rows(vault: Vault, table: str) -> list[dict[str, Any]]:
    """A table of the server's database, as far as it is about this account."""
    flow = get(vault._state, "/accounts/me/server-view", ("limit", "500"))
    found = msgspec.json.decode(vault._driver.run(flow).body)["tables"]
    kept = next(item for item in found if item["table"] == table)
    return [dict(zip(kept["columns"], row, strict=True)) for row in kept["rows"]]


def forged(owner: Owner, passphrase: str = OLD) -> None:
    """A thief's key change, under the passphrase and Secret Key that the owner has: both known."""
    known = owner.kit.secret_key

    def slots(passphrase: str, _made: object, *rest: Any, **more: Any) -> Any:
        return derive_passphrase_keys(passphrase, known, *rest, **more)

    with patch.object(newkeys, "derive_passphrase_keys", slots):
        change(owner.vault, passphrase)


@pytest.mark.attack(2, 57)
def test_secrets_of_before_take_no_device_to_new_keys(world: World) -> None:
    """Keys that open with the Secret Key of before are no owner's: every change makes a new one."""
    owner = world.owner()
    owner.vault.remember("before")
    other = world.device(owner)
    forged(owner)
    before = list(other._state.store._database.iterdump())
    with pytest.raises(KeysChangedError):
        other.sync()
    with pytest.raises(TrustError):
        other.log_in_again(OLD, owner.secret_key)
    assert list(other._state.store._database.iterdump()) == before
    assert [memory.content for memory in other.list()] == ["before"]


def _as_it_was_entered(_world: World, _owner: Owner, other: Vault) -> Vault:
    return other


def _opened_anew(world: World, owner: Owner, other: Vault) -> Vault:
    """As in a folder in which nothing says yet what the Secret Key is."""
    other._state.store.set_meta("opened by", b"")
    other.close()
    again: Vault = world.closing(Vault.open(other.folder, **world.around()))
    again.unlock(OLD, owner.secret_key)
    return again


def _after_a_change(_world: World, owner: Owner, other: Vault) -> Vault:
    owner.kit = change(owner.vault, OLD)
    other.log_in_again(OLD, owner.secret_key)
    return other


def _which_changed_them(_world: World, owner: Owner, other: Vault) -> Vault:
    owner.kit = change(other, OLD)
    owner.vault.log_in_again(OLD, owner.secret_key)
    return other


@pytest.mark.attack(2, 57)
@pytest.mark.parametrize(
    "before", [_as_it_was_entered, _opened_anew, _after_a_change, _which_changed_them]
)
def test_a_new_passphrase_makes_no_secrets_of_before_new(
    world: World, before: Callable[[World, Owner, Vault], Vault]
) -> None:
    """A device that was away when the passphrase was replaced knows its Secret Key all the same."""
    owner = world.owner()
    owner.vault.remember("before")
    other = before(world, owner, world.device(owner))
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    forged(owner, NEW)
    with pytest.raises(TrustError):
        other.log_in_again(NEW, owner.secret_key)
    assert [memory.content for memory in other.list()] == ["before"]
    assert other.status().fingerprint != owner.vault.status().fingerprint


def test_new_keys_are_followed_behind_a_new_passphrase(world: World) -> None:
    """A device that missed the new passphrase and the owner's own key change after it follows."""
    owner = world.owner()
    other = world.device(owner)
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    kit = change(owner.vault, NEW)
    other.log_in_again(NEW, kit.secret_key_code())
    assert other.status().fingerprint == owner.vault.status().fingerprint


@pytest.mark.control(2, 57)
def test_a_client_that_asks_only_whether_they_open_would_follow_the_thief(world: World) -> None:
    """Control: without the comparison the device works with the keys that the thief made."""
    owner = world.owner()
    other = world.device(owner)
    forged(owner)
    with patch.object(reentry, "_check_made_anew"):
        other.log_in_again(OLD, owner.secret_key)
    assert other.status().fingerprint == owner.vault.status().fingerprint


@pytest.mark.attack(57)
def test_the_same_passphrase_may_stay(world: World) -> None:
    """A change of the owner's own that keeps the passphrase is followed, by the new Secret Key."""
    owner = world.owner()
    other = world.device(owner)
    kit = change(owner.vault, OLD)
    with pytest.raises(CredentialsError):
        other.log_in_again(OLD, owner.secret_key)
    other.log_in_again(OLD, kit.secret_key_code())
    assert other.status().fingerprint == owner.vault.status().fingerprint


@pytest.mark.attack(57)
def test_the_session_that_changed_the_keys_ends_as_well(world: World) -> None:
    """Whoever has the token and key of a session of before, of this device too, is logged out."""
    owner = world.owner()
    owner.vault.remember("before")
    token, key = session_of(owner.vault)
    change(owner.vault)
    with httpx.Client() as client:
        asked = client.build_request("GET", f"{world.url}{BASE}/accounts/me")
        answer = client.send(
            client.build_request("GET", asked.url, headers=proved_again(asked, token, key))
        )
    assert (answer.status_code, answer.json()["code"]) == (401, "session-ended")
    owner.vault.remember("after")
    assert len(owner.vault.sessions()) == 1


def opened(vault: Vault, wrapping: Wrapping) -> set[str]:
    """What of the server's database now opens with a grant's key."""
    records = [
        msgspec.msgpack.decode(b64decode(row["record"]))
        for row in rows(vault, "entries")
        if row["record"] is not None
    ]
    found = set()
    for wrap in (b64decode(row["wrap"]) for row in rows(vault, "grant_wraps")):
        for raw, envelope, _, _ in records:
            try:
                key = unwrap_memory_key(HEADER.parse(raw), wrap, wrapping)
                found.add(open_version(raw, envelope, key).content)
            except OpenError:
                continue
    return found


@pytest.mark.attack(57)
def test_keys_of_grants_open_nothing_that_came_later(world: World) -> None:
    """What was written between a theft and a key change is in no copy of the database after it."""
    owner, app = world.owner(), world.app()
    grant_id, _ = world.granted(owner, app, standing=True, approve_standing=True)
    (row,) = owner.vault._state.store.grants.all()
    stolen = grant_wrapping(owner.vault._state, row)
    owner.vault.remember("between")
    assert opened(owner.vault, stolen) == {"between"}
    change(owner.vault)
    assert opened(owner.vault, stolen) == set()
    assert owner.vault.grant(grant_id).state == "revoked"
