"""A vault that is locked while its keys change stays so, and a change that waits comes before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import NEW, change
from coffret_vault.errors import LockedError, NetworkError
from harness.network import BASE, Losing, once
from harness.world import PASSPHRASE as OLD
from integration.test_locked_meanwhile import Locking

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from coffret import RecoveryKit
    from harness.world import World

ENTERING = (
    "/auth/challenge",
    "/auth/login",
    "/accounts/me",
    "/accounts/me/memory-keys",
    "/accounts/me/successions",
    "/sync",
)
CHANGING = ("/sync", "/accounts/me/memory-keys", "/accounts/me/rewraps", "/accounts/me/keys")


@pytest.mark.parametrize("path", ENTERING)
@pytest.mark.parametrize("unlocked", [True, False], ids=["unlocked", "locked"])
def test_a_vault_that_is_locked_while_it_is_entered_again_stays_so(
    world: World,
    path: str,
    unlocked: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Neither the keys of before nor the new ones are there after it, and it can be done again.

    Of a login that nobody here has used yet the server has no session left.
    """
    owner, network = world.owner(), Locking()
    owner.vault.remember("one")
    other = world.device(owner, transport=network)
    owner.vault.remember("two")
    code = change(owner.vault).secret_key_code()
    ring = other._state.keys.keyring
    if not unlocked:
        other.lock()
    network.path, network.then = path, other.lock
    with pytest.raises(LockedError):
        other.log_in_again(NEW, code)
    assert other.is_locked
    assert not ring._account_keys
    if path in ENTERING[:3]:
        assert len(owner.vault.sessions()) == 1
    with pytest.raises(LockedError):
        other.list()
    network.then = lambda: None
    other.log_in_again(NEW, code)
    assert {memory.content for memory in other.list()} == {"one", "two"}


class _Watched(Locking):
    """A network on which it is seen whether a vault is open while its session is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.look: Callable[[], bool] = bool
        self.seen: list[bool] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Look, and send it on."""
        if request.url.path == f"{BASE}/auth/logout":
            self.seen.append(self.look())
        return super().handle_request(request)


def test_a_vault_that_was_locked_meanwhile_is_open_for_no_answer_of_the_server(
    world: World,
) -> None:
    """The session that came too late is ended by itself, however long the server takes for it."""
    owner, network = world.owner(), _Watched()
    other = world.device(owner, transport=network)
    code = change(owner.vault).secret_key_code()
    network.look = lambda: other.is_locked
    network.path, network.then = "/auth/login", other.lock
    with pytest.raises(LockedError):
        other.log_in_again(NEW, code)
    assert network.seen == [True]


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not shared"])
def test_a_vault_that_is_locked_while_its_keys_change_stays_so(
    world: World,
    path: str,
    shared: bool,  # noqa: FBT001 - a parameter
) -> None:
    """It is locked after it, and opens by the keys of before, or by the kit's at the server."""
    network = Locking()
    owner = world.owner(transport=network)
    vault = owner.vault
    vault.remember("one")
    if shared:
        world.granted(owner, world.app())
    kits: list[RecoveryKit] = []
    network.path, network.then = path, vault.lock
    with pytest.raises(LockedError):
        vault.change_keys(NEW, kits.append)
    assert vault.is_locked
    network.then = lambda: None
    vault.unlock(OLD, owner.secret_key)
    assert [memory.content for memory in vault.list()] == ["one"]
    if path == CHANGING[-1]:
        vault.log_in_again(NEW, kits[0].secret_key_code())
    vault.remember("two")
    assert {memory.content for memory in vault.list()} == {"one", "two"}


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("reaching", [True, False])
def test_a_change_that_waits_comes_before_the_keys(
    world: World,
    reaching: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A memory that did not arrive is sent before its key is wrapped, and keeps nothing up."""
    network = Losing()
    owner = world.owner(transport=network)
    network.reaching, network.lose = reaching, once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        owner.vault.remember("one")
    code = change(owner.vault).secret_key_code()
    fresh = world.face.login(world.url, owner.username, NEW, code, world.place(), **world.around())
    assert [memory.content for memory in world.closing(fresh).list()] == ["one"]
