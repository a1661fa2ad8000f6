"""Writing with ids of one's own: whoever is not sure calls again, and nothing is there twice."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Fields, NewMemory
from coffret_vault.errors import ConflictError, InputError, NetworkError
from harness.network import Gate, Losing, once

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from coffret import Access, Vault
    from harness.world import Owner, World

IDS = [str(uuid.UUID(int=number + (7 << 76) + (2 << 62))) for number in range(5)]
TEXTS = ["a", "b", "c", "d", "e"]


def _named(texts: list[str] = TEXTS) -> list[NewMemory]:
    return [
        NewMemory(Fields(content=text), memory_id=name)
        for text, name in zip(texts, IDS, strict=False)
    ]


def _contents(vault: Vault) -> list[str]:
    return sorted(memory.content for memory in vault.list())


def test_many_again_are_the_same(either: World) -> None:
    """Here and on another device: the same memories in their order, none of them written again."""
    owner = either.owner()
    first = owner.vault.remember_many(_named())
    assert [memory.id for memory in first] == IDS
    other = either.device(owner)
    entries = owner.vault.status().entries
    for vault in (owner.vault, other):
        again = vault.remember_many(_named())
        assert [(memory.id, memory.content, memory.version) for memory in again] == [
            (name, text, 1) for name, text in zip(IDS, TEXTS, strict=True)
        ]
        assert vault.status().entries == entries
    assert owner.vault.remember("c", memory_id=IDS[2]).version == 1


def test_many_of_which_some_are_there(world: World) -> None:
    """Only what is missing is written; what has no id always is."""
    vault = world.owner().vault
    vault.remember("d", memory_id=IDS[3])
    vault.remember("b", memory_id=IDS[1])
    new = [*_named(), NewMemory(Fields(content="unnamed"))]
    with patch("coffret.flows.batches.BATCH", 2):
        made = vault.remember_many(new)
    assert [memory.content for memory in made] == [*TEXTS, "unnamed"]
    assert _contents(vault) == sorted([*TEXTS, "unnamed"])


def test_an_id_as_bytes_is_the_same_id(world: World) -> None:
    """A UUID's text, in either case, and its bytes name one memory."""
    vault = world.owner().vault
    (made,) = vault.remember_many([NewMemory(Fields(content="x"), uuid.UUID(IDS[0]).bytes)])
    assert made.id == IDS[0]
    (again,) = vault.remember_many([NewMemory(Fields(content="x"), IDS[0].upper())])
    assert again == made


def test_what_says_something_else_is_a_conflict(either: World) -> None:
    """Whole batches before it are kept, and nothing of it or after it."""
    vault = either.owner().vault
    vault.remember("something else", memory_id=IDS[2])
    with patch("coffret.flows.batches.BATCH", 2), pytest.raises(ConflictError, match="else"):
        vault.remember_many(_named())
    assert _contents(vault) == ["a", "b", "something else"]


def test_the_id_of_a_forgotten_memory_is_used(either: World) -> None:
    """Nothing is written with it again, not the same either, alone or among many; it says why."""
    vault = either.owner().vault
    vault.remember("a", memory_id=IDS[0])
    vault.forget(IDS[0])
    with pytest.raises(ConflictError, match="was forgotten, and an id is used once"):
        vault.remember("a", memory_id=IDS[0])
    with pytest.raises(ConflictError, match="was forgotten, and an id is used once"):
        vault.remember_many(_named())
    assert _contents(vault) == []


@pytest.mark.parametrize("bad", ["order 17", "", b"short", b"x" * 17])
def test_what_is_no_id_is_refused(world: World, bad: str | bytes) -> None:
    """Before anything is written."""
    vault = world.owner().vault
    with pytest.raises(InputError, match="UUID"):
        vault.remember_many([*_named(), NewMemory(Fields(content="x"), bad)])
    with pytest.raises(InputError, match="one id"):
        vault.remember_many([*_named(), *_named(["a"])])
    assert _contents(vault) == []


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_many_whose_answer_was_lost(world: World, batch: int, *, arrived: bool) -> None:
    """In whichever batch the network failed: called again, all are there once."""
    network = Losing()
    owner = world.owner(transport=network)
    network.lose, network.reaching = _nth("/memory-blobs/batch", batch), arrived
    with (
        patch("coffret.flows.batches.BATCH", 2),
        patch("coffret.transport._TRIES", 1),
        pytest.raises(NetworkError),
    ):
        owner.vault.remember_many(_named())
    network.lose = lambda _: False
    again = owner.vault.remember_many(_named())
    assert [memory.content for memory in again] == TEXTS
    assert _contents(owner.vault) == TEXTS
    assert _contents(world.device(owner)) == TEXTS


def _nth(path: str, number: int) -> Callable[[httpx.Request], bool]:
    seen: list[httpx.Request] = []

    def choose(request: httpx.Request) -> bool:
        seen.extend([request] if request.url.path.endswith(path) else [])
        return len(seen) == number + 1

    return choose


class Between(Gate):
    """A network on which something happens before the first batch arrives."""

    happens: Callable[[], object] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Have it happen, and send the batch on."""
        happens = self.happens
        if happens is not None and request.url.path.endswith("/memory-blobs/batch"):
            self.happens = None
            happens()
        return super().handle_request(request)


def test_many_of_which_another_device_writes_some_meanwhile(world: World) -> None:
    """What it wrote is found there when the log is read again; the others are written."""
    network = Between()
    owner = world.owner(transport=network)
    other = world.device(owner)
    network.happens = lambda: other.remember_many(_named()[1:3])
    again = owner.vault.remember_many(_named())
    assert [memory.content for memory in again] == TEXTS
    network.happens = lambda: other.remember_many([NewMemory(Fields(content="x"), IDS[4])])
    owner.vault.forget(IDS[0])
    with pytest.raises(ConflictError):
        owner.vault.remember_many(_named())
    other.sync()
    assert _contents(other) == TEXTS[1:]


def test_all_of_which_another_device_writes_meanwhile(world: World) -> None:
    """Then there is nothing left to write."""
    network = Between()
    owner = world.owner(transport=network)
    other = world.device(owner)
    network.happens = lambda: other.remember_many(_named())
    assert [memory.id for memory in owner.vault.remember_many(_named())] == IDS
    assert _contents(owner.vault) == TEXTS


# -- apps ---------------------------------------------------------------------------------------


def _access(world: World, owner: Owner, *scopes: str) -> Access:
    _, access = world.granted(owner, world.app(), scopes=set(scopes or ("read", "create")))
    return access


@pytest.mark.parametrize("scopes", [("create",), ("read", "create")])
def test_an_app_that_writes_again_has_written_once(either: World, scopes: tuple[str, ...]) -> None:
    """While it waits, after it was rejected, and after it was accepted: that very memory."""
    owner = either.owner()
    access = _access(either, owner, *scopes)
    for name, decide in ((IDS[0], owner.vault.accept), (IDS[1], owner.vault.reject)):
        first = access.remember(f"text {name}", memory_id=name, tags=["t"])
        for _ in range(2):
            again = access.remember(f"text {name}", memory_id=name, tags=["t"])
            assert (again.id, again.version, again.content) == (name, 1, first.content)
            owner.vault.sync()
            if any(item.memory_id == name for item in owner.vault.pending()):
                decide(name)
    assert _contents(owner.vault) == [f"text {IDS[0]}"]


def test_an_app_does_not_take_anothers_memory_for_its_own(world: World) -> None:
    """A memory of the owner's, of another app's, or with other words: a conflict, however alike."""
    owner = world.owner()
    owner.vault.remember("text", memory_id=IDS[0])
    access, other = _access(world, owner), _access(world, owner)
    other.remember("text", memory_id=IDS[1])
    access.remember("text", memory_id=IDS[2])
    for name, text in ((IDS[0], "text"), (IDS[1], "text"), (IDS[2], "other")):
        with pytest.raises(ConflictError, match="something else"):
            access.remember(text, memory_id=name)
    with pytest.raises(InputError, match="UUID"):
        access.remember("text", memory_id="order 17")


def test_an_app_finds_what_the_owners_device_wrote_again(world: World) -> None:
    """An accepted memory that got a fresh key is the owner's version, with the app's mark."""
    owner = world.owner()
    access = _access(world, owner, "read", "create")
    access.remember("text", memory_id=IDS[0])
    owner.vault.sync()
    owner.vault.accept(IDS[0])
    _, ended = world.granted(owner, world.app(), scopes={"read"})
    assert ended.memories()
    owner.vault.revoke(next(g.grant_id for g in owner.vault.grants() if g.scopes == {"read"}))
    owner.vault.rotate()
    again = access.remember("text", memory_id=IDS[0])
    assert (again.version, again.author) == (2, "owner")
    owner.vault.update(IDS[0], content="changed by the owner")
    with pytest.raises(ConflictError):
        access.remember("text", memory_id=IDS[0])


def test_an_app_whose_answer_was_lost(world: World) -> None:
    """Called again with its id, it has written once; without one, twice."""
    owner, network = world.owner(), Losing()
    app = world.app(transport=network)
    _, access = world.granted(owner, app, scopes={"create"})
    for name in (IDS[0], None):
        network.lose = once("POST", "/grants/")
        with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
            access.remember("text", memory_id=name)
        access.remember("text", memory_id=name)
    owner.vault.sync()
    assert len(owner.vault.pending()) == 3
