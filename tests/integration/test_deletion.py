"""An owner deletes their account: what their devices and their apps see, in both faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import (
    AccountDeletedError,
    CodeTypoError,
    ConflictError,
    CredentialsError,
    LockedError,
    NetworkError,
    OwnerGoneError,
    OwnerKeyChangedError,
)
from harness.network import Losing
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from typing import Any

    from coffret import RecoveryKit
    from harness.world import World


def exported(vault: Any) -> str:
    """Everything that a device gives without the server."""
    return b"".join(vault.export()).decode()


def newcomer(world: World, username: str) -> Any:
    """Somebody else who takes a name."""
    vault, _ = world.face.create(world.url, username, PASSPHRASE, world.place(), **world.around())
    return world.closing(vault)


def test_an_account_is_deleted(either: World) -> None:
    """The server has nothing of it; the device keeps everything, says so, and asks no more."""
    owner = either.owner()
    owner.vault.remember("by the river in Lisbon")
    done = owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    assert done.account_id == owner.vault.status().account_id
    assert done.erased
    assert owner.vault.status().deleted
    for call in (owner.vault.sync, owner.vault.sessions, lambda: owner.vault.remember("more")):
        with pytest.raises(AccountDeletedError) as caught:
            call()
        assert caught.value.signed
        assert "with its own keys" in str(caught.value)
        assert "coffret export" in caught.value.hint
    assert not owner.vault.is_locked
    owner.vault.lock()
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    assert "by the river" in exported(owner.vault)
    with pytest.raises(AccountDeletedError):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)


def test_who_does_not_know_the_passphrase_deletes_nothing(either: World) -> None:
    """An unlocked vault is not enough: not with another passphrase, and not with another code."""
    owner, other = either.owner(), either.owner()
    with pytest.raises(CredentialsError):
        owner.vault.delete_account("not the passphrase", owner.secret_key)
    with pytest.raises(CredentialsError):
        owner.vault.delete_account(PASSPHRASE, other.secret_key)
    with pytest.raises(CodeTypoError):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key[:-1])
    owner.vault.remember("still there")
    assert not owner.vault.status().deleted
    owner.vault.lock()
    with pytest.raises(LockedError):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.sync()


def test_other_devices_are_told_and_lose_nothing(either: World) -> None:
    """Their next call says what was signed; what they have is read, searched and exported."""
    owner = either.owner()
    owner.vault.remember("octopus in Lisbon")
    other = either.device(owner)
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    with pytest.raises(AccountDeletedError) as caught:
        other.sync()
    assert caught.value.signed
    assert not other.is_locked
    assert other.status().deleted
    assert other.search("octopus")[0].memory.content == "octopus in Lisbon"
    other.lock()
    other.unlock(PASSPHRASE, owner.secret_key)
    assert "octopus" in exported(other)


def test_a_device_that_enters_again_is_told(either: World) -> None:
    """It says that the account was deleted, and not that the passphrase is wrong; nor is it lost.

    So it does when it has seen the owner's word, and where the name is somebody else's by then.
    """
    owner = either.owner()
    owner.vault.remember("octopus in Lisbon")
    other = either.device(owner)
    with pytest.raises(CredentialsError):
        other.log_in_again("not the passphrase", owner.secret_key)
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    for heirs in (0, 1):
        if heirs:
            newcomer(either, owner.username)
        with pytest.raises(AccountDeletedError) as caught:
            other.log_in_again(PASSPHRASE, owner.secret_key)
        assert caught.value.signed
        assert other.status().deleted
        assert "octopus" in exported(other)


def test_a_device_that_missed_a_key_change_accuses_nobody(either: World) -> None:
    """A deletion under keys that it has not seen proves nothing to it, and may be the owner's."""
    owner = either.owner()
    other = either.device(owner)
    kits: list[RecoveryKit] = []
    owner.vault.change_keys("another long passphrase", kits.append)
    owner.vault.delete_account("another long passphrase", kits[0].secret_key_code())
    with pytest.raises(AccountDeletedError, match="yours that had changed the keys") as caught:
        other.sync()
    assert not caught.value.signed
    assert not other.status().deleted


def test_a_new_device_finds_no_account(either: World) -> None:
    """To whoever has no device of it there is no account: as if the passphrase were wrong."""
    owner = either.owner()
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    with pytest.raises(CredentialsError):
        either.device(owner)


def test_apps_are_told(either: World) -> None:
    """What was granted gives nothing any more, by a code of its own, and so for good."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("octopus", tags=["travel"])
    _, access = either.granted(owner, app, tags=["travel"])
    (request,) = app.requests()
    assert access.memories()
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    for call in (access.memories, lambda: access.remember("more"), lambda: app.access(request)):
        with pytest.raises(OwnerGoneError):
            call()
    assert app.status(request) == app.grant_status(request) == "gone"


def test_who_waits_for_an_owner_is_told(either: World) -> None:
    """An app that waits for a decision learns that there will be none, by the same code."""
    owner, app = either.owner(), either.app()
    request = ask(app, owner)
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    with pytest.raises(OwnerGoneError):
        app.access(request)
    with pytest.raises(OwnerGoneError):
        app.wait(request, timeout=5)


def test_the_name_is_another_account_then(either: World) -> None:
    """Whoever takes the name is a stranger to the devices and apps of before, and they say so."""
    owner, app = either.owner(), either.app()
    other = either.device(owner)
    either.granted(owner, app)
    (request,) = app.requests()
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    heir = newcomer(either, owner.username)
    assert heir.status().account_id != owner.vault.status().account_id
    for vault in (owner.vault, other):
        with pytest.raises(AccountDeletedError):
            vault.sync()
    with pytest.raises(OwnerKeyChangedError):
        ask(app, owner)
    with pytest.raises(OwnerGoneError):
        app.access(request)
    with pytest.raises(ConflictError):
        newcomer(either, owner.username)


def test_a_lost_answer_is_found_out(world: World, one_try: None) -> None:
    """Said again after its answer was lost, the deletion is known to have happened."""
    del one_try
    network = Losing()
    owner = world.owner(transport=network)
    network.lose = lambda request: request.url.path.endswith("/accounts/me/deletion")
    with pytest.raises(NetworkError):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    network.lose = lambda _: False
    with pytest.raises(AccountDeletedError) as caught:
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    assert caught.value.signed
    assert owner.vault.status().deleted
