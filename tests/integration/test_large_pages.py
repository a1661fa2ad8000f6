"""Pages that would be too large to take end earlier, and nothing is left out."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret.flows import handover
from coffret.flows.memories import NewMemory
from coffret_vault.records.memory import Fields
from harness.world import ask

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from harness.world import World


@pytest.mark.parametrize("most", [1, 2_000, 5_000])
def test_an_app_reads_all_of_large_memories(
    either: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few fit into a page, an app reads every memory of its grant, and its own writings."""
    monkeypatch.setattr("coffret_server.data.apps.PAGE_BYTES", most)
    monkeypatch.setattr("coffret_server.data.apps._FEW", 2)
    owner, app = either.owner(), either.app()
    wanted = {owner.vault.remember(f"number {number}").content for number in range(7)}
    _, access = either.granted(owner, app)
    wanted.add(access.remember("by the app").content)
    access.refresh()
    assert sorted(memory.content for memory in access.memories()) == sorted(wanted)


def test_an_app_reads_what_stands_far_apart(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few runs of leaves a page proves, an app reads every memory, and each is proven."""
    monkeypatch.setattr("coffret_server.data.apps.RUNS_LIMIT", 1)
    owner, app = either.owner(), either.app()
    tags = [("shared",) if number % 128 == 0 else () for number in range(1_024)]
    made = owner.vault.remember_many([NewMemory(Fields(content="m", tags=tag)) for tag in tags])
    _, access = either.granted(owner, app, tags=["shared"])
    wanted = {memory.id for memory, tag in zip(made, tags, strict=True) if tag}
    assert {memory.id for memory in access.memories()} == wanted


def test_a_history_of_many_pages_is_whole(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few versions fit into a page, a history has them all, in their order."""
    monkeypatch.setattr("coffret_server.data.owner.PAGE_BYTES", 1)
    vault = either.owner().vault
    memory = vault.remember("version 1")
    for version in range(2, 20):
        vault.update(memory.id, content=f"version {version}")
    contents = [item.memory and item.memory.content for item in vault.history(memory.id)]
    assert contents == [f"version {version}" for version in range(1, 20)]


@pytest.mark.parametrize("most", [1, 2, 5_000])
def test_a_page_that_ends_before_a_deletion_accuses_nobody(
    either: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A device that has not read of a deletion reads of it, wherever the page of versions ends."""
    monkeypatch.setattr("coffret_server.data.owner.VERSIONS_LIMIT", most)
    owner = either.owner()
    memory = owner.vault.remember("one")
    owner.vault.update(memory.id, content="two")
    other = either.device(owner)
    owner.vault.forget(memory.id)
    steps = other.history(memory.id)
    assert [(step.deletion, step.memory) for step in steps] == [
        (False, None),
        (False, None),
        (True, None),
    ]


def test_all_that_apps_ask_is_listed(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few requests fit into a page, an owner sees all of them, and each by its id alone."""
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1)
    owner = either.owner()
    owner.vault.remember("one")
    asked = {ask(either.app(f"App {number}"), owner) for number in range(3)}
    found = owner.vault.requests()
    assert {request.request_id for request in found} == asked
    for request in found:
        assert owner.vault.request(request.request_id) == request


def test_what_many_grants_hold_is_learnt(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few grants fit into a page, another device knows what each of them holds."""
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1)
    owner = either.owner()
    for number in range(3):
        owner.vault.remember(f"number {number}")
        either.granted(owner, either.app(f"App {number}"), scopes=["read"])
    second = either.device(owner)
    assert sorted(grant.memories for grant in second.grants()) == [1, 2, 3]


def test_of_what_is_shared_only_the_keys_are_in_memory(world: World) -> None:
    """An approval of many large memories does not hold what is sealed in them while it goes on."""
    owner, app = world.owner(), world.app()
    owner.vault.remember_many([NewMemory(Fields(content="m" * 250_000)) for _ in range(40)])
    request_id = ask(app, owner, scopes=["read"])
    owner.vault.requests()
    send, taken = handover._send, list[int]()

    def measured(*given: Any) -> Flow[None]:
        taken.append(tracemalloc.get_traced_memory()[0])
        yield from send(*given)

    tracemalloc.start()
    try:
        with patch.object(handover, "_send", measured):
            owner.vault.approve(request_id, words=app.words)
    finally:
        tracemalloc.stop()
    assert max(taken) < 2_000_000
    assert len(app.access(request_id).memories()) == 40
