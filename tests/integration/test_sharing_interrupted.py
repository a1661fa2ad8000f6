"""Approvals that were interrupted, and approvals without a look."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch
from uuid import UUID

import pytest

from coffret.flows import handover
from coffret_vault.errors import (
    ConflictError,
    GrantActivatingError,
    GrantError,
    GrantRevokedError,
    InputError,
    NetworkError,
    QuotaError,
    StoreAlteredError,
)
from harness.network import Losing, Recorder, once
from harness.world import MONTH, ask
from integration.losing import Refusing

if TYPE_CHECKING:
    from coffret import App
    from harness.world import Clock, Owner, World


def test_an_interrupted_approval_is_finished_where_it_was_decided(either: World) -> None:
    """What is shared is settled at the decision, and only the device that made it goes on."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    _approve_without_handing_over(owner, app, request_id)
    with pytest.raises(GrantError):
        app.access(request_id)
    owner.vault.remember("written after the decision")
    other = either.device(owner)
    other.requests(None)
    with pytest.raises(ConflictError):
        other.approve(request_id)
    with pytest.raises(ConflictError, match="other terms"):
        owner.vault.approve(request_id, duration=timedelta(hours=2))
    owner.vault.approve(request_id)
    assert [memory.content for memory in app.access(request_id).memories()] == ["a"]


def test_what_is_written_meanwhile_joins_a_standing_grant(either: World) -> None:
    """Between two tries, what matches is shared from the device that decided as from others."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a", tags=["t"])
    request_id = ask(app, owner, tags=["t"], standing=True)
    _approve_without_handing_over(owner, app, request_id, standing=True)
    owner.vault.remember("from here", tags=["t"])
    owner.vault.remember("something else")
    either.device(owner).remember("from there", tags=["t"])
    owner.vault.sync()
    owner.vault.approve(request_id)
    found = sorted(memory.content for memory in app.access(request_id).memories())
    assert found == ["a", "from here", "from there"]


@pytest.mark.parametrize("arrived", [True, False])
def test_an_approval_whose_answer_was_lost_is_finished(world: World, *, arrived: bool) -> None:
    """Whether or not the server has heard of it: called again, it puts that very grant in force."""
    network = Losing()
    owner, app = world.owner(transport=network), world.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    owner.vault.requests()
    network.lose = once("POST", "/access-requests/")
    network.reaching = arrived
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        owner.vault.approve(request_id, words=app.words)
    owner.vault.remember("written after the decision")
    owner.vault.approve(request_id)
    assert [memory.content for memory in app.access(request_id).memories()] == ["a"]
    assert [grant.state for grant in owner.vault.grants()] == ["active"]
    assert owner.vault.grants()[0].memories == 1


def test_an_approval_needs_a_look(either: World) -> None:
    """An id that an app passed on approves nothing before the owner has seen what it stands for."""
    owner, app = either.owner(), either.app()
    request_id = ask(app, owner)
    with pytest.raises(InputError, match="look at the request"):
        owner.vault.approve(request_id)
    assert app.status(request_id) == "pending"


def test_no_key_is_given_where_one_does_not_open(world: World) -> None:
    """A key that was changed in this device's folder is found before the first part leaves."""
    network = Recorder()
    owner, app = world.owner(transport=network), world.app()
    last = [owner.vault.remember(content) for content in "abc"][-1]
    request_id = ask(app, owner)
    owner.vault.requests()
    with closing(sqlite3.connect(owner.vault.folder / "store.db")) as database, database:
        wrap = "UPDATE records SET wrap = zeroblob(113) WHERE memory_id = ?"
        assert database.execute(wrap, (UUID(last.id).bytes,)).rowcount == 1
    with patch.object(handover, "_PART", 1), pytest.raises(StoreAlteredError):
        owner.vault.approve(request_id, words=app.words)
    assert not [path for path in network.paths if path.endswith("/wraps")]
    owner.vault.sync()
    owner.vault.approve(request_id)
    found = sorted(memory.content for memory in app.access(request_id).memories())
    assert found == ["a", "b", "c"]


def _approve_without_handing_over(
    owner: Owner, app: App, request_id: str, *, standing: bool = False
) -> None:
    owner.vault.requests(None)
    with (
        patch("coffret.flows.approval.hand_over", side_effect=NetworkError),
        pytest.raises(NetworkError),
    ):
        owner.vault.approve(request_id, standing=standing, words=app.words)


def test_what_another_device_changes_meanwhile_is_handed_over(world: World) -> None:
    """What is changed elsewhere between an approval and its end keeps its key, and is shared."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("a", tags=["t"])
    other = world.device(owner)
    request_id = ask(app, owner, tags=["t"])
    _approve_without_handing_over(owner, app, request_id)
    other.sync()
    other.update(memory.id, content="b")
    other.update(memory.id, content="c")
    owner.vault.approve(request_id)
    assert [item.content for item in app.access(request_id).memories()] == ["c"]


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_what_is_shared_stays_so_when_it_matches_no_longer(
    world: World, *, here: bool, before: bool
) -> None:
    """Also where a device that writes has not heard yet that its key is, or was, handed over."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("a", tags=["t"])
    other = world.device(owner)
    request_id = ask(app, owner, tags=["t"])
    _approve_without_handing_over(owner, app, request_id)
    other.sync()
    if before:
        owner.vault.approve(request_id)
    writes = owner.vault if here else other
    writes.update(memory.id, tags=[])
    writes.update(memory.id, content="b")
    if not before:
        owner.vault.approve(request_id)
    assert [item.content for item in app.access(request_id).memories()] == ["b"]


def test_what_waits_to_be_handed_over_is_shared_with_others_meanwhile(world: World) -> None:
    """The fresh key that another approval of this device makes goes to the one that waits too."""
    owner, app = world.owner(), world.app()
    world.granted(owner, world.app("First", "https://first.example"), scopes=["read"])
    memory = owner.vault.remember("a")
    owner.vault.update(memory.id, content="b")
    request_id = ask(app, owner, scopes=["read"])
    _approve_without_handing_over(owner, app, request_id)
    _, other = world.granted(owner, world.app("B", "https://b.example"), scopes=["read"])
    owner.vault.approve(request_id)
    for access in (app.access(request_id), other):
        assert [item.content for item in access.memories()] == ["b"]


def test_a_device_learns_what_was_handed_over_after_it_looked(world: World) -> None:
    """That keys went out stands in no log: a device that saw the grant before asks until it has."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("a")
    ending, _ = world.granted(owner, world.app("First", "https://first.example"))
    request_id, other = ask(app, owner), world.device(owner)
    _approve_without_handing_over(owner, app, request_id)
    other.sync()
    grant_id = owner.vault.approve(request_id)
    other.sync()
    assert other.grant(grant_id).memories == 1
    other.revoke(ending)
    other.rotate()
    assert [item.content for item in app.access(request_id).memories()] == ["a"]


def test_an_app_can_tell_where_its_grant_stands_at_every_step(either: World) -> None:
    """None until it is approved, then each state by its name, and None where it was denied."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    assert app.grant_status(request_id) is None
    _approve_without_handing_over(owner, app, request_id)
    assert app.grant_status(request_id) == "activating"
    grant_id = owner.vault.approve(request_id)
    assert app.grant_status(request_id) == "active"
    owner.vault.pause(grant_id)
    assert app.grant_status(request_id) == "paused"
    owner.vault.resume(grant_id)
    denied = ask(app, owner)
    owner.vault.requests(None)
    owner.vault.deny(denied)
    assert app.grant_status(denied) is None
    either.clock.forward(days=2 * MONTH.days)
    assert app.grant_status(request_id) == "over"


def test_a_grant_is_over_by_the_server_s_clock_too(world: World, server_clock: Clock) -> None:
    """An app whose own clock is behind is told so, and does not go on asking for what is over."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    owner.vault.requests()
    owner.vault.approve(request_id, words=app.words)
    server_clock.forward(days=2 * MONTH.days)
    try:
        assert app.grant_status(request_id) == "over"
    finally:
        server_clock.offset *= 0


def test_a_revocation_in_a_full_account_is_said_to_hold(world: World) -> None:
    """There is no room for fresh keys: the grant is revoked all the same, and its owner is told.

    What another app may still write to is named by each sync, until it has its fresh key.
    """
    network = Refusing()
    owner, one, two = world.owner(transport=network), world.app("One"), world.app("Two")
    memory = owner.vault.remember("shared with both")
    first, access = world.granted(owner, one)
    world.granted(owner, two)
    network.refusing = True
    with pytest.raises(QuotaError) as raised:
        owner.vault.revoke(first)
    assert raised.value.hint.startswith("The grant is revoked")
    assert owner.vault.grant(first).state == "revoked"
    with pytest.raises(GrantRevokedError):
        access.refresh()
    assert owner.vault.sync().unwritten == (memory.id,)
    network.refusing = False
    assert owner.vault.sync().unwritten == ()
    assert owner.vault.get(memory.id).version == 2


def test_an_approval_in_a_full_account_says_that_it_waits(world: World) -> None:
    """No room for a fresh key of what is shared: nothing is, and it can be gone on with."""
    network = Refusing()
    owner, app = world.owner(transport=network), world.app()
    memory = owner.vault.remember("first")
    other, _ = world.granted(owner, world.app("B", "https://b.example"))
    owner.vault.update(memory.id, content="second")
    request_id = ask(app, owner)
    owner.vault.requests()
    network.refusing = True
    with pytest.raises(QuotaError) as raised:
        owner.vault.approve(request_id, words=app.words)
    assert "approve the request again" in raised.value.hint
    assert app.grant_status(request_id) == "activating"
    network.refusing = False
    owner.vault.approve(request_id)
    assert [item.content for item in app.access(request_id).memories()] == ["second"]
    assert owner.vault.grant(other).memories == 1


def test_a_grant_that_has_not_all_its_keys_is_not_paused_and_says_why(world: World) -> None:
    """On whichever device: what it waits for is named, and where it can be finished."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    _approve_without_handing_over(owner, app, request_id)
    owner.vault.sync()
    (grant,) = owner.vault.grants()
    other = world.device(owner)
    for vault in (owner.vault, other):
        with pytest.raises(GrantActivatingError) as caught:
            vault.pause(grant.grant_id)
        assert "approve the request again" in caught.value.hint
    owner.vault.approve(request_id)
    other.pause(grant.grant_id)
    assert app.grant_status(request_id) == "paused"
