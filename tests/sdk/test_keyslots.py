"""Keyslots: replaced in one step, and followed while others replace them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret.connection import connect as through
from coffret.flows.passphrase import replace_passphrase
from coffret.flows.state import VaultState
from coffret.opening import read_secret_key
from coffret_vault.errors import ConflictError, CredentialsError, TrustError
from harness.network import Evil
from harness.world import PASSPHRASE as FIRST
from harness.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from harness.world import Owner

NEW = "another passphrase"


@pytest.fixture
def owner(world: World) -> Owner:
    """An owner."""
    return world.owner()


class Meanwhile(Evil):
    """Lets things happen just before some requests are sent on."""

    def __init__(self, **happens: Callable[[], object]) -> None:
        """Before the request ``sync_2``: the second to ``/sync``; ``me`` is ``/accounts/me``."""
        super().__init__()
        self.happens = happens
        self._seen: Counter[str] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let it happen, and send on."""
        name = request.url.path.rsplit("/", 1)[-1]
        self._seen[name] += 1
        self.happens.pop(f"{name}_{self._seen[name]}", lambda: None)()
        return super().handle_request(request)


def connect(vault: Vault, network: Meanwhile) -> Meanwhile:
    """Put a network between a device and its server."""
    vault._driver._connection.close()
    vault._driver._connection = through("", None, network)
    return network


def replace(vault: Vault, owner: Owner, passphrase: str) -> None:
    """Replace the passphrase; the Secret Key stays."""
    key = read_secret_key(owner.secret_key)
    vault._driver.run(replace_passphrase(vault._state, passphrase, key))


def enter(world: World, owner: Owner, passphrase: str) -> Vault:
    """One more device, with a passphrase that is not the first one."""
    key, place = owner.secret_key, world.place()
    vault = Vault.login(world.url, owner.username, passphrase, key, place, **world.around())
    world.closing(vault)
    return vault


def slots(vault: Vault) -> set[bytes]:
    """The keyslots that a device has."""
    return set(vault._state.account.keyslots)


def test_a_crash_after_the_replacement_leaves_no_half(world: World, owner: Owner) -> None:
    """Killed right after the entries were kept, the device knows the new keyslots and no others."""
    with (
        patch.object(VaultState, "reload", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        replace(owner.vault, owner, NEW)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    with pytest.raises(CredentialsError):
        again.unlock(FIRST, owner.secret_key)
    again.unlock(NEW, owner.secret_key)
    again.sync()
    replace(again, owner, "a third passphrase")
    assert slots(enter(world, owner, "a third passphrase")) == slots(again)


def test_others_are_not_overwritten(world: World, owner: Owner) -> None:
    """Where another device replaced the passphrase first, the second one is told, and follows."""
    second = world.device(owner)
    owner.vault.sync()
    replace(second, owner, NEW)
    with pytest.raises(ConflictError, match="another device"):
        replace(owner.vault, owner, "mine")
    assert slots(owner.vault) == slots(second)


def test_a_replacement_while_another_device_syncs(world: World, owner: Owner) -> None:
    """Keyslots newer than the log that was read are a race, not a lie: the sync reads on."""
    behind = world.device(owner)
    replace(owner.vault, owner, NEW)
    again = Meanwhile(me_1=lambda: replace(owner.vault, owner, "a third one"))
    connect(behind, again)
    behind.sync()
    assert not again.happens
    assert slots(behind) == slots(owner.vault)
    assert behind.sync().entries == 0
    assert again.paths.count("/accounts/me") == 2


def test_replacements_while_a_new_device_enters(world: World, owner: Owner) -> None:
    """A device that logs in meanwhile ends with the keyslots of the log."""
    network = Meanwhile(
        sync_1=lambda: replace(owner.vault, owner, NEW),
        me_2=lambda: replace(owner.vault, owner, "a third one"),
    )
    entered = world.device(owner, transport=network)
    assert not network.happens
    assert slots(entered) == slots(owner.vault)


def test_a_device_that_entered_alone_asks_once(world: World, owner: Owner) -> None:
    """What the server showed at the login is compared with the log, and not asked for again."""
    network = Meanwhile()
    assert slots(world.device(owner, transport=network)) == slots(owner.vault)
    assert network.paths.count("/accounts/me") == 1


def test_a_lie_is_found_when_the_log_stops_growing(world: World, owner: Owner) -> None:
    """A server that hides its lie behind new entries is found by the sync that follows them."""
    behind = world.device(owner)
    before = slots(behind)
    replace(owner.vault, owner, NEW)
    network = Meanwhile(me_1=lambda: owner.vault.remember("something new"))
    connect(behind, network)
    network.rewrite["/accounts/me"] = lambda answer: answer.update(keyslots=answer["keyslots"][:1])
    for _ in range(2):
        with pytest.raises(TrustError, match="keyslots"):
            behind.sync()
        assert slots(behind) == before
    assert not network.happens
    network.rewrite.clear()
    behind.sync()
    assert slots(behind) == slots(owner.vault)
