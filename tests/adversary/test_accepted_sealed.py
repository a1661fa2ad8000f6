"""In a vault that keeps titles sealed, nothing keeps what an app wrote plain, and was accepted, so.

Were it kept, the owner's next version would show what the owner calls it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret_vault.errors import NetworkError, QuotaError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import Header, parse_header
from harness.network import BASE, Losing, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access, Memory, Vault
    from harness.world import Owner, World

TITLE = "my private title"
TAG = "my-private-tag"


class Refusing(Recorder):
    """A server that takes so many appends more, and says of the rest that the account is full."""

    def __init__(self) -> None:
        """Take all of them, for now."""
        super().__init__()
        self.left = -1
        self.taken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse an append, or send the request on."""
        if request.method == "POST" and request.url.path == f"{BASE}/log":
            if self.left == 0:
                problem = json.dumps({"code": QuotaError.code}).encode()
                media = {"content-type": "application/problem+json"}
                return httpx.Response(507, content=problem, headers=media)
            self.left -= 1
            self.taken += 1
        return super().handle_request(request)


def _app(world: World, owner: Owner, *, automatic: bool = False) -> Access:
    scopes = {"read", "create", "update"}
    _, access = world.granted(owner, world.app(), scopes=scopes, auto_accept=automatic)
    return access


def _plain(access: Access) -> Memory:
    return access.remember("note", title="an app's title", sealed=False)


def _shown(vault: Vault, memory_id: str) -> Header:
    """What the server sees of a memory's current version."""
    identifier = parse_id(memory_id)
    memory = vault._state.store.state(identifier)
    assert memory is not None
    record = vault._state.store.record(identifier, memory.current)
    assert record is not None
    return parse_header(record.header)


def _named(vault: Vault, memory_id: str) -> Header:
    """The same, after the owner gave the memory a title and a tag."""
    vault.update(memory_id, title=TITLE, tags=[TAG])
    return _shown(vault, memory_id)


@pytest.mark.attack(13)
@pytest.mark.parametrize("taken", [0, 1])
def test_a_server_that_takes_only_some_appends_sees_no_title(world: World, taken: int) -> None:
    """It is accepted and sealed, or neither: there is nothing in between to keep."""
    wire = Refusing()
    owner = world.owner(transport=wire)
    owner.vault.set_settings(sealed=True)
    memory_id = _plain(_app(world, owner)).id
    owner.vault.sync()
    wire.left, wire.taken = taken, 0
    with suppress(QuotaError):
        owner.vault.accept(memory_id)
    wire.left = -1
    assert wire.taken == taken
    assert len(owner.vault.pending()) == 1 - taken
    if not taken:
        owner.vault.accept(memory_id)
    header = _named(owner.vault, memory_id)
    assert (header.sealed, header.title, header.tags) == (True, "", frozenset())
    assert TITLE.encode() not in wire.sent()
    assert TAG.encode() not in wire.sent()


@pytest.mark.attack(13)
@pytest.mark.parametrize("reaching", [False, True])
def test_an_answer_that_is_lost_leaves_no_title_shown(world: World, *, reaching: bool) -> None:
    """Whether the server had the acceptance or not, the next sync leaves it sealed or pending."""
    network = Losing()
    owner = world.owner(transport=network)
    owner.vault.set_settings(sealed=True)
    _app(world, owner, automatic=True).remember("note", title="an app's title", sealed=False)
    network.lose, network.reaching = lambda request: request.url.path == f"{BASE}/log", reaching
    with suppress(NetworkError):
        owner.vault.sync()
    network.lose = lambda _: False
    owner.vault.sync()
    (memory,) = owner.vault.list()
    assert not owner.vault.pending()
    assert _shown(owner.vault, memory.id).sealed
    assert memory.provenance["written_by"]


def _edited(_world: World, owner: Owner, memory_id: str) -> None:
    owner.vault.update(memory_id, title=TITLE)


def _rotated(world: World, owner: Owner, _memory_id: str) -> None:
    grant_id, _ = world.granted(owner, world.app("Other"), scopes={"read"})
    owner.vault.revoke(grant_id)
    owner.vault.rotate()


@pytest.mark.attack(13)
@pytest.mark.parametrize("write", [_edited, _rotated])
def test_what_was_accepted_plain_is_sealed_at_the_next_write(
    world: World, write: Callable[[World, Owner, str], None]
) -> None:
    """Accepted before the vault was settled so, it is sealed by the owner's next version."""
    owner = world.owner()
    memory_id = _plain(_app(world, owner)).id
    owner.vault.sync()
    owner.vault.accept(memory_id)
    assert _shown(owner.vault, memory_id).title
    owner.vault.set_settings(sealed=True)
    write(world, owner, memory_id)
    assert _shown(owner.vault, memory_id).version == 2
    assert _shown(owner.vault, memory_id).sealed


def _remembered(owner: Owner) -> str:
    return owner.vault.remember("note", title="sealed", sealed=True).id


def _imported(world: World, owner: Owner) -> str:
    folder = world.place()
    folder.mkdir()
    (folder / "note.md").write_text("note")
    owner.vault.import_paths([folder], sealed=True)
    return owner.vault.list()[0].id


def _accepted(vault: Vault, _memory_id: str) -> None:
    vault.accept(vault.pending()[0].memory_id)


def _overtaken(vault: Vault, memory_id: str) -> None:
    vault.update(memory_id, content="meanwhile")
    _accepted(vault, memory_id)


def _unseen(_vault: Vault, _memory_id: str) -> None:
    """The sync has accepted it."""


@pytest.mark.attack(13, 37)
@pytest.mark.parametrize("taken", [_accepted, _overtaken, _unseen])
@pytest.mark.parametrize("imported", [False, True])
def test_no_app_shows_what_its_owner_sealed(
    world: World, taken: Callable[[Vault, str], None], *, imported: bool
) -> None:
    """A memory that was sealed stays so, and the server sees no title that its owner gives it."""
    wire = Recorder()
    owner = world.owner(transport=wire)
    memory_id = _imported(world, owner) if imported else _remembered(owner)
    access = _app(world, owner, automatic=taken is _unseen)
    access.update(memory_id, content="changed", title="an app's title", sealed=False)
    owner.vault.sync()
    taken(owner.vault, memory_id)
    assert not owner.vault.pending()
    assert owner.vault.get(memory_id).content == "changed"
    header = _named(owner.vault, memory_id)
    assert (header.sealed, header.title, header.tags) == (True, "", frozenset())
    assert TITLE.encode() not in wire.sent()
    assert TAG.encode() not in wire.sent()


@pytest.mark.control(13, 37)
def test_a_device_that_takes_an_apps_word_for_it_shows_the_next_title(world: World) -> None:
    """Control: accepted as it is, the app's version leaves the memory plain for what follows."""
    owner = world.owner()
    memory_id = _remembered(owner)
    access = _app(world, owner)
    access.update(memory_id, content="changed", sealed=False)
    owner.vault.sync()
    with patch("coffret.flows.review._is_hidden", return_value=False):
        owner.vault.accept(memory_id)
    assert _named(owner.vault, memory_id).title == TITLE


def test_a_memory_that_was_sealed_can_be_shown_by_its_owner(world: World) -> None:
    """What its owner says of a memory that an app wrote again holds, and so does an app's seal."""
    owner = world.owner()
    memory_id = _remembered(owner)
    access = _app(world, owner)
    access.update(memory_id, content="changed", sealed=False)
    owner.vault.sync()
    owner.vault.accept(memory_id)
    owner.vault.update(memory_id, sealed=False)
    assert _shown(owner.vault, memory_id).title == "sealed"
    access.update(memory_id, content="more")
    owner.vault.sync()
    owner.vault.accept(memory_id)
    assert _shown(owner.vault, memory_id).title == "sealed"


def test_an_owner_can_show_what_an_app_wrote(world: World) -> None:
    """In a sealed vault, too, the owner's own word that it is to be shown holds."""
    owner = world.owner()
    memory_id = _plain(_app(world, owner)).id
    owner.vault.sync()
    owner.vault.accept(memory_id)
    owner.vault.set_settings(sealed=True)
    owner.vault.update(memory_id, title="shown", sealed=False)
    assert _shown(owner.vault, memory_id).title == "shown"
    assert _named(owner.vault, memory_id).title == TITLE


@pytest.mark.control(13)
def test_a_device_that_seals_in_a_second_append_shows_the_next_title(world: World) -> None:
    """Control: accepted as it is, and written again as before it, the owner's title shows."""
    owner = world.owner()
    owner.vault.set_settings(sealed=True)
    memory_id = _plain(_app(world, owner)).id
    owner.vault.sync()
    with (
        patch("coffret.flows.review.sealed_by_default", return_value=False),
        patch("coffret.flows.memories.sealed_by_default", return_value=False),
    ):
        owner.vault.accept(memory_id)
        assert _named(owner.vault, memory_id).title == TITLE


def test_every_device_has_it_as_it_was_accepted(world: World) -> None:
    """Other devices, its history, the app and a change of keys go on from the one append."""
    owner = world.owner()
    other = world.device(owner)
    owner.vault.set_settings(sealed=True)
    access = _app(world, owner)
    memory_id = _plain(access).id
    owner.vault.sync()
    owner.vault.accept(memory_id)
    for vault in (other, world.device(owner)):
        vault.sync()
        assert vault.get(memory_id) == owner.vault.get(memory_id)
        versions = vault.history(memory_id)
        assert [item.memory and item.memory.content for item in versions] == ["note", "note"]
    assert [memory.version for memory in access.memories()] == [2]
    assert access.update(memory_id, content="more").version == 3
    owner.vault.change_keys("another passphrase", lambda _: None)
    accepted = owner.vault.accept(memory_id)
    assert accepted is not None
    assert accepted.content == "more"
