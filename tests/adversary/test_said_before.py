"""What a memory said, and what was proposed for it, before it was shared: the app reads none of it.

The server keeps all that it ever had, and hands it to the app, which tries every key that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret.flows import handover
from coffret.flows.http import unb64
from coffret_vault.errors import OpenError, QuotaError
from coffret_vault.records.seal import open_version
from harness.keeping import keeping_keys
from harness.network import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Access, App
    from coffret.flows.http import Flow
    from harness.world import Owner, World

BEFORE, NOW, LATER = "what is nobody's", "what is shared", "what comes later"
Kept = set[tuple[bytes, bytes]]


class League:
    """An app and the server: what that ever kept opens with whatever key the app was given."""

    def __init__(self, world: World, **options: Any) -> None:
        """An owner, and the app before it was granted anything."""
        self.world, self.owner = world, world.owner(**options)
        self.app: App = world.app()
        self.other: App = world.app("B", "https://b.example")
        self.kept: Kept = set()

    def keep(self) -> None:
        """The server keeps what it has now; what is rejected it would have to erase."""
        tables = {table["table"]: table for table in self.owner.vault.server_view()["tables"]}
        at = tables["entries"]["columns"].index("record")
        for row in tables["entries"]["rows"]:
            if row[at] is not None:
                header, envelope, *_ = msgspec.msgpack.decode(unb64(row[at]))
                self.kept.add((header, envelope))

    def opened(self, access: Access) -> set[str]:
        """What the two of them read."""
        self.keep()
        access.refresh()
        keys = [item.key for item in access._shelf._readable.values() if item.key is not None]
        return set(self._read(keys))

    def _read(self, keys: list[Any]) -> Iterator[str]:
        for header, envelope in self.kept:
            for key in keys:
                try:
                    yield open_version(header, envelope, key).content
                except OpenError:
                    continue

    def granted(self, **asking: Any) -> Access:
        """What the app is granted."""
        return self.world.granted(self.owner, self.app, **{"scopes": ["read"], **asking})[1]

    def with_another(self, **asking: Any) -> tuple[str, Access]:
        """What another app is granted."""
        return self.world.granted(self.owner, self.other, **asking)


def edited(league: League) -> None:
    """The owner wrote it anew."""
    memory = league.owner.vault.remember(BEFORE, tags=["t"])
    league.owner.vault.update(memory.id, content=NOW)


def edited_while_another_read(league: League) -> None:
    """The owner wrote it anew while another app held it."""
    memory = league.owner.vault.remember(BEFORE, tags=["t"])
    league.with_another(scopes=["read"])
    league.owner.vault.update(memory.id, content=NOW)


def edited_by_another(league: League) -> None:
    """What another app made of it was accepted."""
    memory = league.owner.vault.remember(BEFORE, tags=["t"])
    _, access = league.with_another(scopes=["read", "update"])
    access.update(memory.id, content=NOW)
    league.owner.vault.sync()
    league.owner.vault.accept(memory.id)


def proposed_by_another(league: League) -> None:
    """Another app proposed something for it, which waits."""
    memory = league.owner.vault.remember(NOW, tags=["t"])
    _, access = league.with_another(scopes=["read", "update"])
    access.update(memory.id, content=BEFORE)
    league.owner.vault.sync()


def rejected_of_another(league: League) -> None:
    """Another app proposed something for it, which its owner turned down."""
    proposed_by_another(league)
    league.keep()
    (waiting,) = league.owner.vault.pending()
    league.owner.vault.reject(waiting.memory_id)


def granted_once(league: League) -> None:
    """The app had it once, and it was taken out and changed while another held it."""
    memory = league.owner.vault.remember("what it read", tags=["t"])
    grant_id, _ = league.world.granted(league.owner, league.app, scopes=["read"])
    league.with_another(scopes=["read"])
    league.owner.vault.narrow(grant_id, [memory.id])
    league.owner.vault.update(memory.id, content=BEFORE)
    league.owner.vault.update(memory.id, content=NOW)


PASTS = [
    edited, edited_while_another_read, edited_by_another, proposed_by_another,
    rejected_of_another, granted_once,
]  # fmt: skip


@pytest.mark.attack(37)
@pytest.mark.parametrize("past", PASTS)
@pytest.mark.parametrize("scopes", [["read"], ["read", "update"]])
def test_what_was_said_before_it_was_shared_does_not_open(
    world: World, past: Callable[[League], None], scopes: list[str]
) -> None:
    """The app opens what the memory says when it is shared and what it says later, no more."""
    league = League(world)
    past(league)
    access = league.granted(tags=["t"], scopes=scopes)
    assert league.opened(access) - {"what it read"} == {NOW}
    (memory,) = access.memories()
    assert (memory.content, memory.updated) == (NOW, league.owner.vault.get(memory.id).updated)
    league.owner.vault.update(memory.id, content=LATER)
    assert league.opened(access) - {"what it read"} == {NOW, LATER}


def standing(world: World, join: Callable[[Owner, Access, str], object]) -> set[str]:
    """What opens of a memory that joins a standing grant some time."""
    league = League(world)
    owner = league.owner
    memory = owner.vault.remember(BEFORE)
    _, other = league.with_another(scopes=["read", "update"])
    access = league.granted(tags=["t"], standing=True, approve_standing=True)
    assert league.opened(access) == set()
    join(owner, other, memory.id)
    assert {item.content for item in access.memories()} == {NOW}
    assert other.get(memory.id).content == NOW
    return league.opened(access)


def by_its_owner(owner: Owner, _: Access, memory_id: str) -> None:
    """The owner gives it the tag."""
    owner.vault.update(memory_id, content=NOW, tags=["t"])


def by_another_app(owner: Owner, other: Access, memory_id: str) -> None:
    """Another app does, and the owner accepts it."""
    other.update(memory_id, content=NOW, tags=["t"])
    owner.vault.sync()
    owner.vault.accept(memory_id)


@pytest.mark.attack(37)
@pytest.mark.parametrize("join", [by_its_owner, by_another_app])
def test_what_joins_a_standing_grant_comes_without_its_past(
    world: World, join: Callable[[Owner, Access, str], object]
) -> None:
    """What is given to a standing grant when it begins to match opens as it is then."""
    assert standing(world, join) == {NOW}


@pytest.mark.attack(37)
def test_what_an_app_made_is_shared_without_what_it_made_before(world: World) -> None:
    """Of two versions by an app, of which its owner accepts the later one, another app opens it."""
    league = League(world)
    _, maker = league.with_another(scopes=["create", "read", "update"])
    access = league.granted(tags=["t"], standing=True, approve_standing=True)
    made = maker.remember(BEFORE)
    maker.update(made.id, content=NOW, tags=["t"])
    league.owner.vault.sync()
    league.owner.vault.accept(made.id, version=2)
    assert {item.content for item in access.memories()} == {NOW}
    assert league.opened(access) == {NOW}


# -- what is not promised (SECURITY.md, 1) ---------------------------------------------------------


def test_what_a_device_does_not_know_of_is_read(world: World) -> None:
    """What another app proposes, and the device that shares is not shown, counts as of later."""
    league = League(world)
    memory = league.owner.vault.remember(NOW, tags=["t"])
    _, other = league.with_another(scopes=["read", "update"])
    send = handover._send

    def behind_its_back(*given: Any) -> Flow[None]:
        other.update(memory.id, content=LATER)
        yield from send(*given)

    with patch.object(handover, "_send", behind_its_back):
        access = league.granted(tags=["t"], scopes=["read"])
    assert league.opened(access) == {NOW, LATER}


class Full(Gate):
    """A server that says it has no more room, and keeps what it was sent."""

    full = False

    def __init__(self) -> None:
        """It has room."""
        super().__init__()
        self.had: Kept = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse a change of a memory, or send the request on."""
        if not (self.full and request.method == "PUT"):
            return super().handle_request(request)
        for header, envelope, *_ in msgspec.msgpack.decode(request.content)["records"]:
            self.had.add((header, envelope))
        return httpx.Response(429, json={"code": "quota-exceeded", "status": 429})


def test_what_a_server_had_and_refused_is_read(world: World) -> None:
    """A change that the owner's device sent while another app held the memory is not unsaid."""
    network = Full()
    league = League(world, transport=network)
    memory = league.owner.vault.remember(NOW, tags=["t"])
    league.with_another(scopes=["read"])
    network.full = True
    with pytest.raises(QuotaError):
        league.owner.vault.update(memory.id, content=LATER)
    network.full = False
    league.kept |= network.had
    assert league.opened(league.granted(tags=["t"], scopes=["read"])) == {NOW, LATER}


# -- controls -----------------------------------------------------------------------------------


@pytest.mark.control(37)
@pytest.mark.parametrize("past", PASTS[:5])
def test_with_a_key_for_all_versions_the_past_is_read(
    world: World, past: Callable[[League], None]
) -> None:
    """Control: a client that keeps the key, and shares it as it is, shares what was said before."""
    league = League(world)
    with (
        keeping_keys(),
        patch("coffret.flows.handover._unfit", return_value={}),
    ):
        past(league)
        access = league.granted(tags=["t"])
    assert league.opened(access) == {BEFORE, NOW}


@pytest.mark.control(37)
def test_with_a_key_for_all_versions_a_standing_grant_reads_the_past(world: World) -> None:
    """Control: a client that accepts a version under its key shares what was said before it."""
    with patch("coffret.flows.review._go_to_others", return_value=False):
        assert standing(world, by_another_app) == {BEFORE, NOW}
