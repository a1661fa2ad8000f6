"""An app that writes many memories at once: the fewest requests, each whole, none written twice."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Fields, NewMemory
from coffret_vault.errors import (
    ConflictError,
    GrantError,
    GrantPausedError,
    InputError,
    NetworkError,
    QuotaError,
)
from harness.network import Losing, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access, App, Vault
    from harness.world import Owner, World

IDS = [str(uuid.UUID(int=number + (7 << 76) + (2 << 62))) for number in range(5)]
TEXTS = ["e", "d", "c", "b", "a"]
PAIRS = patch("coffret.flows.creating.AT_ONCE", 2)


def _named(texts: list[str] = TEXTS, ids: list[str] = IDS) -> list[NewMemory]:
    return [
        NewMemory(Fields(content=text), memory_id=name)
        for text, name in zip(texts, ids, strict=False)
    ]


def _unnamed(*texts: str) -> list[NewMemory]:
    return [NewMemory(Fields(content=text)) for text in texts]


def _access(world: World, owner: Owner, *scopes: str, app: App | None = None) -> Access:
    _, access = world.granted(owner, app or world.app(), scopes=set(scopes or ("create",)))
    return access


def _waiting(vault: Vault) -> list[str]:
    """What waits for the owner, as it was written."""
    vault.sync()
    return [item.proposed.content for item in vault.pending() if item.proposed is not None]


def _writings(network: Recorder) -> int:
    return sum(path.endswith("/memory-blobs") for path in network.paths)


def test_many_are_written_in_one_request(world: World) -> None:
    """They come back in their order, wait for the owner, and are the app's when accepted."""
    owner, network = world.owner(), Recorder()
    access = _access(world, owner, "read", "create", app=world.app(transport=network))
    new = [
        NewMemory(Fields(content=f"text {n}", title=f"title {n}", tags=("t",), importance=0.5))
        for n in range(7)
    ]
    told: list[tuple[str, int, int]] = []
    made = access.remember_many(new, lambda *what: told.append(what))
    assert _writings(network) == 1
    assert told == [("memories", 7, 7)]
    assert [memory.fields() for memory in made] == [
        access.get(memory.id).fields() for memory in made
    ]
    assert [memory.content for memory in made] == [f"text {n}" for n in range(7)]
    assert {memory.review.status for memory in made} == {"pending_review"}
    assert _waiting(owner.vault) == [f"text {n}" for n in range(7)]
    for memory in made:
        owner.vault.accept(memory.id)
    assert {memory.review.status for memory in access.memories()} == {"approved"}


def test_as_many_requests_as_it_takes(either: World) -> None:
    """More than fit into one go in the next; what is told is what is written by then."""
    owner = either.owner()
    access = _access(either, owner)
    told: list[int] = []
    with PAIRS:
        made = access.remember_many(_named(), lambda _, done, __: told.append(done))
    assert told == [2, 4, 5]
    assert [memory.id for memory in made] == IDS
    assert _waiting(owner.vault) == TEXTS
    assert access.remember_many([]) == []
    assert told == [2, 4, 5]


def test_a_request_is_as_large_as_the_server_takes(world: World) -> None:
    """A thousand small ones are one request, and large ones as many as fit into it."""
    owner, network = world.owner(), Recorder()
    access = _access(world, owner, app=world.app(transport=network))
    access.remember_many(_unnamed(*(f"m {n}" for n in range(1_001))))
    assert _writings(network) == 2
    access.remember_many(_unnamed(*(str(n % 10) * (1 << 20) for n in range(25))))
    assert _writings(network) == 4
    assert len(_waiting(owner.vault)) == 1_026


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_many_whose_answer_was_lost(world: World, batch: int, *, arrived: bool) -> None:
    """In whichever request the network failed: called again, all are there once, in their order."""
    owner, network = world.owner(), Losing()
    access = _access(world, owner, app=world.app(transport=network))
    network.lose, network.reaching = _nth("/memory-blobs", batch), arrived
    with PAIRS:
        with pytest.raises(NetworkError):
            access.remember_many(_named())
        network.lose = lambda _: False
        again = access.remember_many(_named())
    assert [memory.content for memory in again] == TEXTS
    assert sorted(_waiting(owner.vault)) == sorted(TEXTS)


def _nth(path: str, number: int) -> Callable[[httpx.Request], bool]:
    seen: list[httpx.Request] = []

    def choose(request: httpx.Request) -> bool:
        seen.extend([request] if request.url.path.endswith(path) else [])
        return request.url.path.endswith(path) and len(seen) == number + 1

    return choose


def test_a_request_that_came_twice_is_one(world: World) -> None:
    """A network that loses an answer is tried again with the very same bytes."""
    owner, network = world.owner(), Losing()
    access = _access(world, owner, app=world.app(transport=network))
    network.lose = _nth("/memory-blobs", 0)
    made = access.remember_many(_unnamed(*TEXTS))
    assert [memory.content for memory in made] == TEXTS
    assert _waiting(owner.vault) == TEXTS


def test_many_of_which_some_are_there(either: World) -> None:
    """Accepted, rejected or waiting: they come back as they stand, and only the rest is written."""
    owner = either.owner()
    access = _access(either, owner)
    access.remember_many(_named()[:3])
    owner.vault.sync()
    owner.vault.accept(IDS[0])
    owner.vault.reject(IDS[1])
    with PAIRS:
        made = access.remember_many([*_named(), *_unnamed("more")])
    assert [memory.content for memory in made] == [*TEXTS, "more"]
    assert [memory.review.status for memory in made] == [
        *("approved", "rejected"),
        *["pending_review"] * 4,
    ]
    assert _waiting(owner.vault) == ["c", "b", "a", "more"]


def test_two_processes_that_write_the_same_at_once(world: World) -> None:
    """What the other one wrote in between is found, and nothing is there twice."""
    owner, app = world.owner(), world.app()
    first = _access(world, owner, app=app)

    class Between(Recorder):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/memory-blobs") and _writings(self) < 2:
                first.remember_many(_named()[_writings(self) : _writings(self) + 2])
            return super().handle_request(request)

    other = type(app).load(app._state.path, **world.around(transport=Between()))
    with world.closing(other) as process:
        made = process.access(app.requests()[0]).remember_many(_named())
    assert [memory.content for memory in made] == TEXTS
    assert sorted(_waiting(owner.vault)) == sorted(TEXTS)


def test_an_id_that_is_taken_is_a_conflict(either: World) -> None:
    """By the owner, another app, or other words: the requests before are kept, and none after."""
    owner = either.owner()
    owner.vault.remember("c", memory_id=IDS[2])
    access, other = _access(either, owner), _access(either, owner)
    for _ in range(2):
        with PAIRS, pytest.raises(ConflictError, match="something else"):
            access.remember_many(_named())
        assert _waiting(owner.vault) == ["e", "d"]
    with pytest.raises(ConflictError, match=f"something else: {IDS[1]}"):
        access.remember_many(_named(["e", "D"]))
    with pytest.raises(ConflictError, match="something else"):
        other.remember_many(_named(["e"]))
    assert _waiting(owner.vault) == ["e", "d"]


@pytest.mark.parametrize(
    "bad",
    [
        [NewMemory(Fields(content=""))],
        [NewMemory(Fields(content="x" * (1 << 21)))],
        [NewMemory(Fields(content="x", tags=("",)))],
        [NewMemory(Fields(content="x", importance=2))],
        [NewMemory(Fields(content=5))],  # type: ignore[arg-type]
        [NewMemory(Fields(content="x"), "order 17")],
        [NewMemory(Fields(content="x"), b"short")],
        [NewMemory(Fields(content="x"), IDS[4]), NewMemory(Fields(content="y"), IDS[4].upper())],
        [NewMemory(Fields(content="x"), created="2024")],  # type: ignore[arg-type]
        [NewMemory("x")],  # type: ignore[arg-type]
        [Fields(content="x")],
        ["x"],
        "x",
        [None],
    ],
)
def test_what_cannot_be_a_memory_keeps_nothing_back(either: World, bad: Any) -> None:
    """It is refused before anything is sent, wherever it stands; then the rest can be written."""
    owner = either.owner()
    access = _access(either, owner)
    with PAIRS, pytest.raises(InputError):
        access.remember_many([*_named()[:3], *bad])
    assert _waiting(owner.vault) == []
    assert len(access.remember_many(_named()[:3])) == 3


def test_many_are_written_within_the_grant_alone(either: World) -> None:
    """Without ``create``, or while it is paused, nothing is."""
    owner, app = either.owner(), either.app()
    access = _access(either, owner, "read", app=app)
    with pytest.raises(GrantError, match="create"):
        access.remember_many(_named())
    access = _access(either, owner, "create")
    owner.vault.pause(owner.vault.grants()[-1].grant_id)
    with pytest.raises(GrantPausedError):
        access.remember_many(_named())
    assert _waiting(owner.vault) == []


class Full(Recorder):
    """A server that takes one writing, and is full for the next."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse the second one."""
        if request.url.path.endswith("/memory-blobs") and _writings(self) == 1:
            self.requests.append(request)
            problem = {"code": "quota-exceeded"}
            return httpx.Response(429, json=problem, headers={"Retry-After": "600"})
        return super().handle_request(request)


def test_a_vault_that_takes_no_more_keeps_whole_requests(world: World) -> None:
    """What was told as written is; called again later, the rest is written too."""
    owner = world.owner()
    access = _access(world, owner, app=world.app(transport=Full()))
    told: list[int] = []
    with PAIRS:
        with pytest.raises(QuotaError, match="no more from apps"):
            access.remember_many(_named(), lambda _, done, __: told.append(done))
        assert told == [2]
        assert _waiting(owner.vault) == TEXTS[:2]
        assert len(access.remember_many(_named())) == 5
    assert _waiting(owner.vault) == TEXTS


def test_when_a_memory_came_to_be_is_its_writers_word(either: World) -> None:
    """What an app brings from elsewhere keeps its time, and the same call again is the same."""
    owner = either.owner()
    access = _access(either, owner, "read", "create")
    then = datetime(2021, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
    ahead = datetime.now(UTC) + timedelta(days=900)
    moments = [then, then.replace(tzinfo=None), ahead, datetime(1950, 1, 1, tzinfo=UTC)]
    new = [
        NewMemory(Fields(content="x"), name, moment)
        for name, moment in zip(IDS, moments, strict=False)
    ]
    made = access.remember_many(new)
    assert [memory.created for memory in made[:2]] == [then, then]
    assert made[2].created <= datetime.now(UTC)
    assert [memory.id for memory in access.remember_many(new)] == IDS[:4]
    assert access.remember("x", created=then, memory_id=IDS[0]).created == then
    with pytest.raises(ConflictError):
        access.remember("x", created=then + timedelta(seconds=1), memory_id=IDS[0])
    owner.vault.sync()
    owner.vault.accept(IDS[0])
    assert owner.vault.get(IDS[0]).created == then
    assert access.remember("x", created=then, memory_id=IDS[0]).review.status == "approved"
    for moment, name in zip(moments, reversed(IDS), strict=False):
        own = str(uuid.UUID(int=uuid.UUID(name).int + 100))
        written = owner.vault.remember("y", created=moment, memory_id=own)
        assert owner.vault.remember("y", created=moment, memory_id=own) == written
