"""Apps that ask with requests as large as may be, so that their owner can read none of them."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from adversary.test_key_changes import NEW, change
from coffret.flows import spoilt
from coffret.flows.keys import open_record
from coffret.flows.memories import NewMemory
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    TooLargeError,
    TrustError,
)
from coffret_vault.records.memory import Fields
from harness.network import Evil
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import App
    from harness.world import Owner, World

MOST = 2_500
"""Memories that a request can name, and a little less than 64 KiB."""
MANY = 12
LIMIT = 256 << 10
"""What a device takes at once here: a few requests, as 64 MiB were a few of the largest once."""
PAGE = "coffret_server.control.paging.PAGE_BYTES"


@pytest.fixture(autouse=True)
def _small() -> Any:
    """A device that takes little, at a server that gives no more than that at a time."""
    with patch("coffret.bodies.MAX_ANSWER", LIMIT), patch(PAGE, LIMIT // 4):
        yield


def large(app: App, owner: Owner, memories: int = MOST) -> str:
    """Ask by very many ids, of memories that there need not be."""
    return ask(app, owner, memories=[str(uuid.uuid4()) for _ in range(memories)])


def flooded(world: World) -> tuple[Owner, App, str]:
    """An owner whom one app asked again and again, and then an honest one, once."""
    owner, bad, honest = world.owner(), world.app("Bad"), world.app("Honest")
    owner.vault.remember("a trip", tags=["travel"])
    for _ in range(MANY):
        large(bad, owner)
    return owner, honest, ask(honest, owner, tags=["travel"], scopes={"read"})


@pytest.mark.attack(61)
def test_one_app_takes_no_list_from_its_owner(world: World) -> None:
    """Whatever an app asked, its owner lists all that is asked, and decides another's request."""
    owner, honest, request_id = flooded(world)
    assert request_id in {item.request_id for item in owner.vault.requests()}
    assert len(owner.vault.requests(None)) == MANY + 1
    owner.vault.approve(request_id, words=honest.words)
    assert [memory.content for memory in honest.access(request_id).memories()] == ["a trip"]
    owner.vault.sync()


@pytest.mark.control(61)
def test_a_list_in_one_piece_is_taken_by_nobody(world: World) -> None:
    """Control: where the server gives the whole list at once, its owner can read none of it."""
    owner, honest, request_id = flooded(world)
    with patch(PAGE, 1 << 30), pytest.raises(FormatError):
        owner.vault.requests(None)
    asked = owner.vault.request(request_id)  # alone, it is there all the same
    assert asked.app.name == "Honest"
    owner.vault.approve(request_id, words=honest.words)


@contextmanager
def openings() -> Iterator[list[object]]:
    """Every opening of a record for a list of requests."""
    opened: list[object] = []

    def noting(state: Any, record: Any) -> Any:
        opened.append(record)
        return open_record(state, record)

    with patch.object(spoilt, "open_record", noting):
        yield opened


def asked_by_many(world: World) -> Owner:
    """An owner of five memories whom many apps ask for all of them, and for some."""
    owner = world.owner()
    owner.vault.remember_many(
        [NewMemory(Fields(content=f"memory {number}", type="fact")) for number in range(5)]
    )
    for number in range(MANY // 2):
        ask(world.app(f"App {number}"), owner)
        ask(world.app(f"Other {number}"), owner, types={"fact", f"type {number}"})
    return owner


@pytest.mark.attack(61)
def test_many_requests_open_the_vault_once(world: World) -> None:
    """However many apps ask for everything, a list opens each memory once, and keeps it once."""
    owner = asked_by_many(world)
    with openings() as opened:
        found = owner.vault.requests()
    assert len(opened) == 5
    assert [len(request.matching) for request in found] == [5] * MANY
    assert len({id(memory) for request in found for memory in request.matching}) == 5
    with openings() as opened:
        assert owner.vault.request(found[0].request_id) == found[0]
    assert len(opened) == 5


@pytest.mark.control(61)
def test_a_list_that_opens_for_each_request_opens_the_vault_as_often(world: World) -> None:
    """Control: where each request is looked at alone, the vault is opened once for each."""
    owner = asked_by_many(world)
    with openings() as opened:
        found = [owner.vault.request(item.request_id) for item in owner.vault.requests()]
    assert len(opened) == 5 + 5 * MANY
    assert len({id(memory) for request in found for memory in request.matching}) == 5 * MANY


@pytest.mark.attack(61)
def test_decided_requests_open_nothing(world: World) -> None:
    """A list of what is decided opens no memory: nothing would be shared by it."""
    owner = asked_by_many(world)
    for item in owner.vault.requests():
        owner.vault.deny(item.request_id)
    with openings() as opened:
        assert len(owner.vault.requests(None)) == MANY
    assert opened == []


def granted(world: World) -> tuple[Owner, Any]:
    """An owner who approved large requests of many apps, and another device of theirs."""
    owner = world.owner()
    ids = [owner.vault.remember("one").id, *(str(uuid.uuid4()) for _ in range(600))]
    for number in range(MANY):
        app = world.app(f"App {number}", f"https://app{number}.example")
        world.granted(owner, app, memories=ids, scopes={"read"})
    second = world.device(owner)
    owner.vault.remember("two")
    return owner, second


@pytest.mark.attack(61)
def test_large_grants_stop_no_sync(world: World) -> None:
    """However large the grants that there are, a device learns what each of them holds."""
    _, second = granted(world)
    second.sync()
    assert [grant.memories for grant in second.grants()] == [1] * MANY


@pytest.mark.control(61)
def test_grants_in_one_piece_stop_every_sync(world: World) -> None:
    """Control: where the server gives all grants at once, no sync comes to its end."""
    _, second = granted(world)
    with patch(PAGE, 1 << 30), pytest.raises(FormatError):
        second.sync()


@pytest.mark.attack(61)
def test_no_larger_request_is_taken(world: World) -> None:
    """A server takes no request that is larger than what lists are made for."""
    owner, app = world.owner(), world.app()
    with pytest.raises(TooLargeError):
        large(app, owner, memories=MOST + 300)
    assert owner.vault.requests() == []


# -- lists of a server that is hostile ----------------------------------------------------------


class Endless(Evil):
    """A server whose list says that it goes on."""

    def __init__(self, path: str, cursor: str = "1.1." + "0" * 32) -> None:
        """Say so of this list."""
        super().__init__()
        self.link, self.path = f'<?cursor={cursor}>; rel="next"', path
        self.said = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Give the honest answer to the first call, with a link to another page."""
        response = super().handle_request(request)
        if request.url.path.endswith(self.path):
            self.said += 1
            response.headers["link"] = self.link
        return response


@pytest.mark.attack(61)
def test_a_list_of_requests_without_an_end_is_given_up(world: World) -> None:
    """A device stops at a page that brings nothing new."""
    network = Endless("/access-requests", "0.1." + "f" * 32)
    owner = world.owner(transport=network)
    ask(world.app(), owner)
    with pytest.raises(TrustError, match="does not end"):
        owner.vault.requests()
    assert network.said == 2


@pytest.mark.attack(61)
def test_a_list_of_grants_without_an_end_is_given_up(world: World) -> None:
    """A device asks for few more pages than it knows grants, where one that it knows is missing."""
    network = Endless("/grants")
    owner, app = world.owner(), world.app()
    owner.vault.remember("one")
    world.granted(owner, app, scopes={"read"})
    vault = world.device(owner, transport=network)
    network.said = 0
    network.rewrite["/grants"] = lambda _: []
    owner.vault.remember("two")
    with pytest.raises(TrustError, match="does not end"):
        vault.sync()
    assert 1 < network.said < MANY * 2
    network.rewrite.clear()
    vault.sync()


class Inventing(Evil):
    """A server that makes the pages of a list up, a hundred of them at the most."""

    def __init__(self, path: str) -> None:
        """Begin honest."""
        super().__init__()
        self.path, self.said = path, 0
        self.page: Callable[[str], list[Any]] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Give the next page, with a cursor that there was not yet."""
        if self.page is None or not request.url.path.endswith(self.path):
            return super().handle_request(request)
        self.said += 1
        if self.said > 100:
            raise httpx.ConnectError(self.path)
        made = self.page(f"c{self.said}")
        kind = {"content-type": "application/msgpack"}
        return httpx.Response(200, headers=kind, content=msgspec.msgpack.encode(made))


@pytest.mark.attack(61)
def test_pages_for_an_app_without_an_end_are_given_up(world: World) -> None:
    """An app stops at a page without anything new, whatever cursor it has; not at a proposal."""
    network = Inventing("/records")
    owner, app = world.owner(), world.app(transport=network)
    memory = owner.vault.remember("one")
    grant_id, access = world.granted(owner, app, scopes={"read", "update"})
    access.memories()
    pages: list[list[Any]] = []
    network.rewrite[f"/grants/{grant_id}/records"] = lambda page: pages.append(list(page))
    access.memories()
    network.page = lambda cursor: [cursor, *pages[0][1:]]
    with pytest.raises(FormatError, match="without anything new"):
        access.memories()
    assert network.said == 2
    network.page = None
    for text in ("two", "three", "four"):
        access.update(memory.id, content=text)
    with patch("coffret.flows.access._PAGE", 1):
        assert [item.content for item in access.memories()] == ["four"]


@pytest.mark.attack(61)
def test_pages_of_made_up_memories_without_an_end_are_given_up(world: World) -> None:
    """A device goes on for what others may have begun meanwhile, and not for ever."""
    network = Inventing("/wraps")
    owner = world.owner()
    vault = world.device(owner, transport=network)
    world.granted(owner, world.app(), scopes={"read"})

    def made_up(cursor: str | None) -> list[Any]:
        return [cursor, [[os.urandom(16), 1, bytes(113)] for _ in range(3)]]

    owner.vault.remember("two")
    network.page = made_up
    with pytest.raises(TrustError, match="does not end"):
        vault.sync()
    assert network.said < 20
    network.said, few = 0, 5
    network.page = lambda cursor: made_up(cursor if network.said < few else None)
    vault.sync()
    assert network.said == few


@pytest.mark.attack(3)
@pytest.mark.parametrize(
    "link",
    [
        "<https://evil.example/?cursor=1>; rel=next",
        '<https://evil.example/?cursor=1>; rel="next"',
        '<?cursor=a/../../b>; rel="next"',
        '<?cursor=>; rel="next"',
        "<?cursor=" + "1" * 129 + '>; rel="next"',
    ],
)
def test_a_server_names_no_address_to_go_to(world: World, link: str) -> None:
    """Of where a list goes on only a plain cursor is taken; anything else ends the list."""
    network = Endless("/access-requests")
    network.link = link
    owner = world.owner(transport=network)
    ask(world.app(), owner)
    assert len(owner.vault.requests()) == 1
    assert network.said == 1
    assert {request.url.host for request in network.requests} == {"127.0.0.1"}


def test_what_was_asked_before_the_keys_changed_is_not_shown(world: World) -> None:
    """A request to the keys of before is refused by its id, as lists leave it out."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    network = Evil()
    vault = world.device(owner, transport=network)
    vault.change_keys("another passphrase entirely", lambda _: None)
    network.rewrite[f"/access-requests/{request_id}"] = lambda answer: answer.update(
        state="pending"
    )
    with pytest.raises(ConflictError, match="ask again"):
        vault.request(request_id)


class Stepping(Evil):
    """A server whose list of memory keys goes on one entry further for ever, with nothing new."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        super().__init__()
        self.said = 0

    def step(self, _answer: Any) -> list[Any]:
        """A page without keys, and the next one."""
        self.said += 1
        assert self.said < MANY, "the device asks for ever"
        return [self.said, []]


@pytest.mark.attack(61)
@pytest.mark.parametrize("entering", [True, False], ids=["entered again", "changed"])
def test_a_list_of_memory_keys_without_an_end_is_given_up(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    entering: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A device asks for so many pages at most, and keeps the keys that it has."""
    for part in ("keychange", "reentry"):
        monkeypatch.setattr(f"coffret.flows.{part}.MOST_PAGES", 9)
    owner, network = world.owner(), Stepping()
    owner.vault.remember("one")
    vault = world.device(owner, transport=network)
    network.rewrite["/accounts/me/memory-keys"] = network.step
    if entering:
        code = change(owner.vault).secret_key_code()
        with pytest.raises(TrustError, match="withholds"):
            vault.log_in_again(NEW, code)
    else:
        with pytest.raises(TrustError, match="does not end"):
            vault.change_keys(NEW, lambda _: None)
    assert network.said == 9
    assert [memory.content for memory in vault.list()] == ["one"]
