"""Two processes of one device that write at the same moment."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret.flows import append, unsent
from coffret.flows.state import covered_note
from coffret_vault.errors import CredentialsError, KeysChangedError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.store import Store
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import Owner, World

_PATIENCE = 20.0


def sizes(evil: Evil) -> list[int]:
    """The sizes of the heads that went out."""
    bodies = [
        msgspec.msgpack.decode(request.content) for request in evil.requests if _is_append(request)
    ]
    return [parse_head(body["head"]).head.size for body in bodies]


def _is_append(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/memory-blobs")


def test_one_head_of_a_size_leaves_the_device(world: World) -> None:
    """A head made before the other process wrote is not sent: another is made behind that."""
    evil = Evil()
    owner = world.owner(transport=evil)
    other = world.closing(Vault.open(owner.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    before, hold = owner.vault._state.position().size, unsent.hold

    def behind_the_other(*arguments: Any, **options: Any) -> bytes | None:
        with patch.object(append, "hold", hold):
            if not list(other.list()):
                other.remember("by the other process")
        return hold(*arguments, **options)

    with patch.object(append, "hold", behind_the_other):
        owner.vault.remember("by this one")
    assert sizes(evil) == [before + 2]
    assert {memory.content for memory in other.list()} == {"by the other process", "by this one"}


@pytest.fixture
def twice(world: World) -> tuple[Owner, Vault, Vault]:
    """An owner, and another device of theirs in two processes, both unlocked."""
    owner = world.owner()
    one = world.device(owner)
    two = world.closing(Vault.open(one.folder, **world.around()))
    two.unlock(PASSPHRASE, owner.secret_key)
    return owner, one, two


def test_a_page_that_is_fetched_twice_is_counted_once(twice: tuple[Owner, Vault, Vault]) -> None:
    """Where the other process moves the log on before it is kept, it is asked for again."""
    owner, one, two = twice
    for number in range(6):
        owner.vault.remember(f"number {number}")
    put, quicker = Store.put_records_soon, iter(["by the other process"])

    def behind_the_other(store: Store, *given: Any) -> None:
        for words in quicker:
            two.remember(words)
        put(store, *given)

    with (
        patch("coffret.flows.sync.PAGE", 2),
        patch.object(Store, "put_records_soon", behind_the_other),
    ):
        report = one.sync()
    assert (report.entries, report.records) == (6, 6)
    assert len(one.list()) == 7


@pytest.mark.parametrize("enter", ["log_in_again", "unlock"])
def test_keys_that_the_other_process_took_up_open_this_one(
    twice: tuple[Owner, Vault, Vault], enter: str
) -> None:
    """They are not taken for a thief's, who would know the Secret Key by which it was opened."""
    owner, one, two = twice
    code = change(owner.vault).secret_key_code()
    one.log_in_again(NEW, code)
    getattr(two, enter)(NEW, code)
    assert two.remember("by the other process").version == 1
    assert len(one.list()) == 1


def test_a_passphrase_that_the_other_process_set_counts_in_this_one(
    twice: tuple[Owner, Vault, Vault],
) -> None:
    """The one before it opens nothing any more, and neither changes it nor deletes the account."""
    owner, one, two = twice
    one.change_passphrase(PASSPHRASE, NEW, owner.secret_key)
    for refused in (
        lambda: two.change_passphrase(PASSPHRASE, "third", owner.secret_key),
        lambda: two.delete_account(PASSPHRASE, owner.secret_key),
        lambda: two.unlock(PASSPHRASE, owner.secret_key),
    ):
        with pytest.raises(CredentialsError):
            refused()
    two.lock()
    two.unlock(NEW, owner.secret_key)
    two.change_passphrase(NEW, "third", owner.secret_key)
    assert two.delete_account("third", owner.secret_key).erased in {True, False}


def test_a_key_change_goes_by_the_keyslots_of_the_other_process(
    twice: tuple[Owner, Vault, Vault],
) -> None:
    """A process that has not heard of a new passphrase ends that one, and not the one before it."""
    owner, one, two = twice
    two.sync()  # it has a session
    one.change_passphrase(PASSPHRASE, "another one", owner.secret_key)
    code = change(two).secret_key_code()
    owner.vault.log_in_again(NEW, code)
    owner.vault.remember("under the new keys")
    two.sync()
    assert [memory.content for memory in two.list()] == ["under the new keys"]


class _Meanwhile(Evil):
    """The real server, and what another process does while it is about to answer a key change."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and have the other process do what it does."""
        response = super().handle_request(request)
        if request.url.path.endswith("/accounts/me/keys"):
            self.act()
        return response


def test_what_the_other_process_noted_while_the_keys_changed_is_told(world: World) -> None:
    """It was sent under the keys of before, and has its words under those that follow."""
    network = _Meanwhile()
    owner = world.owner(transport=network)
    other = world.closing(Vault.open(owner.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    other.sync()  # it has a session

    def write() -> None:
        with pytest.raises(KeysChangedError):
            other.remember("lost words")

    network.act = write
    change(owner.vault)
    (found,) = owner.vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "keys-changed",
        ["lost words"],
    )


def test_what_one_process_confirmed_the_other_does_not_undo(
    twice: tuple[Owner, Vault, Vault], world: World
) -> None:
    """One that read its account before syncs, and keeps what it did not know of."""
    owner, one, two = twice
    assert not two.status().confirmed
    one.confirm(owner.vault.status().head)
    owner.vault.remember("news")
    two.sync()
    assert two.status().confirmed
    again = world.closing(Vault.open(one.folder, **world.around()))
    assert again.status().confirmed


@pytest.mark.parametrize("at", ["/accounts/me", "/accounts/me/memory-keys", "/sync"])
def test_a_process_that_enters_again_is_not_misled_by_the_other(world: World, at: str) -> None:
    """Both are at it: the one that comes second finds the new keys here, and accuses nobody."""
    evil = Evil()
    owner = world.owner()
    owner.vault.remember("before")
    one = world.device(owner, transport=evil)
    two = world.closing(Vault.open(one.folder, **world.around()))
    code = change(owner.vault).secret_key_code()

    def meanwhile(_answer: Any) -> None:
        evil.rewrite.clear()
        two.log_in_again(NEW, code)

    evil.rewrite[at] = meanwhile
    one.log_in_again(NEW, code)
    assert not evil.rewrite
    assert one.remember("by the one").version == 1
    two.sync()
    assert {memory.content for memory in two.list()} == {"before", "by the one"}


def test_confirming_undoes_nothing_that_the_other_process_changed(
    twice: tuple[Owner, Vault, Vault],
) -> None:
    """It notes that one thing: the keyslots of another process's new passphrase stay."""
    owner, one, two = twice

    def meanwhile(size: int) -> tuple[str, bytes]:
        two.change_passphrase(PASSPHRASE, NEW, owner.secret_key)
        return covered_note(size)

    with patch("coffret.confirming.covered_note", meanwhile):
        one.confirm(owner.vault.status().head)
    one.lock()
    one.unlock(NEW, owner.secret_key)
    assert one.status().confirmed
    with pytest.raises(CredentialsError):
        one.unlock(PASSPHRASE, owner.secret_key)


class _Late(httpx.BaseTransport):
    """The real server, whose answer to an append comes when it is let through."""

    def __init__(self) -> None:
        """Nothing is held yet."""
        self.inner = httpx.HTTPTransport(verify=False)
        self.taken, self.let_through = threading.Event(), threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on."""
        response = self.inner.handle_request(request)
        response.read()
        if _is_append(request):
            self.taken.set()
            assert self.let_through.wait(_PATIENCE)
        return response

    def close(self) -> None:
        """Close the real one."""
        self.inner.close()


@pytest.mark.parametrize("at", ["/auth/challenge", "/accounts/me/memory-keys", "/sync"])
def test_what_the_other_process_stores_while_this_one_enters_again_is_opened(
    world: World, at: str
) -> None:
    """The server took it under the keys of before: it is not accused of withholding its key."""
    evil, late = Evil(), _Late()
    owner = world.owner()
    owner.vault.remember("before")
    one = world.device(owner, transport=evil)
    two = world.closing(Vault.open(one.folder, **world.around(transport=late)))
    two.unlock(PASSPHRASE, owner.secret_key)
    two.sync()
    writing = threading.Thread(target=two.remember, args=("by the other process",))
    writing.start()
    try:
        assert late.taken.wait(_PATIENCE)
        owner.vault.sync()
        code = change(owner.vault).secret_key_code()

        def meanwhile(_answer: Any) -> None:
            evil.rewrite.clear()
            late.let_through.set()
            writing.join(_PATIENCE)

        evil.rewrite[at] = meanwhile
        one.log_in_again(NEW, code)
    finally:
        late.let_through.set()
        writing.join(_PATIENCE)
    assert not evil.rewrite
    assert {memory.content for memory in one.list()} == {"before", "by the other process"}
    one.lock()
    one.unlock(NEW, code)
    assert len(one.list()) == 2
