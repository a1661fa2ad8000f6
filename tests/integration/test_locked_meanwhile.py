"""A vault that is locked while something is under way, by another task or thread."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import LockedError
from coffret_vault.search import SearchIndex
from harness.network import BASE, Gate
from harness.world import PASSPHRASE
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from coffret_vault.search.embedder import Embedder, Vectors
    from harness.world import Owner, World


class Locking(Gate):
    """A network on which something is done when the answer to a chosen request has come."""

    def __init__(self) -> None:
        """Nothing is."""
        super().__init__()
        self.path = ""
        self.then: Callable[[], None] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Do it."""
        response = super().handle_request(request)
        if request.url.path == BASE + self.path:
            self.then()
        return response


def unlocked_again(owner: Owner, vault: Vault) -> set[str]:
    """What an owner is shown when the vault is unlocked again, by whom nothing was altered."""
    vault.unlock(PASSPHRASE, owner.secret_key)
    vault.list()
    vault.sync()
    return {memory.content for memory in vault.list()}


@pytest.mark.parametrize("revoked", [False, True], ids=["memories", "grants"])
def test_a_sync_does_not_go_on_without_keys(world: World, revoked: bool) -> None:  # noqa: FBT001 - a parameter
    """What cannot be sealed any more is not kept: nothing looks as if somebody had altered it."""
    owner, network = world.owner(), Locking()
    gone = owner.vault.remember("one")
    owner.vault.remember("two")
    grant_id, _ = world.granted(owner, world.app())
    vault = world.device(owner, transport=network)
    if revoked:
        owner.vault.pause(grant_id)
    else:
        owner.vault.forget(gone.id)
    network.path, network.then = "/sync", vault.lock
    with pytest.raises(LockedError):
        vault.sync()
    network.then = lambda: None
    assert unlocked_again(owner, vault) == {memory.content for memory in owner.vault.list()}


def test_a_change_that_was_sent_is_kept_when_it_can_be(world: World) -> None:
    """A memory whose answer finds the vault locked is there, once, when it is unlocked again."""
    network = Locking()
    owner = world.owner(transport=network)
    owner.vault.remember("one")
    network.path, network.then = "/memory-blobs", owner.vault.lock
    with pytest.raises(LockedError):
        owner.vault.remember("two")
    network.then = lambda: None
    assert unlocked_again(owner, owner.vault) == {"one", "two"}
    assert len(list(owner.vault.list())) == 2


@pytest.mark.attack(45)
@pytest.mark.parametrize("path", ["/auth/challenge", "/auth/login"])
def test_a_login_under_way_leaves_no_session(world: World, path: str) -> None:
    """Locked while it logs in, a vault has no session afterwards, and its server none of it."""
    network = Locking()
    owner = world.owner(transport=network)
    other = world.device(owner)
    before = list(other.sessions())
    owner.vault.lock()
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    network.path, network.then = path, owner.vault.lock
    with pytest.raises(LockedError):
        owner.vault.sync()
    assert owner.vault._state.session is None
    assert [device.session_id for device in other.sessions()] == [
        device.session_id for device in before
    ]
    with pytest.raises(LockedError):
        owner.vault.sessions()
    network.then = lambda: None
    assert unlocked_again(owner, owner.vault) == set()


class Slow(HashingEmbedder):
    """A model that takes so long that something happens before it is there, or is done."""

    def __init__(self) -> None:
        """Nothing happens."""
        super().__init__()
        self.loading: Callable[[], None] = lambda: None
        self.embedding: Callable[[], None] = lambda: None

    def made(self) -> Slow:
        """The model, when it is needed first."""
        self.loading()
        return self

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Let it happen."""
        self.embedding()
        return super().embed_documents(texts)


@pytest.mark.parametrize("step", ["loading", "embedding"])
def test_a_search_under_way_leaves_nothing_opened(world: World, step: str) -> None:
    """Locked while its index is read or made, a vault keeps none, and makes it whole afterwards."""
    model, owner = Slow(), world.owner()
    owner.vault.remember("a first secret")
    owner.vault.search("secret")
    owner.vault.remember("a second secret")
    owner.vault.close()
    vault = world.closing(Vault.open(owner.vault.folder, **world.around(embedder=model.made)))
    vault.unlock(PASSPHRASE, owner.secret_key)
    setattr(model, step, vault.lock)
    with pytest.raises(LockedError):
        vault.search("secret")
    assert vault._finder._kept.index is None
    setattr(model, step, lambda: None)
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert len(vault.search("secret")) == 2


def test_a_search_of_what_was_indexed_leaves_nothing_opened(world: World) -> None:
    """Locked while an index is opened that is up to date, a vault keeps none of it."""
    model, owner = Slow(), world.owner()
    owner.vault.remember("a secret")
    owner.vault.search("secret")
    owner.vault.close()
    vault = world.closing(Vault.open(owner.vault.folder, **world.around(embedder=model.made)))
    vault.unlock(PASSPHRASE, owner.secret_key)
    restore = SearchIndex.restore

    def locking(body: bytes, embedder: Embedder) -> SearchIndex:
        vault.lock()
        return restore(body, embedder)

    with patch.object(SearchIndex, "restore", locking), pytest.raises(LockedError):
        vault.search("secret")
    assert vault._finder._kept.index is None
