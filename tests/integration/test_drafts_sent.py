"""What was said while the server was away, once it was sent and nobody knows whether it arrived."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret_vault.errors import ConflictError, NetworkError, NotFoundError
from integration.losing import APPENDS, Refusing

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


def _sent(network: Refusing, vault: Vault) -> None:
    """Say three things while the server is away; the answer to the last two is lost, too."""
    network.left = 0
    for words in ("one", "two", "three"):
        with pytest.raises(NetworkError):
            vault.remember(words)
    network.left = -1
    posts: list[str] = []

    def second(request: httpx.Request) -> bool:
        posts.extend([request.url.path] if request.url.path in APPENDS else [])
        return len(posts) == 2

    network.lose = second
    with pytest.raises(NetworkError):
        vault.sync()
    network.lose = lambda _: False


def _contents(vault: Vault) -> list[str]:
    return sorted(memory.content for memory in vault.list())


def test_what_was_sent_is_shown_once_and_not_taken_back(owner: Owner, network: Refusing) -> None:
    """The server may have it: its owner is not told that it is gone, when it arrives after all."""
    _sent(network, owner.vault)
    (found,) = owner.vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "waiting",
        ["two", "three"],
    )
    with pytest.raises(NotFoundError):
        owner.vault.forget_unkept(found.memories[0].id)
    owner.vault.sync()
    assert _contents(owner.vault) == ["one", "three", "two"]


def test_what_was_sent_together_counts_once(world: World, owner: Owner, network: Refusing) -> None:
    """Two memories that wait are two changes, sent in one or not, with the keys or without."""
    _sent(network, owner.vault)
    assert owner.vault.status().unsent == 2
    other = Vault.open(owner.vault.folder, **world.around())
    assert other.status().unsent == 2
    other.close()
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("behind them")
    assert owner.vault.status().unsent == 3
    network.left = -1
    owner.vault.sync()
    assert owner.vault.status().unsent == 0
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("no draft")
    with pytest.raises(NetworkError):
        owner.vault.remember("a draft")
    assert owner.vault.status().unsent == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda vault, memory_id: vault.update(memory_id, content="other words"),
        lambda vault, memory_id: vault.forget(memory_id),
    ],
    ids=["changed", "forgotten"],
)
def test_what_becomes_of_a_memory_that_arrived_is_no_loss(
    owner: Owner, network: Refusing, change: Callable[[Vault, str], object]
) -> None:
    """Its words are noted no more once it is in the log: they are not told as overtaken later."""
    old = owner.vault.remember("old")
    _sent(network, owner.vault)
    owner.vault.update(old.id, content="older")
    (two,) = [memory for memory in owner.vault.list() if memory.content == "two"]
    assert owner.vault.status().unsent == 0
    change(owner.vault, two.id)
    assert owner.vault.sync().unkept == 0
    assert owner.vault.unkept() == []


def test_each_part_that_is_stored_is_noted_no_more(
    owner: Owner, network: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server goes away between two requests, what the first of them wrote is done."""
    monkeypatch.setattr("coffret.flows.batches.BATCH", 1)
    _sent(network, owner.vault)
    owner.vault.update(owner.vault.list()[0].id, content="other words")
    assert owner.vault.status().unsent == 1
    owner.vault.sync()
    assert (owner.vault.unkept(), owner.vault.status().unsent) == ([], 0)


def test_the_same_call_again_gives_what_arrived(owner: Owner, network: Refusing) -> None:
    """It is known by its words, though the note of them went when the server had it."""
    _sent(network, owner.vault)
    memory = owner.vault.remember("two")
    assert _contents(owner.vault) == ["one", "three", "two"]
    assert owner.vault.get(memory.id).content == "two"


def test_nothing_else_is_said_to_be_kept_with_an_id_that_was_sent(
    owner: Owner, network: Refusing
) -> None:
    """Other words with the id of the change that waits are a conflict, as behind it."""
    chosen = str(uuid.uuid4())
    network.left = 0
    for _ in range(2):
        with pytest.raises(NetworkError):
            owner.vault.remember("words", memory_id=chosen)
    with pytest.raises(ConflictError):
        owner.vault.remember("other words", memory_id=chosen)
    network.left = -1
    owner.vault.sync()
    assert _contents(owner.vault) == ["words"]
