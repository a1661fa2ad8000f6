"""A new passphrase, and a kit that is compared before it gives one."""

from __future__ import annotations

import pytest

from coffret import Vault
from coffret_vault.errors import CoffretError, CredentialsError, KeysChangedError, NetworkError
from harness.network import Losing
from harness.world import PASSPHRASE as OLD
from harness.world import World

NEW = "another passphrase"


def test_a_new_passphrase_that_the_server_never_heard_of(world: World) -> None:
    """Either passphrase opens the device; the one that stands at the server is named."""
    network = Losing()
    owner = world.owner(transport=network)
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    network.left = -1
    owner.vault.lock()
    owner.vault.unlock(NEW, owner.secret_key)
    with pytest.raises(CredentialsError) as refused:
        owner.vault.sync()
    assert "the one before" in refused.value.hint
    owner.vault.lock()
    owner.vault.unlock(OLD, owner.secret_key)
    owner.vault.sync()
    with pytest.raises(CredentialsError):
        owner.vault.change_passphrase("not it", NEW, owner.secret_key)


def test_a_new_passphrase_whose_answer_was_lost(world: World) -> None:
    """The server took it and the device did not hear: the new one opens, logs in and settles it."""
    network = Losing()
    owner = world.owner(transport=network)
    network.lose = lambda request: request.url.path.endswith("/keyslots")
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(OLD, owner.secret_key)
    with pytest.raises(KeysChangedError):
        again.sync()
    again.lock()
    again.unlock(NEW, owner.secret_key)
    again.sync()
    again.lock()
    with pytest.raises(CredentialsError):
        again.unlock(OLD, owner.secret_key)
    again.unlock(NEW, owner.secret_key)


def test_a_device_goes_on_after_a_new_passphrase(world: World) -> None:
    """It logs in again with the new one, its keys and memories as they were."""
    owner = world.owner()
    owner.vault.remember("before")
    other = world.device(owner)
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    other.lock()
    other.unlock(OLD, owner.secret_key)
    with pytest.raises(KeysChangedError):
        other.sync()
    other.log_in_again(NEW, owner.secret_key)
    other.remember("after")
    assert {memory.content for memory in other.list()} == {"before", "after"}
    other.lock()
    with pytest.raises(CredentialsError):
        other.unlock(OLD, owner.secret_key)
    other.unlock(NEW, owner.secret_key)


def test_a_kit_is_compared_before_anything_is_changed(world: World) -> None:
    """Another vault's kit, or a log without the kit's head, and the passphrase stays as it was."""
    owner, other = world.owner(), world.owner()
    for kit in (other.kit.text(), owner.kit.text().replace(owner.kit.head, other.kit.head)):
        text = "\n".join(
            other.kit.head if line.strip() == owner.kit.head.splitlines()[1] else line
            for line in kit.splitlines()
        )
        with pytest.raises(CoffretError):
            Vault.recover(
                world.url,
                owner.username,
                owner.kit.recovery_code_text(),
                NEW,
                world.place(),
                kit=text,
                **world.around(),
            )
    world.device(owner)
