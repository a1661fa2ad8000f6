"""Apps whose server looks away: keys of their own, other authors, grants that are over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret_vault.errors import CoffretError, ConflictError, NotFoundError, TrustError
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Leaf, parse_leaf
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.records.memory import to_micros
from harness.keeping import keeping_keys
from harness.league import (
    HELD,
    SCOPES,
    TIMES,
    Pen,
    believing_the_entry,
    looking_away,
    serving_whatever_the_state,
)
from harness.network import Evil

if TYPE_CHECKING:
    from coffret import Vault
    from coffret_vault.records.memory import Memory
    from harness.world import World

LATER = "written later by the owner"
DAY = timedelta(days=1)
YEAR = 365 * 86_400 * 1_000_000


def _updated(pen: Pen, memory: Memory) -> None:
    """A version of the app's behind the owner's first, in which nothing else is strange."""
    created = to_micros(memory.created)
    pen.put("by the app", memory_id=memory.id, version=2, created=created)


# -- an update under a key of the app's own -----------------------------------------------------


@pytest.mark.parametrize("tags", [["t"], ["other"]])
def test_an_accepted_update_under_an_app_s_own_key_is_written_again(
    world: World, tags: list[str]
) -> None:
    """What the owner accepts becomes the owner's version under the memory's real key."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("shared", tags=["t"])
    memory = owner.vault.remember("first", tags=tags)
    _, access = world.granted(owner, app, tags=["t"], scopes=["read", "update"])
    pen = Pen(access)
    with looking_away(HELD):
        _updated(pen, memory)
    owner.vault.sync()
    accepted = owner.vault.accept(memory.id)
    assert accepted is not None
    assert (accepted.content, accepted.author) == ("by the app", "owner")
    assert not pen.opens(owner.vault, memory.id)
    owner.vault.update(memory.id, content=LATER)
    assert not pen.opens(owner.vault, memory.id)
    assert world.device(owner).get(memory.id).content == LATER
    assert owner.vault.pending() == []


@pytest.mark.parametrize("held", [True, False])
def test_an_update_under_an_app_s_own_key_is_not_accepted_unseen(world: World, held: bool) -> None:  # noqa: FBT001 - pytest names it
    """Auto-acceptance leaves it pending, whether or not the grant holds the memory."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("shared", tags=["t"])
    memory = owner.vault.remember("first", tags=["t" if held else "other"])
    _, access = world.granted(owner, app, tags=["t"], scopes=["update"], auto_accept=True)
    pen = Pen(access)
    with looking_away(HELD):
        _updated(pen, memory)
    owner.vault.sync()
    assert owner.vault.get(memory.id).content == "first"
    assert [item.version for item in owner.vault.pending()] == [2]
    owner.vault.update(memory.id, content=LATER)
    assert not pen.opens(owner.vault, memory.id)
    owner.vault.accept(memory.id)
    assert not pen.opens(owner.vault, memory.id)


@pytest.mark.attack(39)
def test_nothing_is_accepted_unseen_under_a_grant_that_does_not_hold_it(world: World) -> None:
    """An app with two grants writes to what the one holds under the other, which is trusted.

    The key is the memory's own: only what the trusted grant holds can tell. What it does hold is
    accepted, at once.
    """
    owner, app = world.owner(), world.app()
    watched, trusted = (owner.vault.remember(text) for text in ("watched", "trusted"))
    _, reading = world.granted(owner, app, memories={watched.id})
    _, access = world.granted(owner, app, memories={trusted.id}, auto_accept=True)
    for shelf, memory in ((reading, watched), (access, trusted)):
        shelf.memories()
        key = shelf._shelf.one(memory.id).key
        assert key is not None
        with looking_away(HELD):
            _updated(Pen(access, key), memory)
    owner.vault.sync()
    assert owner.vault.get(trusted.id).content == "by the app"
    assert owner.vault.get(watched.id).content == "watched"
    (item,) = owner.vault.pending()
    assert item.memory_id == watched.id
    assert item.proposed is not None  # it opens, and is accepted when the owner says so
    owner.vault.accept(watched.id)
    assert owner.vault.get(watched.id).content == "by the app"


@pytest.mark.attack(39)
def test_nothing_is_accepted_behind_a_version_that_is_withheld(world: World) -> None:
    """Of what an app made and its owner accepted, nobody can tell here what an update would be."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create", "read", "update"])
    made = access.remember("first", title="private", sealed=True)
    owner.vault.sync()
    owner.vault.accept(made.id)
    pen = Pen(access)
    _updated(pen, owner.vault.get(made.id))
    owner.vault.sync()
    store = owner.vault._state.store
    (row,) = store.current_records()
    store.take_away([row])  # as where a server withheld it, which the sync said
    with pytest.raises(NotFoundError):
        owner.vault.accept(made.id)
    owner.vault.sync()
    accepted = owner.vault.accept(made.id)
    assert accepted is not None
    assert (accepted.content, accepted.sealed) == ("by the app", True)
    assert not pen.opens(owner.vault, made.id)


def test_a_client_that_takes_over_an_app_s_key_is_read(world: World) -> None:
    """Control: with both rules about keys off, the app reads what the owner writes later."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("shared", tags=["t"])
    diary = owner.vault.remember("diary", tags=["private"])
    _, access = world.granted(owner, app, tags=["t"], scopes=["update"])
    pen = Pen(access)
    with looking_away(HELD):
        _updated(pen, diary)
    owner.vault.sync()
    with (
        patch("coffret.flows.review.overtaken", return_value=False),
        patch("coffret.flows.unseen.overtaken", return_value=False),
        keeping_keys(),
    ):
        owner.vault.accept(diary.id)
        owner.vault.update(diary.id, content=LATER)
    assert pen.opens(owner.vault, diary.id)


# -- what apps created --------------------------------------------------------------------------


@pytest.mark.parametrize("automatic", [True, False])
def test_a_create_only_app_reads_nothing_of_the_owner_s(world: World, automatic: bool) -> None:  # noqa: FBT001 - pytest names it
    """The key with which an app created a memory opens no version by the owner."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(
        owner, app, scopes=["create"], tags=["t"], auto_accept=automatic, standing=True,
        approve_standing=True,
    )  # fmt: skip
    pen = Pen(access)
    memory_id = pen.put("by the app")
    owner.vault.sync()
    if not automatic:
        owner.vault.accept(memory_id)
    assert pen.opens(owner.vault, memory_id)
    for content in (LATER, "and later still"):
        owner.vault.update(memory_id, content=content, tags=["t"])
        assert not pen.opens(owner.vault, memory_id)
        _reads_nothing_later(access, memory_id)


def _reads_nothing_later(access: Any, memory_id: str) -> None:
    with looking_away(SCOPES):
        try:
            assert access.get(memory_id).content == "by the app"
        except NotFoundError:
            assert access.memories() == []


def test_a_client_that_keeps_the_app_s_key_is_read(world: World) -> None:
    """Control: had the owner's version kept the key, the app would open it."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"])
    pen = Pen(access)
    memory_id = pen.put("by the app")
    owner.vault.sync()
    owner.vault.accept(memory_id)
    with keeping_keys():
        owner.vault.update(memory_id, content=LATER)
    assert pen.opens(owner.vault, memory_id)


@pytest.mark.attack(38)
@pytest.mark.parametrize("ahead", [0, 86_400_000_000, 200 * YEAR, -20 * YEAR])
def test_what_an_ended_app_created_gets_fresh_keys(world: World, ahead: int) -> None:
    """Whatever time the app chose: after its grant has ended, its memories are written anew."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"], duration=DAY)
    pen = Pen(access)
    with looking_away(TIMES):
        made = [pen.put("by the app", time=pen.now() + ahead) for _ in range(2)]
    owner.vault.sync()
    for memory_id in made:
        owner.vault.accept(memory_id)
    world.clock.forward(days=3)
    owner.vault.update(made[0], content=LATER)
    assert not pen.opens(owner.vault, made[0])
    assert owner.vault.rotate() == 1
    assert not pen.opens(owner.vault, made[1])
    assert owner.vault.rotate() == 0
    owner.vault.update(made[1], content=LATER)
    assert not pen.opens(owner.vault, made[1])


def _by_the_owner(data: bytes) -> Leaf:
    leaf = parse_leaf(data)
    return msgspec.structs.replace(leaf, entry=msgspec.structs.replace(leaf.entry, author=OWNER))


@pytest.mark.control(38)
def test_the_time_that_an_app_chose_would_keep_its_key_in_use(world: World) -> None:
    """Control: to a client that goes by the app's word about time, its key is never stale."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"], duration=DAY)
    pen = Pen(access)
    with looking_away(TIMES):
        memory_id = pen.put("by the app", time=pen.now() + 200 * YEAR)
    owner.vault.sync()
    owner.vault.accept(memory_id)
    world.clock.forward(days=3)
    with patch("coffret.flows.freshness.parse_leaf", _by_the_owner):
        assert owner.vault.rotate() == 0
    assert owner.vault.rotate() == 1


# -- grants that are paused or over -------------------------------------------------------------


@pytest.mark.attack(39)
@pytest.mark.parametrize("state", ["paused", "ended"])
def test_nothing_is_accepted_unseen_under_a_grant_that_is_not_in_force(
    world: World, state: str
) -> None:
    """What comes in while the grant is paused, or after it ended, waits for the owner."""
    owner, app = world.owner(), world.app()
    grant_id, access = world.granted(owner, app, scopes=["create"], auto_accept=True, duration=DAY)
    if state == "paused":
        owner.vault.pause(grant_id)
    with serving_whatever_the_state():
        memory_id = Pen(access).put("injected")
    if state == "ended":
        world.clock.forward(days=2)
    owner.vault.sync()
    assert owner.vault.grant(grant_id).state == state
    assert list(owner.vault.list()) == []
    assert [item.memory_id for item in owner.vault.pending()] == [memory_id]


def test_a_grant_in_force_is_accepted_unseen(world: World) -> None:
    """Control: the same writing under the same grant while it is in force is current at once."""
    owner, app = world.owner(), world.app()
    world_granted = world.granted(owner, app, scopes=["create"], auto_accept=True)
    Pen(world_granted[1]).put("welcome")
    owner.vault.sync()
    assert [memory.content for memory in owner.vault.list()] == ["welcome"]
    assert owner.vault.pending() == []


# -- what a header says -------------------------------------------------------------------------


def _never_the_owner_s(vault: Vault, memory_id: str) -> None:
    vault.sync()
    assert [item.proposed for item in vault.pending()] == [None]
    assert list(vault.list(authors=["owner"])) == []
    with pytest.raises((ConflictError, TrustError)):
        vault.accept(memory_id)
    assert list(vault.list(authors=["owner"])) == []
    assert [step.memory for step in vault.history(memory_id)] == [None]
    with pytest.raises(CoffretError):
        vault.get(memory_id)
    vault.reject(memory_id)
    assert (list(vault.pending()), list(vault.list())) == ([], [])


@pytest.mark.attack(39)
@pytest.mark.parametrize("automatic", [True, False])
def test_an_app_does_not_pass_for_the_owner(world: World, automatic: bool) -> None:  # noqa: FBT001 - pytest names it
    """A record whose header names the owner, under an app's entry, is never shown or accepted."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"], auto_accept=automatic)
    pen = Pen(access)
    with believing_the_entry(pen.app_id):
        memory_id = pen.put("I trust evil.example", author=OWNER)
    _never_the_owner_s(owner.vault, memory_id)
    assert list(world.device(owner).list()) == []


def test_a_record_of_another_memory_is_not_accepted(world: World) -> None:
    """An entry over a record whose header names another memory can only be rejected."""
    owner, app = world.owner(), world.app()
    other = owner.vault.remember("other")
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"])
    pen = Pen(access)
    memory_id = owner.vault._state.ambient.new_id()
    with believing_the_entry(pen.app_id, memory_id):
        pen.put("elsewhere", memory_id=id_text(memory_id), header_id=parse_id(other.id))
    owner.vault.sync()
    with pytest.raises(ConflictError, match="rejected"):
        owner.vault.accept(id_text(memory_id))
    assert [step.memory for step in owner.vault.history(id_text(memory_id))] == [None]
    assert [memory.content for memory in owner.vault.list()] == ["other"]


@pytest.mark.attack(6)
def test_a_record_of_another_account_is_refused(world: World) -> None:
    """An entry over a record whose header names another account: no device keeps what it names."""
    owner, app = world.owner(), world.app()
    device = world.device(owner)
    _, access = world.granted(owner, app, scopes=["create"], auto_accept=True)
    pen, other = Pen(access), world.owner().vault._state.account_id
    with believing_the_entry(pen.app_id, account=owner.vault._state.account_id):
        pen.put("of somebody else", account_id=other)
    before = device.status().entries
    with pytest.raises(TrustError, match="not the one that the log names"):
        device.sync()
    assert device.status().entries == before
    assert (list(device.pending()), list(device.list())) == ([], [])


@pytest.mark.control(39)
def test_an_app_passes_for_the_owner_with_a_client_that_does_not_compare(world: World) -> None:
    """Control: without the comparison of authors the app's words are shown as the owner's."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"], auto_accept=True)
    pen = Pen(access)
    with believing_the_entry(pen.app_id):
        memory_id = pen.put("I trust evil.example", author=OWNER)
    with patch("coffret.flows.arriving._author", return_value=pen.app_id):
        owner.vault.sync()
    assert [memory.id for memory in owner.vault.list(authors=["owner"])] == [memory_id]


# -- a deletion that was proposed ---------------------------------------------------------------


@pytest.mark.attack(16, 60)
@pytest.mark.parametrize("decided", ["waiting", "rejected"])
def test_a_proposed_deletion_lets_no_server_withhold_what_was_before_it(
    world: World, decided: str
) -> None:
    """Only a deletion in force erases: what an app would have had deleted has its history still."""
    evil, owner = Evil(), world.owner()
    memory = owner.vault.remember("first")
    owner.vault.update(memory.id, content="second")
    _, access = world.granted(owner, world.app())
    access.forget(memory.id)
    device = world.device(owner, transport=evil)
    if decided == "rejected":
        device.reject(memory.id)
    whole = [item.memory and item.memory.content for item in device.history(memory.id)]
    assert whole == ["first", "second", None]

    def withhold(items: list[Any]) -> None:
        items[0][0] = None

    evil.rewrite[f"/memory-blobs/{memory.id}/versions"] = withhold
    with pytest.raises(TrustError, match="nobody deleted"):
        device.history(memory.id)
