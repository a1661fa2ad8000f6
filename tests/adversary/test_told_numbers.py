"""The numbers that a server tells: of keys that a grant holds, beside wraps, and of versions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from adversary.test_what_grants_hold import contents, liar
from coffret.flows.http import b64
from coffret_vault.errors import ConflictError, OpenError
from harness.holding import AFTER, BEFORE, Liar
from harness.league import TIMES, looking_away
from harness.network import Gate
from harness.world import Watch, ambient

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access
    from harness.world import Clock, Owner, World

__all__ = ["liar"]


def _later(items: list[Any]) -> None:
    for item in items:
        item[1] += 7


@pytest.mark.attack(38)
def test_a_number_that_is_made_up_takes_no_memory_from_a_grant(liar: Liar) -> None:
    """Nobody is given the next key by another number: what is known to be held stays so."""
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["read"])
    liar.list_for(grant_id, _later)
    liar.evil.rewrite.clear()
    liar.device.revoke(liar.grant(liar.other_app(), scopes=["read"])[0])
    liar.device.update(liar.memory, content=AFTER)
    assert AFTER in contents(access)


@pytest.mark.attack(38)
@pytest.mark.parametrize("shown", [lambda _: None, list.clear])
def test_what_was_narrowed_elsewhere_is_not_counted(
    liar: Liar, shown: Callable[[list[Any]], None]
) -> None:
    """A device is told by the log that a grant's key of a memory is no longer the one in use."""
    spare = liar.device.remember("spare")
    chosen = [liar.memory, spare.id]
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["read"], memories=chosen)
    liar.device.sync()
    assert liar.device.grant(grant_id).memories == 2
    liar.owner.vault.sync()
    assert liar.owner.vault.narrow(grant_id, remove=[liar.memory]) == 1
    liar.list_for(grant_id, shown)
    assert liar.device.grant(grant_id).memories == 1
    assert BEFORE not in contents(access)


@pytest.mark.attack(38, 55)
def test_memories_that_a_hidden_grant_names_have_fresh_keys(liar: Liar) -> None:
    """Another device approved it, for memories by their ids, and the server lists none."""
    spare = liar.device.remember("spare")
    liar.owner.vault.sync()
    gone, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    scopes = ["read", "update"]
    stays, _ = liar.world.granted(
        liar.owner, liar.other_app(), scopes=scopes, memories=[liar.memory]
    )
    liar.list_for(stays, list.clear)
    liar.device.revoke(gone)
    versions = [liar.device.get(item).version for item in (liar.memory, spare.id)]
    assert versions == [2, 1]


def test_what_does_not_open_counts_as_covered(liar: Liar) -> None:
    """It cannot be told what a grant by tags covers then: it is named, and not passed over."""
    grant_id, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], tags=["t"])
    liar.device.sync()
    liar.device.revoke(grant_id)
    with (
        patch("coffret.flows.reach.open_record", side_effect=OpenError),
        patch("coffret.flows.spoilt.open_record", side_effect=OpenError),
        pytest.raises(ConflictError, match=liar.memory),
    ):
        liar.device.rotate(grant_id)


class Foretelling(Gate):
    """A server that tells an app of a version to come, and holds what it writes until then."""

    def __init__(self) -> None:
        """Honest, until there is something to wait for."""
        super().__init__()
        self.newest = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Say that there is a newer version; when the app has written behind that, wait for it."""
        if request.method != "POST" or not request.url.path.endswith("/memory-blobs"):
            return super().handle_request(request)
        if self.newest:
            current = {"version": self.newest, "digest": b64(bytes(32))}
            self.newest = 0
            problem = msgspec.json.encode({"code": "conflict", "current": current})
            media = {"content-type": "application/problem+json"}
            return httpx.Response(409, content=problem, headers=media)
        self.meanwhile()
        return super().handle_request(request)


def _foretold(
    world: World, right: Callable[[], None] = lambda: None
) -> tuple[Owner, str, Access, Foretelling]:
    """A memory that an app may change unseen, by a server that foretells."""
    owner, server = world.owner(), Foretelling()
    memory_id = owner.vault.remember(BEFORE).id
    right()
    asking: dict[str, Any] = {"scopes": {"read", "update"}, "auto_accept": True}
    _, access = world.granted(owner, world.app(transport=server), **asking)
    server.newest = 3

    def write() -> None:
        owner.vault.update(memory_id, content="meanwhile")
        owner.vault.update(memory_id, content=AFTER)

    server.meanwhile = write
    return owner, memory_id, access, server


@pytest.mark.attack(18, 39)
@pytest.mark.parametrize("ahead", [timedelta(minutes=3), timedelta(days=10)])
def test_no_server_turns_back_a_memory_that_says_it_was_made_later_than_now(
    world: World, server_clock: Clock, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    """Whose clock was ahead when it was made never says which later version was first."""
    world.clock.offset = ahead

    def right() -> None:
        world.clock.offset = timedelta()

    owner, memory_id, access, _ = _foretold(world, right)
    with looking_away(TIMES):
        assert access.update(memory_id, tags=["t"]).version == 4
    for later in (timedelta(), timedelta(days=11)):  # when that time has come, too
        world.clock.offset = later
        monkeypatch.setattr(server_clock, "offset", later)
        owner.vault.sync()
        assert owner.vault.get(memory_id).content == AFTER
        assert [item.version for item in owner.vault.pending()] == [4]


@pytest.mark.attack(18, 39)
def test_no_server_turns_a_memory_back_by_an_app_that_it_told_of_a_version_to_come(
    world: World,
) -> None:
    """What an app wrote of an older version waits for its owner, though it needs no review."""
    owner, memory_id, access, server = _foretold(world)
    assert access.update(memory_id, tags=["t"]).version == 4
    owner.vault.sync()
    assert owner.vault.get(memory_id).content == AFTER
    (waiting,) = owner.vault.pending()
    assert waiting.proposed is not None
    assert waiting.proposed.content == BEFORE
    owner.vault.reject(memory_id)
    server.meanwhile = lambda: None
    access.refresh()
    access.update(memory_id, tags=["t"])
    owner.vault.sync()
    assert (owner.vault.get(memory_id).tags, owner.vault.pending()) == (("t",), [])
    assert owner.vault.get(memory_id).content == AFTER


@pytest.mark.control(18, 39)
def test_a_device_that_does_not_ask_when_it_was_written_turns_it_back(world: World) -> None:
    """Control: by its number alone the app's version is the newest, and takes their place."""
    owner, memory_id, access, _ = _foretold(world)
    access.update(memory_id, tags=["t"])
    with patch("coffret.flows.unseen._is_later", return_value=True):
        owner.vault.sync()
    assert owner.vault.get(memory_id).content == BEFORE


@pytest.mark.attack(18, 39)
@pytest.mark.parametrize("ahead", [1, 4, 60])
def test_nor_where_another_device_of_the_owner_s_was_ahead(world: World, ahead: int) -> None:
    """What the owner writes of a device's words is later than they are, whose clock was ahead."""
    owner, server, watch = world.owner(), Foretelling(), Watch(world.clock)
    device = world.device(owner, ambient=ambient(watch))
    memory_id = owner.vault.remember("first").id
    asking: dict[str, Any] = {"scopes": {"read", "update"}, "auto_accept": True}
    _, access = world.granted(owner, world.app(transport=server), **asking)
    watch.forward(minutes=ahead)
    device.sync()
    device.update(memory_id, content=BEFORE)
    owner.vault.sync()
    server.newest = 3
    server.meanwhile = lambda: owner.vault.update(memory_id, content=AFTER)
    assert access.update(memory_id, tags=["t"]).version == 4
    owner.vault.sync()
    assert owner.vault.get(memory_id).content == AFTER
    assert [item.version for item in owner.vault.pending()] == [4]


@pytest.mark.attack(18, 39)
def test_nor_by_what_another_app_wrote_and_nobody_accepted_yet(world: World) -> None:
    """Of two that come to a device together, the older does not take the later one's place.

    Though both need no review, and neither app was shown what the other one wrote.
    """
    owner, memory_id, access, server = _foretold(world)
    asking: dict[str, Any] = {"scopes": {"read", "update"}, "auto_accept": True}
    _, other = world.granted(owner, world.app("B", "https://b.example"), **asking)
    server.newest = 2
    server.meanwhile = lambda: other.update(memory_id, content=AFTER)
    assert access.update(memory_id, tags=["t"]).version == 3
    owner.vault.sync()
    assert owner.vault.get(memory_id).content == AFTER
    (waiting,) = owner.vault.pending()
    assert waiting.proposed is not None
    assert waiting.proposed.content == BEFORE


@pytest.mark.attack(18, 39)
def test_nor_where_both_have_the_time_of_what_they_read(world: World) -> None:
    """Two apps say the time of a version by a clock that was ahead: that tells no order of them."""
    owner, server, watch = world.owner(), Foretelling(), Watch(world.clock)
    device = world.device(owner, ambient=ambient(watch))
    memory_id = owner.vault.remember("first").id
    asking: dict[str, Any] = {"scopes": {"read", "update"}, "auto_accept": True}
    _, access = world.granted(owner, world.app(transport=server), **asking)
    _, other = world.granted(owner, world.app("B", "https://b.example"), **asking)
    watch.forward(minutes=4)
    device.sync()
    device.update(memory_id, content="ahead")
    owner.vault.sync()
    owner.vault.update(memory_id, content=BEFORE)
    server.newest = 4
    server.meanwhile = lambda: other.update(memory_id, content=AFTER)
    assert access.update(memory_id, tags=["t"]).version == 5
    owner.vault.sync()
    assert owner.vault.get(memory_id).content == AFTER
    assert [item.version for item in owner.vault.pending()] == [5]


@pytest.mark.parametrize(("ahead", "waits"), [(4, 0), (-4, 0), (60, 2)])
def test_an_app_by_another_clock_than_its_owner_s_is_not_made_to_wait(
    world: World, ahead: int, waits: int
) -> None:
    """Minutes between the clocks keep nothing back; an hour does, and refuses nothing."""
    owner = world.owner()
    memory_id = owner.vault.remember(BEFORE).id
    asking: dict[str, Any] = {"scopes": {"read", "update"}, "auto_accept": True}
    _, access = world.granted(owner, world.app(), **asking)
    world.clock.forward(minutes=ahead)
    owner.vault.update(memory_id, content=AFTER)
    world.clock.forward(minutes=-ahead)
    access.update(memory_id, tags=["t"])
    access.update(memory_id, tags=["u"])
    owner.vault.sync()
    assert len(owner.vault.pending()) == waits
