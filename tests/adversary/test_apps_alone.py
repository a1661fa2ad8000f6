"""What an app can do by itself, through an honest server: it never stops an owner."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret.flows import grantfeed
from coffret_vault.errors import CoffretError, ConflictError, NotFoundError, TrustError
from coffret_vault.formats.memory import Record
from coffret_vault.records.seal import make_record
from harness.flipping import flipped
from harness.league import TIMES, Pen, looking_away

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access, Vault
    from coffret_vault.formats.entry import Leaf
    from harness.world import Owner, World

MINUTE = 60_000_000
YEAR = 365 * 1_440 * MINUTE
TIMES_TO_TRY = (0, -50 * YEAR, -MINUTE, 9 * MINUTE, YEAR // 12, 200 * YEAR, 7_000 * YEAR)


def _digest(access: Access, memory_id: str) -> bytes:
    access.refresh()
    return access._shelf.one(memory_id).digest


def _delete_unreviewed(access: Access, _: str) -> None:
    made = access.remember("a note")
    with suppress(CoffretError):
        access.forget(made.id)
    Pen(access).delete(made.id, 2, _digest(access, made.id))


def _go_on_after_a_deletion(access: Access, shared: str) -> None:
    access.forget(shared)
    with suppress(CoffretError):
        access.update(shared, content="after the deletion")
    with suppress(CoffretError):
        access.forget(shared)
    Pen(access).delete(shared, 9, bytes(32))


def _change_unreviewed(access: Access, _: str) -> None:
    made = access.remember("first")
    access.update(made.id, content="second")
    access.update(made.id, content="third")


def _use_own_keys(access: Access, shared: str) -> None:
    pen = Pen(access)
    pen.put("under a key of its own", memory_id=shared, version=2)
    made = pen.put("new")
    Pen(access).put("under yet another", memory_id=made, version=2)


def _seal_badly(access: Access, shared: str) -> None:
    with patch("coffret_vault.records.seal.seal", lambda *_, **__: b"\1" + bytes(336)):
        access.remember("does not open")
        access.update(shared, content="does not open either")
    with patch("coffret.flows.access.make_record", _garbled):
        access.remember("nor does its key")


def _garbled(*args: Any, **kwargs: Any) -> Record:
    made = make_record(*args, **kwargs)
    return Record(made.header, made.envelope, made.kek, flipped(made.wrap))


def _take_the_owner_s_id(access: Access, shared: str) -> None:
    Pen(access).put("created again", memory_id=shared, version=1)


def _lie_about_time(access: Access, shared: str) -> None:
    pen = Pen(access)
    version = 2
    for ahead in TIMES_TO_TRY:
        time = pen.now() + ahead
        with suppress(CoffretError):
            pen.put("created", time=time)
        with suppress(CoffretError):
            pen.put("changed", memory_id=shared, version=version, time=time)
            version += 1
    grant = access._held.grant
    for time in (grant.created, grant.expires - 1, grant.expires, 0, (1 << 63) - 1):
        with suppress(CoffretError):
            pen.put("created", time=time)
        with suppress(CoffretError):
            pen.delete(shared, version, _digest(access, shared), time)


MOVES = (
    _delete_unreviewed,
    _go_on_after_a_deletion,
    _change_unreviewed,
    _use_own_keys,
    _seal_badly,
    _take_the_owner_s_id,
    _lie_about_time,
)


def _life_goes_on(world: World, owner: Owner, grant_id: str) -> None:
    vault = owner.vault
    vault.sync()
    mine = vault.remember("mine")
    second = world.device(owner)
    second.update(mine.id, content="still mine")
    _decide(second)
    vault.sync()
    vault.revoke(grant_id)
    vault.rotate()
    third = world.device(owner)
    assert third.get(mine.id).content == "still mine"
    assert _shown(third) == _shown(vault)
    assert list(third.pending()) == []


def _decide(vault: Vault) -> None:
    """Accept whatever can be accepted, and turn down the rest."""
    while waiting := list(vault.pending()):
        item = waiting[0]
        try:
            vault.accept(item.memory_id, item.version)
        except ConflictError:
            vault.reject(item.memory_id, item.version)


def _shown(vault: Vault) -> list[tuple[str, int, str]]:
    return sorted((memory.id, memory.version, memory.content) for memory in vault.list())


@pytest.mark.attack(61)
@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("move", MOVES)
def test_no_app_stops_an_owner(
    world: World,
    move: Callable[[Access, str], None],
    automatic: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """Whatever an app wrote: its owner syncs, writes, decides, revokes, and logs in elsewhere."""
    owner, app = world.owner(), world.app()
    shared = owner.vault.remember("shared", tags=["t"])
    grant_id, access = world.granted(owner, app, tags=["t"], auto_accept=automatic)
    with suppress(CoffretError):
        move(access, shared.id)
    _life_goes_on(world, owner, grant_id)


@pytest.mark.attack(61)
@pytest.mark.parametrize("automatic", [True, False])
def test_no_time_that_an_app_says_stops_an_owner(world: World, automatic: bool) -> None:  # noqa: FBT001 - pytest names it
    """Even from a server that takes any time, entries of any time are read."""
    owner, app = world.owner(), world.app()
    shared = owner.vault.remember("shared", tags=["t"])
    grant_id, access = world.granted(owner, app, tags=["t"], auto_accept=automatic)
    with looking_away(TIMES):
        _lie_about_time(access, shared.id)
    _life_goes_on(world, owner, grant_id)


@pytest.mark.control(61)
def test_a_client_that_judges_an_app_s_time_is_stopped(world: World) -> None:
    """Control: were an entry's time compared with the grant, one entry would end all syncs."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"])
    with looking_away(TIMES):
        Pen(access).put("of the future", time=Pen(access).now() + 200 * YEAR)
    real = grantfeed.check_app_leaf

    def judging(state: object, rows: object, leaf: Leaf) -> None:
        if leaf.entry.time > access._held.grant.expires:
            message = "written after its grant"
            raise TrustError(message)
        real(state, rows, leaf)  # type: ignore[arg-type]

    with patch("coffret.flows.sync.check_app_leaf", judging):
        for _ in range(2):
            with pytest.raises(TrustError):
                owner.vault.sync()
            with pytest.raises(TrustError):
                owner.vault.remember("mine")
    owner.vault.remember("mine")


def test_several_versions_are_not_accepted_by_one_word(world: World) -> None:
    """Where an app replaced what the owner saw, accepting without a version is refused."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app)
    made = access.remember("good proposal")
    owner.vault.sync()
    assert [item.version for item in owner.vault.pending()] == [1]
    access.update(made.id, content="bad proposal")
    owner.vault.sync()
    for decide in (owner.vault.accept, owner.vault.reject):
        with pytest.raises(ConflictError, match="several"):
            decide(made.id)
    accepted = owner.vault.accept(made.id, 1)
    assert accepted is not None
    assert accepted.content == "good proposal"
    owner.vault.reject(made.id)
    assert owner.vault.get(made.id).content == "good proposal"


def test_a_create_only_app_is_not_shown_what_the_owner_makes_of_it(world: World) -> None:
    """An honest server shows a create-only app its own words, and never the owner's."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create"], tags=["t"])
    made = access.remember("by the app")
    owner.vault.sync()
    owner.vault.accept(made.id)
    assert access.get(made.id).content == "by the app"
    owner.vault.update(made.id, content="private words", tags=["t"])
    with pytest.raises(NotFoundError):
        access.get(made.id)
