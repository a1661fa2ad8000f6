"""A server that answers as it likes while a device logs in again after a key change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adversary.test_key_changes import NEW, change
from coffret import AsyncVault, Vault
from coffret_vault.errors import CoffretError, KeysChangedError, TrustError
from harness.network import Evil
from harness.world import PASSPHRASE as OLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import World


def _gone(_answer: Any) -> None:
    message = "gone"
    raise httpx.ReadError(message)


def _failing(_answer: Any) -> httpx.Response:
    return httpx.Response(500)


def _no_keys(_answer: Any) -> list[Any]:
    return [None, []]


def _some_keys(answer: list[Any]) -> None:
    del answer[1][1:]


KEYS, LOG = "/accounts/me/memory-keys", "/sync"
SELECTIVE: dict[str, dict[str, Callable[[Any], Any]]] = {
    "no log": {LOG: _gone},
    "no log, with an error": {LOG: _failing},
    "no cards": {"/accounts/me/successions": _failing},
    "no list of keys": {KEYS: _gone},
    "no keys and no log": {KEYS: _no_keys, LOG: _gone},
    "no keys": {KEYS: _no_keys},
    "not all keys": {KEYS: _some_keys},
}


@pytest.mark.attack(57)
@pytest.mark.parametrize("name", SELECTIVE)
@pytest.mark.parametrize("unlocked", [True, False], ids=["unlocked", "locked"])
def test_a_device_that_cannot_enter_again_keeps_what_it_has(
    world: World,
    name: str,
    unlocked: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Whatever a server leaves out, what is here opens with the keys of before until all is."""
    owner = world.owner()
    contents = {owner.vault.remember(text).content for text in ("one", "two")}
    evil = Evil()
    other = world.device(owner, transport=evil)
    if not unlocked:
        other.lock()
    code = change(owner.vault).secret_key_code()
    evil.rewrite |= SELECTIVE[name]
    with pytest.raises(CoffretError):
        other.log_in_again(NEW, code)
    assert other.is_locked is not unlocked
    if unlocked:
        assert {memory.content for memory in other.list()} == contents
    other.close()
    again = world.closing(Vault.open(other.folder, **world.around(transport=evil)))
    again.unlock(OLD, owner.secret_key)
    assert {memory.content for memory in again.list()} == contents
    with pytest.raises(KeysChangedError):
        again.remember("three")
    evil.rewrite.clear()
    again.log_in_again(NEW, code)
    again.remember("three")
    owner.vault.sync()
    for vault in (again, owner.vault):
        assert {memory.content for memory in vault.list()} == contents | {"three"}


@pytest.mark.attack(57)
def test_who_is_told_of_progress_does_not_take_the_keys_away(world: World) -> None:
    """A program that syncs while it is told how far it is keeps what opens what is here."""
    owner, evil = world.owner(), Evil()
    owner.vault.remember("one")
    other = world.device(owner, transport=evil)
    owner.vault.remember("two")
    code = change(owner.vault).secret_key_code()

    def progress(what: str, _done: int, _of: int) -> None:
        if what == "keys":
            other.sync()

    with pytest.raises(TrustError):
        other.log_in_again(NEW, code, progress)
    assert [memory.content for memory in other.list()] == ["one"]
    evil.rewrite |= SELECTIVE["no keys"]
    with pytest.raises(TrustError):
        other.log_in_again(NEW, code)
    assert [memory.content for memory in other.list()] == ["one"]
    evil.rewrite.clear()
    other.log_in_again(NEW, code)
    assert {memory.content for memory in other.list()} == {"one", "two"}


def test_keys_of_what_was_deleted_are_not_waited_for(world: World) -> None:
    """A memory that went with the keys of before takes no device with it that had not heard."""
    owner = world.owner()
    gone, kept = owner.vault.remember("one"), owner.vault.remember("two")
    changed = owner.vault.remember("three")
    other = world.device(owner)
    owner.vault.forget(gone.id)
    owner.vault.update(changed.id, content="four")
    code = change(owner.vault).secret_key_code()
    other.log_in_again(NEW, code)
    assert {m.id: m.content for m in other.list()} == {kept.id: "two", changed.id: "four"}


class _Silent(httpx.AsyncBaseTransport):
    """A network on which the log never comes."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.inner = httpx.AsyncHTTPTransport(verify=False)
        self.asked = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, or wait for ever."""
        if request.url.path.endswith(LOG):
            self.asked.set()
            await asyncio.Event().wait()
        response = await self.inner.handle_async_request(request)
        await response.aread()
        return response

    async def aclose(self) -> None:
        """Close the real one."""
        await self.inner.aclose()


@pytest.mark.attack(57)
def test_a_device_that_gives_up_waiting_keeps_what_it_has(world: World) -> None:
    """A task that is cancelled while it enters again is where it was, at once."""
    owner = world.owner()
    owner.vault.remember("one")
    other = world.device(owner)
    other.close()
    code = change(owner.vault).secret_key_code()

    async def give_up() -> None:
        network = _Silent()
        vault = AsyncVault.open(other.folder, **world.around(transport=network))
        await vault.unlock(OLD, owner.secret_key)
        entering = asyncio.create_task(vault.log_in_again(NEW, code))
        await network.asked.wait()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError) as held:
            await entering
        assert held.tb is not None  # and with it all that was under way
        assert [memory.content for memory in vault.list()] == ["one"]
        await vault.close()

    asyncio.run(give_up())
    again = world.closing(Vault.open(other.folder, **world.around()))
    again.unlock(OLD, owner.secret_key)
    again.log_in_again(NEW, code)
    assert [memory.content for memory in again.list()] == ["one"]
