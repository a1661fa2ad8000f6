"""Several devices of one owner, and apps, at the same vault and at the same time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import AsyncVault, Fields, NewMemory, Vault
from coffret.flows import append as appending
from coffret.flows import memories as memory_flows
from coffret.flows.written import put_change
from coffret_vault.errors import ConflictError, NetworkError, NotFoundError, StoreMovedError
from harness.network import Losing
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import World

EACH = 50


def _together(*jobs: Callable[[], None]) -> None:
    """Run jobs in threads and raise what one of them raised."""
    failed: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_two_devices_that_write_at_once_lose_nothing(world: World) -> None:
    """A hundred memories by two devices in a race are all there, once, in one log."""
    owner = world.owner()
    other = world.device(owner)

    def writer(vault: Vault, name: str) -> Callable[[], None]:
        def job() -> None:
            for number in range(EACH):
                vault.remember(f"{name} {number}")

        return job

    _together(writer(owner.vault, "one"), writer(other, "two"))
    expected = {f"{name} {number}" for name in ("one", "two") for number in range(EACH)}
    for vault in (owner.vault, other, world.device(owner)):
        vault.sync()
        assert {memory.content for memory in vault.list()} == expected
    assert owner.vault.status().head == other.status().head


def test_two_devices_that_change_one_memory_at_once_lose_no_change(world: World) -> None:
    """Changes that two devices make to one memory in a race become versions, none overwritten."""
    owner = world.owner()
    memory = owner.vault.remember("start", metadata={})
    other = world.device(owner)

    def adder(vault: Vault, tag: str) -> Callable[[], None]:
        def job() -> None:
            for number in range(20):
                vault.update(memory.id, tags=[f"{tag}{number}"])

        return job

    _together(adder(owner.vault, "a"), adder(other, "b"))
    owner.vault.sync()
    tags = {step.memory.tags for step in owner.vault.history(memory.id) if step.memory}
    assert tags == {()} | {(f"{name}{number}",) for name in "ab" for number in range(20)}
    assert owner.vault.get(memory.id).version == 41


def test_a_change_made_for_a_version_is_not_merged_over_another(world: World) -> None:
    """A device that is behind merges into the newest version, unless it named the one it meant."""
    owner = world.owner()
    memory = owner.vault.remember("text", title="title")
    other = world.device(owner)
    owner.vault.update(memory.id, title="new title")
    with pytest.raises(ConflictError):
        other.update(memory.id, version=1, content="new text")
    merged = other.update(memory.id, content="new text")
    assert (merged.version, merged.title, merged.content) == (3, "new title", "new text")


def test_a_memory_deleted_elsewhere_is_not_written_again(world: World) -> None:
    """A change to what another device has deleted is refused, and so is its deletion."""
    owner = world.owner()
    first, second = owner.vault.remember("one"), owner.vault.remember("two")
    other = world.device(owner)
    owner.vault.forget(first.id)
    owner.vault.forget(second.id)
    with pytest.raises(NotFoundError):
        other.update(first.id, content="back")
    with pytest.raises(NotFoundError):
        other.forget(second.id)


def test_what_another_device_wrote_meanwhile_is_not_deleted_unseen(either: World) -> None:
    """A deletion is for good, and is of the memory as whoever deletes it has it, or says it is."""
    owner = either.owner()
    vault = owner.vault
    memory = vault.remember("an old list")
    other = either.device(owner)
    vault.update(memory.id, content="what is to be kept")
    with pytest.raises(ConflictError, match="look at it again"):
        other.forget(memory.id)
    assert other.get(memory.id).content == vault.get(memory.id).content == "what is to be kept"
    with pytest.raises(ConflictError, match="look at it again"):
        other.forget(memory.id, version=1)
    other.forget(memory.id)
    vault.sync()
    assert vault.list() == []


def test_what_waits_here_itself_was_seen(world: World) -> None:
    """A change whose answer was lost is no other's: what it makes of a memory may be deleted."""
    owner, network = world.owner(), Losing()
    device = world.device(owner, transport=network)
    memories = [device.remember(content) for content in ("one", "two")]
    for memory, network.reaching in zip(memories, (True, False), strict=True):
        network.lose = lambda request: request.method == "PUT"
        with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
            device.update(memory.id, content="changed")
        network.lose = lambda _: False
        device.forget(memory.id)
    assert device.list() == []


def test_devices_and_an_app_write_at_once(world: World) -> None:
    """An owner's writing and an app's proposals in a race all end in one log that verifies."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app)

    def write() -> None:
        for number in range(20):
            owner.vault.remember(f"owner {number}")

    def propose() -> None:
        for number in range(20):
            access.remember(f"app {number}")

    _together(write, propose)
    owner.vault.sync()
    assert len(owner.vault.pending()) == 20
    for waiting in owner.vault.pending():
        owner.vault.accept(waiting.memory_id)
    assert world.device(owner).status().memories == 40


def test_calls_awaited_together_on_one_vault_all_succeed(coffret_url: str, world: World) -> None:
    """A vault whose calls are gathered makes them one after another; none is lost or refused."""
    owner = world.owner()

    async def main() -> None:
        vault = await AsyncVault.login(
            coffret_url, owner.username, PASSPHRASE, owner.secret_key, world.place(),
            **world.around(),
        )  # fmt: skip
        async with vault:
            await asyncio.gather(
                *(vault.remember(f"memory {n}") for n in range(16)),
                vault.sync(),
                vault.search("memory"),
            )

    asyncio.run(main())
    owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == {f"memory {n}" for n in range(16)}


def test_two_programs_with_one_store_do_not_call_it_damaged(world: World) -> None:
    """A second program on the same folder sees the first one's writing, and adds to it."""
    owner = world.owner()
    second = world.closing(Vault.open(owner.vault.folder, **world.around()))
    second.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.remember("by the first")
    second.remember("by the second")
    owner.vault.remember("by the first again")
    assert len(list(second.list())) == 3
    owner.vault._state.store.check()


def test_a_store_that_moved_on_meanwhile_is_not_overwritten(world: World) -> None:
    """What was verified against an older state of the store is refused, not written over it."""
    owner = world.owner()
    state = owner.vault._state
    new = memory_flows.seal_new(state, NewMemory(Fields(content="x")), sealed=False)
    sent = appending.build(state, put_change(state, [new]))
    owner.vault.remember("in between")
    with pytest.raises(StoreMovedError):
        appending.keep(state, sent)
    assert [memory.content for memory in owner.vault.list()] == ["in between"]


def test_a_request_is_decided_once_by_two_devices(world: World) -> None:
    """Two devices that approve one request in a race make one grant."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("a")
    other = world.device(owner)
    request_id = ask(app, owner)
    owner.vault.requests(None)
    owner.vault.approve(request_id, words=app.words)
    other.requests(None)
    with pytest.raises(ConflictError):
        other.approve(request_id)
    other.sync()
    assert len(other.grants()) == len(owner.vault.grants()) == 1
