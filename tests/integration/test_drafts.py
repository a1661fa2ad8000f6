"""What an owner says while the server is away is kept as words, and written once it is back."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret.flows import drafts
from coffret.flows.hints import BEGUN_WAITS, NOT_KEPT
from coffret.flows.visibility import LOOK_AGAIN
from coffret.flows.waiting import SAID
from coffret_vault.errors import (
    ConflictError,
    GrantError,
    InputError,
    LockedError,
    NetworkError,
    NotFoundError,
    SessionError,
    StoreAlteredError,
)
from harness.network import BASE, Signed
from harness.world import PASSPHRASE
from integration.losing import APPENDS, Refusing

if TYPE_CHECKING:
    import httpx

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


def say(vault: Vault, *words: str, **details: Any) -> list[str]:
    """Remember what does not reach the server; the hints that come with that."""
    hints = []
    for content in words:
        with pytest.raises(NetworkError) as raised:
            vault.remember(content, **details)
        hints.append(raised.value.hint)
    return hints


def _contents(vault: Vault) -> list[str]:
    return sorted(memory.content for memory in vault.list())


def _away(network: Refusing, vault: Vault, *words: str, **details: Any) -> list[str]:
    network.left = 0
    hints = say(vault, *words, **details)
    network.left = -1
    return hints


def test_an_export_has_what_is_nowhere_else(owner: Owner, network: Refusing) -> None:
    """New memories that wait, sent or not, are in it once, before and after they are written."""
    owner.vault.remember("zero")
    _away(network, owner.vault, "one", "two")
    before = list(owner.vault.export())
    assert [sum(word in line for line in before) for word in (b"zero", b"one", b"two")] == [1, 1, 1]
    owner.vault.sync()
    after = list(owner.vault.export())
    assert [sum(word in line for line in after) for word in (b"zero", b"one", b"two")] == [1, 1, 1]


def test_all_that_is_said_on_a_train_is_written_afterwards(
    world: World, owner: Owner, network: Refusing
) -> None:
    """The first waits as it was sent, the others as words; a sync writes them in their order."""
    hints = _away(network, owner.vault, "one", "two", "three", title="T", tags=["t"])
    assert hints == [BEGUN_WAITS, SAID, SAID]
    assert owner.vault.status().unsent == 3
    assert _contents(owner.vault) == []
    owner.vault.sync()
    assert owner.vault.status().unsent == 0
    assert owner.vault.unkept() == []
    device = world.device(owner)
    there = sorted(device.list(), key=lambda memory: memory.created)
    assert [memory.content for memory in there] == ["one", "two", "three"]
    assert {(memory.title, memory.tags) for memory in there} == {("T", ("t",))}


def test_it_is_said_at_the_time_when_it_was_said(owner: Owner, network: Refusing) -> None:
    """Not when it was written; and a time of its own that it was given stays."""
    day = datetime(2020, 5, 17, tzinfo=UTC)
    begun = datetime.now(UTC)
    _away(network, owner.vault, "first", "second")
    _away(network, owner.vault, "of a day", created=day)
    ended = datetime.now(UTC)
    owner.vault.sync()
    found = {memory.content: memory for memory in owner.vault.list()}
    assert begun <= found["second"].created == found["second"].updated <= ended
    assert found["of a day"].created == day


def test_no_two_heads_of_one_size_are_signed_for_it(world: World) -> None:
    """However often the network goes away while it is written."""
    network = Signed()
    owner = world.owner(transport=network)
    network.left = 0
    say(owner.vault, "one", "two", "three")
    for left in range(1, 5):
        network.left = left
        with pytest.raises(NetworkError):
            owner.vault.sync()
        network.left = 0
        say(owner.vault, f"four {left}")
    network.left = -1
    owner.vault.sync()
    sizes = network.sizes()
    assert sizes == sorted(set(sizes))
    said = ["four 1", "four 2", "four 3", "four 4", "one", "three", "two"]
    assert _contents(owner.vault) == said


def test_the_same_call_again_says_it_once(owner: Owner, network: Refusing) -> None:
    """While the server is away, and when it is back: then it gives the memory that was written."""
    hints = _away(network, owner.vault, "one", "two", "two", "one")
    assert hints == [BEGUN_WAITS, SAID, SAID, BEGUN_WAITS]
    assert owner.vault.status().unsent == 2
    memory = owner.vault.remember("two")
    assert _contents(owner.vault) == ["one", "two"]
    assert owner.vault.get(memory.id).content == "two"


def test_an_id_of_ones_own_is_said_once(owner: Owner, network: Refusing) -> None:
    """The same words with two ids are two memories; other words with one id are a conflict."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    _away(network, owner.vault, "before")
    _away(network, owner.vault, "words", memory_id=first)
    _away(network, owner.vault, "words", memory_id=second)
    _away(network, owner.vault, "words", memory_id=first)
    network.left = 0
    with pytest.raises(ConflictError):
        owner.vault.remember("other words", memory_id=first)
    network.left = -1
    assert owner.vault.remember("words", memory_id=first).id == first
    assert sorted(memory.id for memory in owner.vault.list() if memory.content == "words") == (
        sorted([first, second])
    )


def test_what_cannot_be_a_memory_is_not_kept(owner: Owner, network: Refusing) -> None:
    """It is refused at once, server or not."""
    _away(network, owner.vault, "before")
    network.left = 0
    too_much: tuple[dict[str, Any], ...] = ({"tags": ["a" * 1_000]}, {"importance": 2.0})
    for wrong in too_much:
        with pytest.raises(InputError):
            owner.vault.remember("words", **wrong)
    assert owner.vault.status().unsent == 1


def test_others_may_write_meanwhile(world: World, owner: Owner, network: Refusing) -> None:
    """What is said needs no place in the log: nothing of it is overtaken, and nobody is told so."""
    other = world.device(owner)
    _away(network, owner.vault, "one", "two", "three")
    other.remember("quicker")
    assert owner.vault.sync().unkept == 0
    assert _contents(owner.vault) == ["one", "quicker", "three", "two"]


@pytest.mark.parametrize("reaching", [True, False])
def test_a_process_that_ends_while_it_is_written_loses_and_doubles_nothing(
    world: World, owner: Owner, network: Refusing, *, reaching: bool
) -> None:
    """Whether the server has it or not; also where others write before the next process comes."""
    _away(network, owner.vault, "one", "two", "three")
    posts: list[str] = []

    def second(request: httpx.Request) -> bool:
        posts.extend([request.url.path] if request.url.path in APPENDS else [])
        return len(posts) == 2

    network.reaching, network.lose = reaching, second
    with pytest.raises(NetworkError):
        owner.vault.sync()
    network.lose = lambda _: False
    world.device(owner).remember("quicker")
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    assert again.sync().unkept == 0
    assert (again.status().unsent, again.unkept()) == (0, [])
    assert _contents(again) == ["one", "quicker", "three", "two"]


def test_it_is_shown_and_can_be_taken_back(owner: Owner, network: Refusing) -> None:
    """By the id that it is to have; what was sent is not, nor is what nobody named."""
    _away(network, owner.vault, "one", "two", "three", title="T")
    sent, two, three = owner.vault.unkept()
    assert (sent.id, sent.why) == ("waiting", "waiting")
    assert [(item.why, item.memories[0].content) for item in (two, three)] == [
        ("not-sent", "two"),
        ("not-sent", "three"),
    ]
    assert [entry.subject for entry in two.entries] == [two.id] == [two.memories[0].id]
    assert owner.vault.forget_unkept() == 0
    assert owner.vault.forget_unkept(two.id) == 1
    with pytest.raises(NotFoundError):
        owner.vault.forget_unkept(two.id)
    owner.vault.sync()
    assert _contents(owner.vault) == ["one", "three"]


def test_its_words_are_sealed(owner: Owner, network: Refusing) -> None:
    """Nothing of it is in the open on the device, titles and tags neither."""
    _away(network, owner.vault, "one", "words of mine", title="my title", tags=["my-tag"])
    held = b"".join(path.read_bytes() for path in owner.vault.folder.iterdir() if path.is_file())
    for secret in (b"words of mine", b"my title", b"my-tag"):
        assert secret not in held
    assert "words" not in repr(owner.vault.unkept())


def test_a_locked_vault_keeps_it_for_later(owner: Owner, network: Refusing) -> None:
    """It says how much waits, and nothing goes out before it is unlocked."""
    _away(network, owner.vault, "one", "two")
    network.left = 0
    owner.vault.lock()
    with pytest.raises(LockedError):
        owner.vault.remember("three")
    network.left = -1
    assert owner.vault.status().unsent == 2
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.sync()
    assert _contents(owner.vault) == ["one", "two"]


@pytest.mark.parametrize("decided", [None, False, True])
def test_what_the_vault_keeps_sealed_by_then_shows_nothing(
    world: World, owner: Owner, network: Refusing, *, decided: bool | None
) -> None:
    """Another device sealed the vault meanwhile; what its owner said of one memory stands."""
    _away(network, owner.vault, "one")
    _away(network, owner.vault, "two", title="T", sealed=decided)
    world.device(owner).set_settings(sealed=True)
    owner.vault.sync()
    (found,) = [memory for memory in owner.vault.list() if memory.content == "two"]
    assert found.sealed is (decided is not False)


def test_a_grant_that_ended_meanwhile_is_given_nothing_of_it(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Who is given its key is decided when it is written: who stands then, and nobody else."""
    ended, standing = world.app(), world.app()
    grant_id, over = world.granted(owner, ended, standing=True, approve_standing=True)
    _, reading = world.granted(owner, standing, standing=True, approve_standing=True)
    _away(network, owner.vault, "one", "two")
    other = world.device(owner)
    other.revoke(grant_id)
    owner.vault.sync()
    assert sorted(memory.content for memory in reading.memories()) == ["one", "two"]
    assert owner.vault.grant(grant_id).state == "revoked"
    with pytest.raises(GrantError):
        list(over.memories())


def test_what_the_server_refuses_is_given_up_and_told(owner: Owner, network: Refusing) -> None:
    """With its words and the reason; it is not tried again, and what follows is."""
    _away(network, owner.vault, "one")
    owner.vault.sync()
    _away(network, owner.vault, "two", "three")
    network.refusing = True
    owner.vault.sync()
    network.refusing = False
    found = owner.vault.unkept()
    assert [(item.why, [memory.content for memory in item.memories]) for item in found] == [
        ("quota-exceeded", ["two"]),
        ("quota-exceeded", ["three"]),
    ]
    assert owner.vault.status().unsent == 0
    owner.vault.remember("three")
    assert [item.memories[0].content for item in owner.vault.unkept()] == ["two"]


def test_it_goes_along_where_this_device_changes_the_keys(owner: Owner, network: Refusing) -> None:
    """It is written before they are changed."""
    _away(network, owner.vault, "one", "two")
    change(owner.vault)
    assert _contents(owner.vault) == ["one", "two"]
    assert owner.vault.status().unsent == 0


def test_after_anothers_key_change_its_owner_is_told_and_it_is_not_written(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Who has the keys of before may have put it there: so its words are shown, and that is all."""
    other = world.device(owner)
    _away(network, owner.vault, "one", "two", "three")
    code = change(other).secret_key_code()
    owner.vault.log_in_again(NEW, code)
    owner.vault.sync()
    assert _contents(owner.vault) == []
    found = owner.vault.unkept()
    assert {item.why for item in found} == {"keys-changed"}
    assert [memory.content for item in found for memory in item.memories] == ["one", "two", "three"]


def test_what_somebody_put_there_is_not_written(owner: Owner, network: Refusing) -> None:
    """A note that this vault did not seal, or that stands under another name, is dropped."""
    _away(network, owner.vault, "one", "two")
    store = owner.vault._state.store
    ((name, sealed),) = store.noted(drafts.PREFIX).items()
    owner.vault.sync()
    for planted in (f"{drafts.PREFIX}{'0' * 20} {'f' * 32}", name):
        store.set_meta(planted, sealed[:-1] + bytes([sealed[-1] ^ (planted == name)]))
        with pytest.raises(StoreAlteredError):
            owner.vault.sync()
        owner.vault.sync()
    assert _contents(owner.vault) == ["one", "two"]


def test_no_more_is_kept_than_has_a_place(owner: Owner, network: Refusing) -> None:
    """Who is away for long is told that what they say is not kept, by number and by size."""
    for most in ({"MOST": 2}, {"MOST_BYTES": 5_000}):
        with patch.dict(vars(drafts), most):
            hints = _away(network, owner.vault, "one", *(c * 2_000 for c in "abc"))
        assert hints == [BEGUN_WAITS, SAID, SAID, NOT_KEPT]
        owner.vault.sync()
        for memory in owner.vault.list():
            owner.vault.forget(memory.id)


def test_what_another_process_says_while_the_keys_are_changed_is_told(
    world: World, owner: Owner, network: Refusing
) -> None:
    """It has the keys of before, when the server has the new ones: its words are not lost."""
    away = Refusing()
    other = world.closing(Vault.open(owner.vault.folder, **world.around(transport=away)))
    other.unlock(PASSPHRASE, owner.secret_key)

    def meanwhile(request: httpx.Request) -> bool:
        if request.url.path == f"{BASE}/accounts/me/keys" and request.method == "POST":
            with patch("coffret.flows.memories.settle", side_effect=NetworkError):
                assert _away(away, other, "two") == [SAID]
        return False

    network.lose = meanwhile
    change(owner.vault)
    network.lose = lambda _: False
    owner.vault.sync()
    assert _contents(owner.vault) == []
    (found,) = owner.vault.unkept()
    assert [memory.content for memory in found.memories] == ["two"]


def test_a_device_that_was_logged_out_keeps_what_was_said_before(
    world: World, owner: Owner, network: Refusing
) -> None:
    """It locks itself, and says so; with a new login, what waited goes out."""
    owner.vault.sync()
    _away(network, owner.vault, "one", "two")
    other = world.device(owner)
    for session in other.sessions():
        if not session.current:
            other.end_session(session.session_id)
    with pytest.raises(SessionError):
        owner.vault.remember("three")
    assert owner.vault.is_locked
    assert owner.vault.status().unsent == 2
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.log_in_again(PASSPHRASE, owner.secret_key)
    owner.vault.sync()
    assert _contents(owner.vault) == ["one", "two"]


def test_where_the_vault_has_to_be_asked_first_what_is_said_waits_too(
    world: World, network: Refusing
) -> None:
    """A device that was online a while ago cannot know what shows by now: it signs nothing yet."""
    owner = world.owner(transport=network)
    world.clock.forward(seconds=LOOK_AGAIN // 1_000_000 + 1)
    assert _away(network, owner.vault, "one", "two", title="T") == [SAID, SAID]
    assert owner.vault.status().unsent == 2
    world.device(owner).set_settings(sealed=True)
    owner.vault.sync()
    assert [memory.sealed for memory in owner.vault.list()] == [True, True]
