"""A change that waited on a device and is given up: its owner is told, and has the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from adversary.test_key_changes import change
from coffret import Vault
from coffret_vault.errors import (
    AccountDeletedError,
    NetworkError,
    NotFoundError,
    StoreAlteredError,
)
from harness.network import BASE
from harness.world import PASSPHRASE
from integration.losing import APPENDS, Refusing, lost, lost_words, read_and_write

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


def test_what_another_device_overtook_is_told_with_its_words(
    world: World, owner: Owner, network: Refusing
) -> None:
    """The sync that gives it up says so, so does the status, and nothing of it is in the open."""
    vault, other = owner.vault, world.device(owner)
    lost_words(network, vault, title="Lost", tags=["t"])
    read_and_write(other)
    assert vault.status().unkept == 0
    assert vault.sync().unkept == 1
    assert vault.sync().unkept == 0
    assert vault.status().unkept == 1
    (found,) = vault.unkept()
    assert (found.why, [entry.kind for entry in found.entries]) == ("overtaken", ["put"])
    (memory,) = found.memories
    assert (memory.content, memory.title, memory.tags) == ("lost words", "Lost", ("t",))
    assert "lost" not in repr(found).lower()
    assert b"lost words" not in b"".join(
        path.read_bytes() for path in vault.folder.iterdir() if path.is_file()
    )
    vault.lock()
    assert vault.status().unkept == 1
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert vault.forget_unkept(found.id) == 1
    assert (vault.unkept(), vault.status().unkept) == ([], 0)
    with pytest.raises(NotFoundError):
        vault.forget_unkept(found.id)


def test_what_the_server_refused_is_told_with_its_words(owner: Owner, network: Refusing) -> None:
    """Why, too: by the code of the server's error."""
    lost(network, lambda: owner.vault.remember("lost words"))
    network.refusing = True
    owner.vault.sync()
    (found,) = owner.vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "quota-exceeded",
        ["lost words"],
    )


def test_words_alone_are_not_all_that_was_given_up(owner: Owner, network: Refusing) -> None:
    """A new memory is done with where one says the same, its tags too, and not before."""
    tagged: dict[str, Any] = {"title": "T", "tags": ["travel"], "importance": 0.5}
    lost(network, lambda: owner.vault.remember("lost words", **tagged))
    network.refusing = True
    owner.vault.sync()
    network.refusing = False
    owner.vault.remember("lost words", title="T")
    (found,) = owner.vault.unkept()
    assert [memory.tags for memory in found.memories] == [("travel",)]
    owner.vault.remember("lost words", **tagged)
    assert owner.vault.unkept() == []


def test_what_is_imported_again_is_done_with(
    world: World, owner: Owner, network: Refusing, tmp_path: Path
) -> None:
    """Though another run of the import wrote it."""
    vault, paths = owner.vault, [tmp_path / "one.txt", tmp_path / "two.txt"]
    for path in paths:
        path.write_text(path.name)
    network.reaching, network.lose = False, lambda request: request.url.path.endswith("/batch")
    with pytest.raises(NetworkError):
        vault.import_paths(paths)
    network.lose = lambda _: False
    read_and_write(world.device(owner))
    assert vault.sync().unkept == 1
    assert vault.import_paths(paths).created == len(paths)
    assert vault.unkept() == []


def test_a_revocation_that_was_overtaken_is_told(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Its owner hears which grant is still in force."""
    grant_id, _ = world.granted(owner, world.app())
    other = world.device(owner)
    lost(network, lambda: owner.vault.revoke(grant_id))
    other.remember("quicker")
    owner.vault.sync()
    (found,) = owner.vault.unkept()
    assert [(e.kind, e.subject) for e in found.entries] == [("revoke", grant_id)]
    assert found.memories == ()
    assert owner.vault.grant(grant_id).state == "active"


def test_the_same_call_again_loses_nothing(world: World, owner: Owner, network: Refusing) -> None:
    """Who tries again writes what was given up, and is told of no loss."""
    other = world.device(owner)
    lost(network, lambda: owner.vault.remember("lost", title="T"))
    other.remember("quicker")
    owner.vault.remember("lost", title="T")
    assert owner.vault.status().unkept == 0
    memory_id = lost_words(network, owner.vault)
    read_and_write(other)
    owner.vault.sync()
    assert owner.vault.status().unkept == 1
    owner.vault.update(memory_id, content="lost words")
    assert owner.vault.unkept() == []
    assert owner.vault.status().unkept == 0


def test_a_new_memory_hides_no_version_that_was_given_up(
    world: World, owner: Owner, network: Refusing
) -> None:
    """That the same words are said elsewhere changes nothing of the memory that was to say them."""
    vault, other = owner.vault, world.device(owner)
    memory_id = lost_words(network, vault)
    read_and_write(other)
    vault.remember("lost words")
    (found,) = vault.unkept()
    assert [(entry.subject, entry.version) for entry in found.entries] == [(memory_id, 2)]
    assert vault.get(memory_id).content == "before"


def test_what_was_refused_and_is_said_again_is_no_loss(owner: Owner, network: Refusing) -> None:
    """The same call, once the server takes it, does what was given up; nobody is told of that."""
    lost(network, lambda: owner.vault.remember("lost", title="T"))
    refused: list[int] = []

    def once_only(request: httpx.Request) -> bool:
        refused.append(request.url.path in APPENDS)
        network.refusing = sum(refused) == 1
        return False

    network.lose = once_only
    network.refusing = True
    owner.vault.remember("lost", title="T")
    assert owner.vault.status().unkept == 0
    assert [memory.content for memory in owner.vault.list()] == ["lost"]


@pytest.mark.parametrize("change", [{"tags": ["t"]}, {"sealed": True}])
def test_a_version_is_made_for_more_than_its_words(
    world: World, owner: Owner, network: Refusing, change: dict[str, Any]
) -> None:
    """That the words are there, as they were before it, hides no tag or veil that is not."""
    vault, other = owner.vault, world.device(owner)
    memory_id = vault.remember("words", title="T").id
    lost(network, lambda: vault.update(memory_id, **change))
    read_and_write(other)
    assert vault.sync().unkept == 1
    (found,) = vault.unkept()
    assert [(entry.subject, entry.version) for entry in found.entries] == [(memory_id, 2)]
    vault.update(memory_id, **change)
    assert vault.unkept() == []


def test_fresh_keys_that_were_not_given_are_told(
    world: World, owner: Owner, network: Refusing
) -> None:
    """A memory that is written again for its key alone says what it said: that is no such key."""
    vault, other = owner.vault, world.device(owner)
    memory_id = vault.remember("words").id
    grant_id, _ = world.granted(owner, world.app())
    lost(network, lambda: vault.narrow(grant_id, [memory_id]))
    read_and_write(other)
    assert vault.sync().unkept == 1
    assert [entry.subject for found in vault.unkept() for entry in found.entries] == [memory_id]
    vault.narrow(grant_id, [memory_id])
    assert vault.unkept() == []


def test_a_memory_that_is_written_anew_is_no_loss(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Nor is it while that waits in its turn, because the server went away again."""
    vault, other = owner.vault, world.device(owner)
    lost(network, lambda: vault.remember("new words"))
    other.remember("quicker")
    tries: list[str] = []

    def second(request: httpx.Request) -> bool:
        if request.url.path in APPENDS:
            tries.append(request.url.path)
        return len(tries) > 1

    network.lose = second
    with pytest.raises(NetworkError):
        vault.sync()
    assert (len(tries), vault.status().unkept) == (2, 0)
    network.lose = lambda _: False
    assert vault.sync().unkept == 0
    assert vault.unkept() == []
    assert sorted(memory.content for memory in vault.list()) == ["new words", "quicker"]


def test_a_memory_that_cannot_be_written_anew_is_told(
    world: World, owner: Owner, network: Refusing
) -> None:
    """With its words: what a server refuses in the second place is as lost as in the first."""
    vault, other = owner.vault, world.device(owner)
    lost(network, lambda: vault.remember("new words"))
    other.remember("quicker")

    def refuse_from_now_on(request: httpx.Request) -> bool:
        network.refusing |= request.url.path in APPENDS
        return False

    network.lose = refuse_from_now_on
    assert vault.sync().unkept == 1
    (found,) = vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "overtaken",
        ["new words"],
    )


def test_what_arrived_is_no_loss(world: World, owner: Owner, network: Refusing) -> None:
    """A change that the server took, behind which another device wrote, is in the log."""
    other = world.device(owner)
    network.lose = lambda request: request.url.path == f"{BASE}/memory-blobs"
    with pytest.raises(NetworkError):
        owner.vault.remember("arrived")
    network.lose = lambda _: False
    other.sync()
    other.remember("later")
    assert owner.vault.sync().unkept == 0
    assert owner.vault.status().unkept == 0


def test_changed_keys_leave_the_words_readable(
    world: World, owner: Owner, network: Refusing
) -> None:
    """A device that changes the keys takes what was given up along under the new ones."""
    other = world.device(owner)
    lost_words(network, owner.vault)
    read_and_write(other)
    owner.vault.sync()
    change(owner.vault)
    (found,) = owner.vault.unkept()
    assert [memory.content for memory in found.memories] == ["lost words"]


def _refused(owner: Owner, network: Refusing, words: str) -> None:
    lost(network, lambda: owner.vault.remember(words))
    network.refusing = True
    assert owner.vault.sync().unkept == 1
    network.refusing = False


def test_what_is_written_anew_takes_the_place_of_no_loss(
    world: World, owner: Owner, network: Refusing
) -> None:
    """It is noted as lost until it is written, and nothing else has to make room for that."""
    other = world.device(owner)
    for number in range(20):
        _refused(owner, network, f"lost {number}")
    lost(network, lambda: owner.vault.remember("new words"))
    other.remember("quicker")
    assert owner.vault.sync().unkept == 0
    said = [memory.content for found in owner.vault.unkept() for memory in found.memories]
    assert said == [f"lost {number}" for number in range(20)]


def test_no_more_than_twenty_are_kept(owner: Owner, network: Refusing) -> None:
    """The oldest go, so that a server that refuses again and again fills no disk."""
    for number in range(22):
        _refused(owner, network, f"lost {number}")
    said = [memory.content for found in owner.vault.unkept() for memory in found.memories]
    assert said == [f"lost {number}" for number in range(2, 22)]
    assert owner.vault.forget_unkept() == 20


@pytest.mark.attack(49)
def test_what_was_planted_as_given_up_is_dropped(owner: Owner) -> None:
    """Nobody without the keys puts words before an owner as their own."""
    owner.vault._state.store.set_meta("unkept 000000000001", bytes(200))
    with pytest.raises(StoreAlteredError):
        owner.vault.unkept()
    assert owner.vault.unkept() == []


@pytest.mark.attack(49)
@pytest.mark.parametrize("name", ["unkept x", "unkept 1", "unkept " + "9" * 5_000])
def test_a_planted_name_keeps_nothing_from_being_noted(
    owner: Owner, network: Refusing, name: str
) -> None:
    """The next change that is given up is noted, and what waits behind it goes on."""
    owner.vault._state.store.set_meta(name, bytes(200))
    _refused(owner, network, "lost words")
    owner.vault.remember("next")
    with pytest.raises(StoreAlteredError):
        owner.vault.unkept()
    said = [memory.content for found in owner.vault.unkept() for memory in found.memories]
    assert said == ["lost words"]


@pytest.mark.attack(49)
def test_what_was_planted_stops_no_change_of_keys(owner: Owner) -> None:
    """The server has the new keys by then: this device keeps them, and tells of it afterwards."""
    memory_id = owner.vault.remember("here").id
    owner.vault._state.store.set_meta("unkept 000000000001", bytes(200))
    change(owner.vault)
    assert owner.vault.update(memory_id, content="there").version == 2
    with pytest.raises(StoreAlteredError):
        owner.vault.unkept()
    assert owner.vault.unkept() == []


def test_what_waits_is_shown_before_it_is_known_what_becomes_of_it(
    owner: Owner, network: Refusing
) -> None:
    """A server may never come back: its owner has the words, and nothing to let go of."""
    vault = owner.vault
    lost(network, lambda: vault.remember("lost words", title="T"))
    (found,) = vault.unkept()
    assert (found.id, found.why, found.at) == ("waiting", "waiting", None)
    assert [memory.content for memory in found.memories] == ["lost words"]
    assert (vault.status().unkept, vault.forget_unkept()) == (0, 0)
    vault.sync()
    assert (vault.unkept(), vault.list()[0].content) == ([], "lost words")


def test_what_waits_is_not_lost_with_the_account(
    world: World, owner: Owner, network: Refusing
) -> None:
    """It can never be sent, and its owner is told where its words are."""
    other = world.device(owner)
    lost(network, lambda: owner.vault.remember("lost words"))
    other.delete_account(PASSPHRASE, owner.secret_key)
    with pytest.raises(AccountDeletedError) as raised:
        owner.vault.sync()
    assert "coffret unkept" in raised.value.hint
    assert [memory.content for found in owner.vault.unkept() for memory in found.memories] == [
        "lost words"
    ]


def test_another_process_has_it(world: World, owner: Owner, network: Refusing) -> None:
    """It is in the device's store: the program that made the change may be gone."""
    other = world.device(owner)
    lost_words(network, owner.vault)
    read_and_write(other)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    again.remember("next")
    assert [memory.content for found in again.unkept() for memory in found.memories] == [
        "lost words"
    ]
