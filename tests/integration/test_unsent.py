"""A change whose answer was lost is sent again before anything else is signed."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Vault
from coffret.flows.hints import BEGUN_WAITS, NOT_KEPT, WAITS
from coffret.flows.waiting import SAID
from coffret_vault.errors import (
    ConflictError,
    InputError,
    NetworkError,
    QuotaError,
    ServerError,
    StoreDamagedError,
    TooLargeError,
    TrustError,
)
from harness.network import Evil, Signed
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")
CREATE = "/api/v1/memory-blobs"


def _on(request: httpx.Request) -> bool:
    return request.url.path.startswith(CREATE) and request.method == "POST"


def _is_to(path: str, request: httpx.Request) -> bool:
    return request.url.path.endswith(path)


def _lost(owner: Owner, network: Signed, *, before: bool) -> None:
    """Write "lost"; the network goes away before, or after, the server took it."""
    if before:
        network.left = 0
    network.lose = _on
    with pytest.raises(NetworkError) as raised:
        owner.vault.remember("lost", tags=["t"])
    assert raised.value.hint == BEGUN_WAITS
    network.left, network.lose = -1, lambda _: False


def _contents(vault: Vault) -> list[str]:
    return sorted(memory.content for memory in vault.list())


@pytest.fixture
def network() -> Signed:
    """A network that can go away."""
    return Signed()


@pytest.fixture
def owner(world: World, network: Signed) -> Owner:
    """An owner behind it, with one memory."""
    made: Owner = world.owner(transport=network)
    made.vault.remember("first")
    network.heads.clear()
    return made


@pytest.mark.parametrize("before", [True, False])
def test_no_two_heads_of_one_size_are_ever_signed(
    owner: Owner, network: Signed, *, before: bool
) -> None:
    """Another change after a lost answer goes on top of the lost one, which is sent first."""
    _lost(owner, network, before=before)
    owner.vault.remember("another")
    sizes = network.sizes()
    assert sizes == sorted(set(sizes))
    assert _contents(owner.vault) == ["another", "first", "lost"]


@pytest.mark.parametrize("before", [True, False])
def test_a_change_of_another_kind_waits_for_it_too(
    owner: Owner, network: Signed, *, before: bool
) -> None:
    """Whatever is signed next: a new version, or a deletion, goes on top of the lost change."""
    (first,) = owner.vault.list()
    _lost(owner, network, before=before)
    owner.vault.update(first.id, content="changed")
    _lost(owner, network, before=before)
    owner.vault.forget(first.id)
    sizes = network.sizes()
    assert sizes == sorted(set(sizes))
    assert _contents(owner.vault) == ["lost", "lost"]


def test_a_client_that_forgets_signs_two_heads(owner: Owner, network: Signed) -> None:
    """Control: without what is kept, a lost request and the next change make a fork."""
    network.left = 0
    with patch("coffret_vault.store.Store.claim", lambda *_: True):
        with pytest.raises(NetworkError):
            owner.vault.remember("lost")
        network.left = -1
        owner.vault.remember("another")
    sizes = network.sizes()
    assert len(sizes) == 2
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("before", [True, False])
def test_the_same_call_again_writes_no_second_memory(
    owner: Owner, network: Signed, *, before: bool
) -> None:
    """A person who tries again after a network error has one memory; another text is another."""
    _lost(owner, network, before=before)
    memory = owner.vault.remember("lost", tags=["t"])
    assert _contents(owner.vault) == ["first", "lost"]
    assert owner.vault.get(memory.id).tags == ("t",)
    assert owner.vault.remember("lost", tags=["t"]).id != memory.id


@pytest.mark.parametrize("before", [True, False])
def test_another_process_of_the_device_sends_it(
    world: World, owner: Owner, network: Signed, *, before: bool
) -> None:
    """What was not answered is in the device's store: it goes out after the program has ended."""
    _lost(owner, network, before=before)
    folder = owner.vault.folder
    owner.vault.close()
    again = world.closing(Vault.open(folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    again.sync()
    assert _contents(again) == ["first", "lost"]
    assert _contents(world.device(owner)) == ["first", "lost"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("how", ["sync", "remember", "update"])
def test_a_memory_that_was_overtaken_is_written_on_top(
    world: World, owner: Owner, network: Signed, how: str, *, before: bool
) -> None:
    """Where another device wrote first, what was remembered offline is there once all the same."""
    other = world.device(owner)
    (first,) = owner.vault.list()
    _lost(owner, network, before=before)
    other.remember("by another device")
    if how == "update":
        owner.vault.update(first.id, title="changed")
    elif how == "remember":
        owner.vault.remember("later")
    owner.vault.sync()
    expected = ["by another device", "first", "lost", *(["later"] if how == "remember" else [])]
    assert _contents(owner.vault) == sorted(expected)
    (lost,) = owner.vault.list(tags={"t"})
    other.sync()
    assert other.get(lost.id) == lost
    owner.vault.check()
    owner.vault.sync()
    assert len(_contents(owner.vault)) == len(expected)


@pytest.mark.parametrize("before", [True, False])
def test_the_same_call_again_gives_the_memory_that_was_overtaken(
    world: World, owner: Owner, network: Signed, *, before: bool
) -> None:
    """Who tries again after others wrote has one memory, with the time of the first try."""
    other = world.device(owner)
    _lost(owner, network, before=before)
    other.remember("by another device")
    memory = owner.vault.remember("lost", tags=["t"])
    assert _contents(owner.vault) == ["by another device", "first", "lost"]
    assert owner.vault.get(memory.id).created == memory.created == memory.updated


def test_what_was_overtaken_shows_no_title_that_the_vault_hides_by_now(
    world: World, owner: Owner, network: Signed
) -> None:
    """Where another device settled that titles are sealed, the server is shown none of it."""
    other = world.device(owner)
    other.confirm(owner.vault.status().head)
    _lost(owner, network, before=True)
    other.set_settings(sealed=True)
    owner.vault.sync()
    (lost,) = owner.vault.list(tags={"t"})
    assert (lost.content, lost.sealed) == ("lost", True)


def test_what_was_overtaken_is_shared_as_grants_are_by_then(
    world: World, owner: Owner, network: Signed
) -> None:
    """A standing grant gets its key when it is written, and one that was revoked since does not."""
    other = world.device(owner)
    app, gone = world.app(), world.app()
    wanted = {"tags": ["t"], "standing": True, "approve_standing": True}
    _, access = world.granted(owner, app, **wanted)
    ended, _ = world.granted(owner, gone, **wanted)
    other.sync()
    _lost(owner, network, before=True)
    other.revoke(ended)
    owner.vault.sync()
    assert [memory.content for memory in access.memories()] == ["lost"]
    owner.vault.check()


def test_what_was_not_begun_is_said_not_to_be_kept(
    world: World, owner: Owner, network: Signed
) -> None:
    """One change waits at a time: of a second one, nothing is kept but the words of a memory."""
    other = world.device(owner)
    (first,) = owner.vault.list()
    _lost(owner, network, before=True)
    other.remember("by another device")
    writes: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: owner.vault.remember("second"), SAID),
        (lambda: owner.vault.forget(first.id), NOT_KEPT),
        (lambda: owner.vault.update(first.id, content="third"), NOT_KEPT),
    )
    network.reaching = False
    for gone in ("", "/log"):  # before the first is sent again, and while it is written anew
        network.lose = partial(_is_to, gone)
        for write, hint in writes:
            with pytest.raises(NetworkError) as raised:
                write()
            assert raised.value.hint == hint
    network.lose = lambda _: False
    owner.vault.sync()
    assert _contents(owner.vault) == ["by another device", "first", "lost", "second"]


def test_a_change_of_a_memory_that_was_overtaken_is_given_up(
    world: World, owner: Owner, network: Signed
) -> None:
    """A new version was made for what the log was: it is not made anew, and its maker was told."""
    other = world.device(owner)
    (first,) = owner.vault.list()
    network.left = 0
    with pytest.raises(NetworkError) as raised:
        owner.vault.update(first.id, content="changed")
    assert raised.value.hint == WAITS
    network.left = -1
    other.remember("by another device")
    owner.vault.sync()
    assert _contents(owner.vault) == ["by another device", "first"]


def test_what_was_overtaken_and_is_refused_does_not_stay_in_the_way(world: World) -> None:
    """Where the server takes no more of it, the next command goes on without it."""
    network = Refusing()
    owner = world.owner(transport=network)
    other = world.device(owner)
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.remember("lost")
    network.left = -1
    other.remember("by another device")
    network.path, network.answer = "/api/v1/log", _refusing(429, "quota-exceeded")
    owner.vault.sync()
    assert _contents(owner.vault) == ["by another device"]
    network.answer = None
    owner.vault.remember("fits")
    assert _contents(owner.vault) == ["by another device", "fits"]


def _refusing(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_: httpx.Request) -> httpx.Response:
        problem = {"code": code, "status": status}
        return httpx.Response(status, json=problem, headers={"retry-after": "100"})

    return answer


class Refusing(Signed):
    """A server that answers creations its own way."""

    answer: Callable[[httpx.Request], httpx.Response] | None = None
    path = CREATE

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer that is given to creations, or to what else is posted to this path."""
        posted = request.method == "POST" and request.url.path.startswith(self.path)
        if self.answer is not None and posted:
            return self.answer(request)
        return super().handle_request(request)


def test_what_the_server_refuses_is_not_sent_again(world: World) -> None:
    """A refusal is final: the next change is made in its place."""
    network = Refusing()
    owner = world.owner(transport=network)
    network.answer = _refusing(429, "quota-exceeded")
    with pytest.raises(QuotaError) as raised:
        owner.vault.remember("too much")
    assert raised.value.hint not in {WAITS, BEGUN_WAITS}
    network.answer = None
    owner.vault.remember("fits")
    assert _contents(owner.vault) == ["fits"]


def test_what_a_proxy_finds_too_large_does_not_stay_in_the_way(world: World) -> None:
    """A 413 without a problem of ours is as final, or nothing could be written any more."""
    network = Refusing()
    owner = world.owner(transport=network)
    network.answer = lambda _: httpx.Response(413, text="<h1>Request Entity Too Large</h1>")
    with pytest.raises(TooLargeError):
        owner.vault.remember("too much")
    network.answer = None
    owner.vault.remember("fits")
    assert _contents(owner.vault) == ["fits"]


@pytest.mark.parametrize(("status", "code"), [(429, "rate-limited"), (503, "unavailable")])
def test_what_the_server_cannot_take_now_goes_out_later(
    world: World, status: int, code: str
) -> None:
    """A server that is busy or failing may have taken it: it waits, and reading goes on."""
    network = Refusing()
    owner = world.owner(transport=network)
    network.answer = _refusing(status, code)
    for _ in range(2):
        with pytest.raises(ServerError):
            owner.vault.remember("later")
    owner.vault.sync()
    assert _contents(owner.vault) == []
    network.answer = None
    owner.vault.sync()
    assert _contents(owner.vault) == ["later"]


def test_a_server_that_hides_what_it_took_is_found_out(world: World) -> None:
    """Sent again, the change is said to be taken, and the log does not show it: an alarm."""
    evil = Evil()
    owner = world.owner(transport=evil)
    status = owner.vault.status()
    lost: list[Any] = []

    def lose(_: Any) -> httpx.Response:
        lost.append(1)
        return httpx.Response(503, json={"code": "unavailable"})

    evil.rewrite["/memory-blobs"] = lose
    with pytest.raises(ServerError):
        owner.vault.remember("lost")
    evil.rewrite = {"/sync": lambda _: [status.entries, status.head, []]}
    with pytest.raises(TrustError, match="shows nothing that is new"):
        owner.vault.remember("another")
    evil.rewrite.clear()
    owner.vault.sync()
    assert _contents(owner.vault) == ["lost"]


def test_an_id_of_ones_own_makes_writing_again_safe(world: World, owner: Owner) -> None:
    """Called again with it, here or on another device, the same memory comes back."""
    chosen = str(uuid.uuid4())
    other = world.device(owner)
    first = owner.vault.remember("mine", memory_id=chosen)
    for vault in (owner.vault, other):
        again = vault.remember("mine", memory_id=chosen)
        assert (again.id, again.version, again.content) == (chosen, 1, "mine")
        with pytest.raises(ConflictError, match="something else"):
            vault.remember("not mine", memory_id=chosen)
    assert first.id == chosen
    owner.vault.forget(chosen)
    with pytest.raises(ConflictError):
        owner.vault.remember("mine", memory_id=chosen)
    with pytest.raises(InputError):
        owner.vault.remember("mine", memory_id="order 17")


def test_nothing_is_left_of_a_change_that_was_answered(owner: Owner, network: Signed) -> None:
    """What was kept goes with the answer, so that the next change need not look into it."""
    assert owner.vault._state.store.meta("unsent") == b""
    _lost(owner, network, before=True)
    assert owner.vault._state.store.meta("unsent")
    owner.vault.sync()
    assert owner.vault._state.store.meta("unsent") == b""


def test_a_damaged_change_is_reported(owner: Owner) -> None:
    """What is kept and cannot be read is damage, not nothing."""
    owner.vault._state.store.set_meta("unsent", b"\xc1")
    with pytest.raises(StoreDamagedError):
        owner.vault.remember("more")


def test_only_one_change_is_kept_at_a_time(owner: Owner) -> None:
    """Two programs of one device do not write over each other's."""
    store = owner.vault._state.store
    assert store.claim("name", b"one")
    assert not store.claim("name", b"two")
    store.release("name", b"two")
    assert store.meta("name") == b"one"
    store.release("name", b"one")
    assert store.claim("name", b"two")
