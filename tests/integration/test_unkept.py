"""A change that waited on a device and is given up: its owner is told, and has the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret_vault.errors import (
    AccountDeletedError,
    ConflictError,
    NetworkError,
    NotFoundError,
    StoreAlteredError,
)
from harness.network import BASE, Losing, once
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")
APPENDS = (f"{BASE}/memory-blobs", f"{BASE}/log")


class Refusing(Losing):
    """A network that goes away, with a server that refuses appends when it is back."""

    refusing = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse for good, or send it on."""
        if self.refusing and request.url.path in APPENDS:
            problem = {"code": "quota-exceeded", "status": 429}
            return httpx.Response(429, json=problem, headers={"retry-after": "100"})
        return super().handle_request(request)


@pytest.fixture
def network() -> Refusing:
    """A network that can go away."""
    return Refusing()


@pytest.fixture
def owner(world: World, network: Refusing) -> Owner:
    """An owner behind it."""
    made: Owner = world.owner(transport=network)
    return made


def _lost(network: Refusing, act: Callable[[], object]) -> None:
    """Do what does not reach the server."""
    network.left = 0
    with pytest.raises(NetworkError) as raised:
        act()
    assert "coffret unkept" in raised.value.hint
    network.left = -1


def _lost_words(network: Refusing, vault: Vault, words: str = "lost words", **more: Any) -> str:
    """Have a memory that was to say something else, and does not; its id."""
    memory_id = vault.remember("before").id
    _lost(network, lambda: vault.update(memory_id, content=words, **more))
    return memory_id


def _read_and_write(other: Vault) -> None:
    """Be quicker on another device."""
    other.sync()
    other.remember("quicker")


def test_what_another_device_overtook_is_told_with_its_words(
    world: World, owner: Owner, network: Refusing
) -> None:
    """The sync that gives it up says so, so does the status, and nothing of it is in the open."""
    vault, other = owner.vault, world.device(owner)
    _lost_words(network, vault, title="Lost", tags=["t"])
    _read_and_write(other)
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
    _lost(network, lambda: owner.vault.remember("lost words"))
    network.refusing = True
    owner.vault.sync()
    (found,) = owner.vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "quota-exceeded",
        ["lost words"],
    )


def test_a_revocation_that_was_overtaken_is_told(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Its owner hears which grant is still in force."""
    grant_id, _ = world.granted(owner, world.app())
    other = world.device(owner)
    _lost(network, lambda: owner.vault.revoke(grant_id))
    other.remember("quicker")
    owner.vault.sync()
    (found,) = owner.vault.unkept()
    assert [(e.kind, e.subject) for e in found.entries] == [("revoke", grant_id)]
    assert found.memories == ()
    assert owner.vault.grant(grant_id).state == "active"


def test_the_same_call_again_loses_nothing(world: World, owner: Owner, network: Refusing) -> None:
    """Who tries again writes what was given up, and is told of no loss."""
    other = world.device(owner)
    _lost(network, lambda: owner.vault.remember("lost", title="T"))
    other.remember("quicker")
    owner.vault.remember("lost", title="T")
    assert owner.vault.status().unkept == 0
    memory_id = _lost_words(network, owner.vault)
    _read_and_write(other)
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
    memory_id = _lost_words(network, vault)
    _read_and_write(other)
    vault.remember("lost words")
    (found,) = vault.unkept()
    assert [(entry.subject, entry.version) for entry in found.entries] == [(memory_id, 2)]
    assert vault.get(memory_id).content == "before"


def test_what_was_refused_and_is_said_again_is_no_loss(owner: Owner, network: Refusing) -> None:
    """The same call, once the server takes it, does what was given up; nobody is told of that."""
    _lost(network, lambda: owner.vault.remember("lost", title="T"))
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
    _lost(network, lambda: vault.update(memory_id, **change))
    _read_and_write(other)
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
    _lost(network, lambda: vault.narrow(grant_id, [memory_id]))
    _read_and_write(other)
    assert vault.sync().unkept == 1
    assert [entry.subject for found in vault.unkept() for entry in found.entries] == [memory_id]
    vault.narrow(grant_id, [memory_id])
    assert vault.unkept() == []


def test_a_memory_that_is_written_anew_is_no_loss(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Nor is it while that waits in its turn, because the server went away again."""
    vault, other = owner.vault, world.device(owner)
    _lost(network, lambda: vault.remember("new words"))
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
    _lost(network, lambda: vault.remember("new words"))
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
    _lost_words(network, owner.vault)
    _read_and_write(other)
    owner.vault.sync()
    change(owner.vault)
    (found,) = owner.vault.unkept()
    assert [memory.content for memory in found.memories] == ["lost words"]


def _refused(owner: Owner, network: Refusing, words: str) -> None:
    _lost(network, lambda: owner.vault.remember(words))
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
    _lost(network, lambda: owner.vault.remember("new words"))
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
    _lost(network, lambda: vault.remember("lost words", title="T"))
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
    _lost(network, lambda: owner.vault.remember("lost words"))
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
    _lost_words(network, owner.vault)
    _read_and_write(other)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    again.remember("next")
    assert [memory.content for found in again.unkept() for memory in found.memories] == [
        "lost words"
    ]


def _lost_to_new_keys(world: World, owner: Owner, network: Refusing) -> str:
    """Have a change given up, another one wait, and another device change the keys; their code."""
    vault, other = owner.vault, world.device(owner)
    memory_id = vault.remember("before").id
    _lost(network, lambda: vault.update(memory_id, content="given up"))
    _read_and_write(other)
    vault.sync()
    _lost(network, lambda: vault.remember("lost words", title="Lost"))
    other.sync()
    return change(other).secret_key_code()


def test_what_waited_when_the_keys_were_changed_is_told_with_its_words(
    world: World, owner: Owner, network: Refusing
) -> None:
    """The device that enters anew takes it along under the new keys, and writes none of it."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    assert vault.log_in_again(NEW, code).unkept == 1
    vault.sync()
    assert [(found.why, [m.content for m in found.memories]) for found in vault.unkept()] == [
        ("overtaken", ["given up"]),
        ("keys-changed", ["lost words"]),
    ]
    assert vault.unkept()[1].memories[0].title == "Lost"
    assert "lost words" not in {memory.content for memory in vault.list()}
    vault.lock()
    vault.unlock(NEW, code)
    assert len(vault.unkept()) == 2
    vault.remember("lost words", title="Lost")
    assert [found.why for found in vault.unkept()] == ["overtaken"]


def test_a_locked_device_gives_up_no_words_unasked(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Only the keys of before open them: with those first they are kept, or their owner says no."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    vault.lock()
    with pytest.raises(ConflictError, match="waits") as raised:
        vault.log_in_again(NEW, code)
    assert "coffret unlock" in raised.value.hint
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert [found.why for found in vault.unkept()] == ["overtaken", "waiting"]
    vault.log_in_again(NEW, code)
    assert [len(found.memories) for found in vault.unkept()] == [1, 1]


def test_what_its_owner_gives_up_is_said_once_more(
    world: World, owner: Owner, network: Refusing
) -> None:
    """What it was can be read no more, and that is told all the same."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    vault.lock()
    vault.log_in_again(NEW, code, give_up=True)
    vault.sync()
    for found in vault.unkept():
        assert (found.why, found.entries, found.memories) == ("keys-changed", (), ())
    assert vault.forget_unkept() == 2


def test_what_arrived_before_the_keys_were_changed_is_no_loss(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Its answer was lost, and no more than that."""
    vault, other = owner.vault, world.device(owner)
    network.lose = once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        vault.remember("arrived")
    other.sync()
    code = change(other).secret_key_code()
    assert vault.log_in_again(NEW, code).unkept == 0
    assert vault.status().unkept == 0
    assert [memory.content for memory in vault.list()] == ["arrived"]


@pytest.mark.attack(57)
def test_a_device_that_cannot_enter_again_keeps_what_waits(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Words are under the new keys only when all that is here is."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    network.lose = lambda request: request.url.path == f"{BASE}/sync"
    with pytest.raises(NetworkError):
        vault.log_in_again(NEW, code)
    network.lose = lambda _: False
    assert vault.status().unkept == 1
    vault.log_in_again(NEW, code)
    assert [len(found.memories) for found in vault.unkept()] == [1, 1]


@pytest.mark.attack(57)
def test_what_the_keys_of_before_say_is_written_by_its_owner_alone(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Who has those keys could have put it there: the device neither sends nor writes it anew."""
    vault, other = owner.vault, world.device(owner)
    _lost(network, lambda: vault.remember("by a thief"))
    code = change(other).secret_key_code()
    vault.log_in_again(NEW, code)
    vault.remember("by its owner")
    other.sync()
    assert [memory.content for memory in other.list()] == ["by its owner"]
