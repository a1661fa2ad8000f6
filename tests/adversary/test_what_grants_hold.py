"""A server that lies about which memories a grant holds, alone or in league with apps. ADR 0031."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import access as access_flows
from coffret_vault.errors import NotFoundError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import KEK, parse_header
from coffret_vault.records.seal import wrap_memory_key
from harness.holding import AFTER, BEFORE, Liar, emptied
from harness.league import HELD, SCOPES, Pen, looking_away

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from coffret import Access
    from harness.world import World

WHATEVER_OPENS = "coffret.flows.wraps.was_given"


@pytest.fixture
def liar(world: World) -> Liar:
    """A lying server and an owner's two devices."""
    return Liar(world)


def weak() -> AbstractContextManager[object]:
    """A device that believes whatever opens."""
    return patch(WHATEVER_OPENS, return_value=True)


def contents(access: Access) -> set[str]:
    """What an app reads."""
    return {memory.content for memory in access.memories()}


@pytest.mark.parametrize(
    "believed",
    [
        pytest.param(False, marks=pytest.mark.attack(2, 38)),
        pytest.param(True, marks=pytest.mark.control(2, 38)),
    ],
)
def test_accomplices_slip_no_memory_into_a_grant(liar: Liar, *, believed: bool) -> None:
    """B, which is revoked then, passes a key to A, which wraps it: A gets no later one."""
    liar.device.remember("public", tags=["t"])
    mine, a = liar.grant(liar.world.app("A"), scopes=["read"], tags=["t"])
    theirs, b = liar.grant(liar.other_app(), scopes=["read"], memories=[liar.memory])
    with weak() if believed else nullcontext():
        liar.slip_in(mine, a, b)
    liar.device.revoke(theirs)
    liar.device.rotate()
    liar.device.update(liar.memory, content=AFTER)
    assert contents(a) == ({"public", AFTER} if believed else {"public"})


@pytest.mark.attack(2, 37)
@pytest.mark.parametrize("end", ["revoke", "narrow"])
def test_one_app_moves_no_memory_from_one_of_its_grants_to_another(liar: Liar, end: str) -> None:
    """What is taken from the one is not read by the other, which never covered it."""
    liar.device.remember("public", tags=["t"])
    spare, app = liar.device.remember("spare"), liar.world.app("A")
    stays, a = liar.grant(app, scopes=["read"], tags=["t"])
    goes, b = liar.grant(app, scopes=["read"], memories=[liar.memory, spare.id])
    liar.slip_in(stays, a, b)
    if end == "revoke":
        liar.device.revoke(goes)
    else:
        assert liar.device.narrow(goes, remove=[liar.memory]) == 1
    liar.device.update(liar.memory, content=AFTER)
    assert contents(a) == {"public"}


@pytest.mark.parametrize(
    "believed",
    [
        pytest.param(False, marks=pytest.mark.attack(34, 39)),
        pytest.param(True, marks=pytest.mark.control(34, 39)),
    ],
)
def test_nothing_is_changed_unseen_that_another_grant_lets_read(
    liar: Liar, *, believed: bool
) -> None:
    """A grant that needs no review lets an app change what that grant holds, and nothing else."""
    liar.device.remember("notes", tags=["scratch"])
    app = liar.world.app("A")
    _, reading = liar.grant(app, scopes=["read"])
    trusted, writing = liar.grant(
        app, scopes=["read", "update"], tags=["scratch"], auto_accept=True
    )
    with weak() if believed else nullcontext():
        liar.slip_in(trusted, writing, reading)
    known = reading._shelf.one(liar.memory)
    with looking_away(HELD):
        flow = access_flows.update(
            writing._state,
            writing._held,
            known,
            lambda fields: msgspec.structs.replace(fields, content=AFTER),
        )
        writing._driver.run(flow)
    liar.device.sync()
    assert liar.device.get(liar.memory).content == (AFTER if believed else BEFORE)
    assert len(liar.device.pending()) == (0 if believed else 1)


@pytest.mark.parametrize(
    "forgetful",
    [
        pytest.param(False, marks=pytest.mark.attack(38, 55)),
        pytest.param(True, marks=pytest.mark.control(38, 55)),
    ],
)
def test_hiding_who_may_write_keeps_no_key_in_use(liar: Liar, *, forgetful: bool) -> None:
    """B may write; the server hides that from the device which revokes A, which kept the key."""
    gone, a = liar.grant(liar.world.app("A"), scopes=["read", "update"])
    stays, b = liar.grant(liar.other_app(), scopes=["read", "update"])
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    forgetting = patch("coffret.flows.wraps._not_shown", return_value={})
    unmindful = patch("coffret.flows.grants.may_be_exposed", return_value=[])
    with forgetting if forgetful else nullcontext(), unmindful if forgetful else nullcontext():
        liar.list_for(stays, emptied)
        liar.device.revoke(gone)
    b.refresh()
    b.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == ({BEFORE, AFTER} if forgetful else {BEFORE})


@pytest.mark.attack(38, 55)
def test_a_device_that_was_never_shown_who_may_write_makes_fresh_keys(liar: Liar) -> None:
    """By what the grant covers, where the approval was another device's and its list is hidden.

    The app that was hidden is not given the fresh key: that much a server can do.
    """
    gone, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    stays, b = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    liar.list_for(stays, emptied)
    liar.device.revoke(gone)
    assert liar.device.get(liar.memory).version == 2
    with pytest.raises(NotFoundError):
        b.update(liar.memory, content=AFTER)
    liar.device.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == {BEFORE}


@pytest.mark.attack(38)
@pytest.mark.parametrize("done", ["narrow", "rotate"])
def test_what_a_server_hides_is_narrowed_and_rotated_all_the_same(liar: Liar, done: str) -> None:
    """Neither does nothing because the grant is said to hold nothing."""
    grant_id, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    liar.list_for(grant_id, emptied)
    if done == "narrow":
        assert liar.device.narrow(grant_id, remove=[liar.memory]) == 1
    else:
        liar.device.revoke(grant_id)
        assert liar.device.rotate(grant_id) > 0
    liar.device.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == {BEFORE}


@pytest.mark.attack(38, 55)
@pytest.mark.parametrize("unrelated", [False, True])
def test_an_app_that_may_only_create_knows_no_key_in_use(liar: Liar, *, unrelated: bool) -> None:
    """Not even where it may read something else: another app's words are under a key of its own."""
    app = liar.world.app("A")
    _, creating = liar.grant(app, scopes=["create"])
    if unrelated:
        liar.grant(app, scopes=["read"], memories=[liar.memory])
    pen = Pen(creating)
    made = pen.put("made by A")
    liar.device.sync()
    liar.device.accept(made)
    _, b = liar.grant(liar.other_app(), scopes=["read", "update"], memories=[made])
    b.refresh()
    b.update(made, content=AFTER)
    liar.device.sync()
    liar.device.accept(made)
    assert liar.opened(pen.key) == {"made by A"}


def test_who_made_a_memory_goes_on_reading_it(liar: Liar) -> None:
    """The key is given back by the owner at acceptance, so that every device knows who has it."""
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["read", "create"], standing=True)
    made = access.remember("made by A")
    liar.device.sync()
    liar.device.accept(made.id)
    liar.owner.vault.sync()
    liar.owner.vault.update(made.id, content=AFTER)
    assert AFTER in contents(access)
    held = liar.owner.vault._state.store.grants.memories(parse_id(grant_id))
    assert parse_id(made.id) in held


@pytest.mark.attack(2, 38)
def test_what_an_app_made_is_not_moved_to_a_grant_that_cannot_create(liar: Liar) -> None:
    """The record's own part can name any grant of the app; one that made nothing holds nothing."""
    app = liar.world.app("A")
    _, creating = liar.grant(app, scopes=["create"])
    reading_id, reading = liar.grant(app, scopes=["read"], memories=[liar.memory])
    pen, wrapping = Pen(creating), access_flows._wrapping(reading._held)
    made = pen.put("made by A")

    def moved(page: list[Any]) -> None:
        for _, record in page[2]:
            header = record and parse_header(record[0])
            if header and header.memory_id == parse_id(made):
                record[2] = KEK.encode(wrapping.name)
                record[3] = wrap_memory_key(header, pen.key, wrapping, random=os.urandom)

    liar.evil.rewrite["/sync"] = moved
    liar.device.sync()
    liar.evil.rewrite.clear()
    liar.device.accept(made)
    liar.device.update(made, content=AFTER)
    assert liar.opened(pen.key) == {"made by A"}
    assert parse_id(made) not in liar.device._state.store.grants.memories(parse_id(reading_id))


@pytest.mark.attack(2, 38)
@pytest.mark.parametrize("trusted", [False, True])
def test_no_app_moves_in_behind_what_another_app_made(liar: Liar, *, trusted: bool) -> None:
    """An update of what waits, under any key, gives its app nothing of it, and is not unseen."""
    liar.device.remember("public", tags=["t"])
    _, x = liar.grant(liar.world.app("A"), scopes=["create"])
    scopes = ["create", "read", "update"]
    mine, y = liar.grant(liar.other_app(), scopes=scopes, tags=["t"], auto_accept=trusted)
    made = x.remember("made by A").id
    with looking_away(HELD, SCOPES):
        Pen(y).put("by B", memory_id=made, version=2)
    liar.device.sync()
    record = liar.device._state.store.record(parse_id(made), 2)
    assert record is not None
    liar.list_for(mine, lambda items: items.append([parse_id(made), 1, record.wrap]))
    assert len(liar.device.pending()) == 2
    liar.device.accept(made, version=1)
    liar.device.update(made, content=AFTER)
    liar.evil.rewrite.clear()
    assert contents(y) <= {"public", "by B"}


@pytest.mark.attack(2, 37)
def test_what_was_accepted_is_held_by_the_owners_word_only(liar: Liar) -> None:
    """An app's update, accepted on another device, is not taken for made under its other grant."""
    liar.device.remember("public", tags=["t"])
    app = liar.world.app("A")
    ends, a = liar.grant(app, scopes=["read", "update"], memories=[liar.memory])
    stays, b = liar.grant(app, scopes=["read", "create"], tags=["t"])
    a.refresh()
    key, wrapping = a._shelf.one(liar.memory).key, access_flows._wrapping(b._held)
    assert key is not None
    a.update(liar.memory, content="by A")
    liar.owner.vault.sync()
    liar.owner.vault.accept(liar.memory)
    wraps: list[list[Any]] = []

    def moved(page: list[Any]) -> None:
        for _, record in page[2]:
            header = record and parse_header(record[0])
            if header and header.memory_id == parse_id(liar.memory) and header.version == 2:
                wrap = wrap_memory_key(header, key, wrapping, random=os.urandom)
                record[2:] = [KEK.encode(wrapping.name), wrap]
                wraps.append([header.memory_id, header.key_number, wrap])

    liar.evil.rewrite["/sync"] = moved
    liar.list_for(stays, lambda items: items.extend(wraps))
    assert wraps
    liar.device.revoke(ends)
    liar.device.update(liar.memory, content=AFTER)
    assert contents(b) == {"public"}


@pytest.mark.attack(38, 55)
def test_a_key_of_an_app_that_did_not_make_the_memory_stays_in_no_use(liar: Liar) -> None:
    """What another app wrote behind a proposal is accepted under a fresh key, which it has not."""
    _, x = liar.grant(liar.world.app("A"), scopes=["create", "read"])
    _, y = liar.grant(liar.other_app(), scopes=["create", "update"])
    made = x.remember("made by A").id
    pen = Pen(y)
    with looking_away(HELD, SCOPES):
        pen.put("by B", memory_id=made, version=2)
    liar.device.sync()
    liar.device.accept(made, version=2)
    assert liar.device.get(made).content == "by B"
    assert not pen.opens(liar.device, made)
