"""What becomes of a memory whose answer was lost, while other changes are made or wait."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Fields, NewMemory, Vault
from coffret.flows import append, unsent
from coffret.flows.hints import NOT_KEPT
from coffret.flows.waiting import SAID
from coffret_vault.errors import NetworkError, ServerError
from coffret_vault.store import Store
from harness.network import BASE, Losing
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


def _other_process(world: World, owner: Owner, network: Losing) -> Vault:
    other: Vault = world.closing(Vault.open(owner.vault.folder, **world.around(transport=network)))
    other.unlock(PASSPHRASE, owner.secret_key)
    return other


def test_what_is_lost_stays_noted_while_the_other_process_has_a_change_waiting(
    world: World,
) -> None:
    """What waits then is the other one's: words that wait nowhere are not let go."""
    mine, theirs = Losing(), Losing()
    owner = world.owner(transport=mine)
    device, other = world.device(owner), _other_process(world, owner, theirs)
    mine.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("lost words")
    mine.left = -1
    device.remember("quicker")
    hold, calls = unsent.hold, count()

    def behind_the_other(*arguments: Any, **options: Any) -> bytes | None:
        if not next(calls):
            theirs.left = mine.left = 0
            with patch.object(append, "hold", hold), pytest.raises(NetworkError):
                other.remember("theirs")
        return hold(*arguments, **options)

    with patch.object(append, "hold", behind_the_other), pytest.raises(NetworkError):
        owner.vault.sync()
    assert [(found.why, found.memories[0].content) for found in owner.vault.unkept()] == [
        ("overtaken", "lost words"),
        ("waiting", "theirs"),
    ]
    mine.left = -1
    owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == {"quicker", "theirs"}
    assert owner.vault.status().unkept == 1


class _Overtaken(Losing):
    """A network on which others act while the server says that they were quicker."""

    def __init__(self, before: Callable[[], object], behind: Callable[[], object]) -> None:
        super().__init__()
        self._before, self._behind, self._done = before, behind, False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Before the first append something is written, and something done behind its refusal."""
        first = request.url.path.startswith(f"{BASE}/memory-blobs") and not self._done
        if first:
            self._done = True
            self._before()
        response = super().handle_request(request)
        if first:
            self._behind()
        return response


@pytest.mark.parametrize("how", ["one", "many", "the one of many that is missing"])
def test_what_the_other_process_writes_anew_is_not_written_twice(world: World, how: str) -> None:
    """A call under way finds its memory there, and accuses no server of it."""
    owner = world.owner()
    there = NewMemory(Fields(content="there"), "01890000-0000-7000-8000-000000000001")
    owner.vault.remember_many([there])
    device, other = world.device(owner), _other_process(world, owner, Losing())
    network = _Overtaken(lambda: device.remember("quicker"), other.sync)
    this = _other_process(world, owner, network)
    if how == "one":
        written = this.remember("once", title="T")
    else:
        new = NewMemory(Fields(content="once", title="T"))
        written = this.remember_many([new] if how == "many" else [there, new])[-1]
    assert this.get(written.id) == written
    assert sorted(memory.content for memory in this.list()) == ["once", "quicker", "there"]
    assert this.status().unkept == 0
    device.sync()
    assert device.get(written.id).content == "once"


def test_what_the_other_process_has_done_with_is_not_written_anew(world: World) -> None:
    """Whose call was under way has decided about it, and was told: nothing follows behind that."""
    network = Losing()
    owner = world.owner(transport=network)
    device, other = world.device(owner), _other_process(world, owner, Losing())
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("lost words")
    device.remember("quicker")
    store, release = other._state.store, Store.release

    def behind_the_other(self: Store, name: str, value: bytes, *more: Any) -> bool:
        release(owner.vault._state.store, name, value)
        return release(self, name, value, *more)

    with patch.object(Store, "release", behind_the_other):
        other.sync()
    assert [memory.content for memory in other.list()] == ["quicker"]
    assert store.noted("unkept ") == {}


class _Failing(Losing):
    """A network that goes away, with a server that fails at what is posted to a path."""

    path = ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Fail, or send it on."""
        if self.path and request.method != "GET" and request.url.path == BASE + self.path:
            return httpx.Response(503, headers={"retry-after": "100"})
        return super().handle_request(request)


@pytest.mark.parametrize("path", ["/memory-blobs", "/log"])
def test_of_what_was_not_begun_nobody_says_that_it_is_kept(world: World, path: str) -> None:
    """The memory of before waits: sent again, or written anew, where the server fails at that."""
    network = _Failing()
    owner = world.owner(transport=network)
    memory_id, device = owner.vault.remember("first").id, world.device(owner)
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("lost words")
    network.left = -1
    device.remember("quicker")
    network.path = path
    for write, hint in (
        (partial(owner.vault.remember, "second"), SAID),
        (partial(owner.vault.update, memory_id, content="third"), NOT_KEPT),
    ):
        with pytest.raises(ServerError) as raised:
            write()
        assert raised.value.hint == hint
    network.path = ""
    owner.vault.sync()
    expected = ["first", "lost words", "quicker", "second"]
    assert sorted(memory.content for memory in owner.vault.list()) == expected
