"""Processes of one device, or of one app, that ask an honest server at the same moment."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import App, Vault
from coffret.flows import access as access_flows
from coffret.flows import covering, sync, wraps
from coffret_vault.errors import NetworkError, StoreMovedError
from coffret_vault.store import Store
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from coffret import Access
    from harness.world import Owner, World


@contextmanager
def meanwhile(
    module: ModuleType, *acts: Callable[[], object] | None, asked: bool = True
) -> Iterator[None]:
    """Other processes act at each of the first calls, before it is asked or before it is read."""
    real, left = module.send, list(acts)

    def act() -> None:
        now = left.pop(0) if left else None
        if now is not None:
            with patch.object(module, "send", real):
                now()

    def send(*arguments: Any) -> Any:
        if not asked:
            act()
        answer = yield from real(*arguments)
        if asked:
            act()
        return answer

    with patch.object(module, "send", send):
        yield


def other_process(world: World, owner: Owner) -> Vault:
    """One more process of an owner's first device."""
    folder = world.face.unwrapped(owner.vault).folder
    other: Vault = world.closing(Vault.open(folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    return other


def another_device(world: World, owner: Owner) -> Vault:
    """Another device of an owner."""
    names = (owner.username, owner.passphrase, owner.secret_key)
    vault = Vault.login(world.url, *names, world.place(), **world.around())
    other: Vault = world.closing(vault)
    return other


def write(vault: Vault, *texts: str) -> None:
    """Write these."""
    for text in texts:
        vault.remember(text)


def texts(vault: Vault) -> set[str]:
    """What a vault holds."""
    return {memory.content for memory in vault.list()}


def test_one_writes_while_another_one_syncs(either: World) -> None:
    """An answer that is older than what the other process wrote accuses nobody."""
    owner = either.owner()
    other = other_process(either, owner)
    with meanwhile(sync, lambda: write(other, "two")):
        owner.vault.sync()
    assert texts(owner.vault) == {"two"}
    assert owner.vault.evidence() == []


@pytest.mark.parametrize("at", [0, 1])
def test_two_take_the_same_entries(either: World, at: int) -> None:
    """Whoever is later asks again for what is new then: at a page, and at the rest of the log."""
    owner = either.owner()
    away, other = either.device(owner), other_process(either, owner)
    for number in range(3):
        away.remember(f"{number}")
    with (
        patch.object(sync, "PAGE", 1),
        patch.object(sync, "_LEAVES", 1),
        meanwhile(sync, *[None] * at, other.sync),
    ):
        owner.vault.sync()
    assert texts(owner.vault) == {"0", "1", "2"}
    assert owner.vault.evidence() == []


def test_one_covers_what_another_one_was_shown_uncovered(either: World) -> None:
    """A newer head over the same entries makes an older one no rollback."""
    owner = either.owner()
    other = other_process(either, owner)
    _, access = either.granted(owner, either.app(), scopes=["create"])
    access.remember("by the app")
    owner.vault.sync()
    with patch.object(covering, "COVERED_FROM", 1), meanwhile(sync, other.sync):
        owner.vault.sync()
    assert owner.vault.evidence() == []
    assert not other._state.position().tail


def test_what_another_one_is_about_to_fetch_is_not_withheld(either: World) -> None:
    """Records of entries that the other process took just now are asked for before anyone says so.

    Both were cut off between the entries and their records.
    """
    owner = either.owner()
    away, other = another_device(either, owner), other_process(either, owner)

    def cut_off(*texts: str) -> None:
        for text in texts:
            away.remember(text)
        failing = patch.object(sync, "_fetch_records", side_effect=NetworkError)
        with patch.object(sync, "PAGE", 1), failing, suppress(NetworkError):
            other.sync()

    cut_off("one", "two")
    with meanwhile(sync, None, lambda: cut_off("three", "four")):
        owner.vault.sync()
    assert texts(owner.vault) == {"one", "two", "three", "four"}


@contextmanager
def busy(other: Vault, most: int) -> Iterator[list[str]]:
    """Another process writes behind every page of records that is fetched; which were.

    Not while the page before is being written: that one would not be kept, and fetched again.
    """
    real = sync._page
    fetched: list[str] = []

    def page(state: Any, at: int, end: int = 0) -> Any:
        answer = yield from real(state, at, end)
        state.store._database.settle()
        if end:
            fetched.append(f"{at}")
        if end and len(fetched) <= most:
            with patch.object(sync, "_page", real):
                write(other, f"while {len(fetched)}")
        return answer

    with patch.object(sync, "PAGE", 1), patch.object(sync, "_page", page):
        yield fetched


def test_a_process_that_writes_on_and_on_has_no_page_fetched_again(world: World) -> None:
    """What was fetched is judged by how the log stands by then, and kept: nothing is in vain."""
    owner = world.owner()
    away, other = another_device(world, owner), other_process(world, owner)
    write(away, *"abcdef")
    with busy(other, 20) as fetched:
        owner.vault.sync()
    assert len(fetched) < 8
    assert len(texts(owner.vault)) == 6 + len(fetched)


@pytest.mark.parametrize("late", [False, True])
def test_what_a_grant_holds_is_asked_for_all_the_entries_that_were_taken(
    world: World,
    late: bool,  # noqa: FBT001 - a case
) -> None:
    """One process is still to ask when another has done, which had asked before those entries.

    Else the device would show its owner a grant that shares nothing. Nor does it help to take them
    when that other one has asked, and is about to note that it has.
    """
    owner = world.owner()
    away, other = another_device(world, owner), other_process(world, owner)
    owner.vault.remember("shared")
    away.sync()
    counts = wraps._counts

    def share() -> None:
        request_id = ask(app, owner)
        away.requests()
        away.approve(request_id, words=app.words)
        stalled = patch.object(sync, "follow_wraps", lambda _: iter(()))
        with stalled:
            other.sync()

    def slowly(*arguments: Any) -> Any:
        found = yield from counts(*arguments)
        with patch.object(wraps, "_counts", counts):
            share()
        return found

    def at_last(noting: Any) -> Any:
        def noted(store: Store, name: str, *values: Any) -> Any:
            if name == "wraps" and not shared:
                shared.append(name)
                share()
            return noting(store, name, *values)

        return noted

    shared: list[str] = []

    app = world.app("One")
    world.granted(owner, app)
    app = world.app("Two")
    away.remember("news")
    with ExitStack() as until_done:
        for name in ("set_meta", "release") if late else ():
            noting = at_last(getattr(Store, name))
            until_done.enter_context(patch.object(Store, name, noting))
        if not late:
            until_done.enter_context(patch.object(wraps, "_counts", slowly))
        owner.vault.sync()
    other.sync()
    assert [grant.memories for grant in other.grants()] == [1, 2]


def test_who_is_overtaken_for_ever_gives_up_without_accusing(either: World) -> None:
    """The question is repeated so many times, and then the error is about this device."""
    owner = either.owner()
    other = other_process(either, owner)
    acts = [lambda: write(other, "more")] * 100
    with meanwhile(sync, *acts), pytest.raises(StoreMovedError):
        owner.vault.sync()
    assert len(texts(other)) < 20
    assert owner.vault.evidence() == []
    owner.vault.sync()


def readers(world: World) -> tuple[Owner, Any, Access]:
    """An owner, and an app in two processes that have read."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("one")
    _, access = world.granted(owner, app, scopes=["read"])
    inner = world.face.unwrapped(app)
    other = world.closing(App.load(inner._state.path, **world.around()))
    there = other.access(inner.requests()[0])
    access.memories()
    there.memories()
    return owner, access, there


@pytest.mark.parametrize("ask", ["memories", "receipt"])
@pytest.mark.parametrize("asked", [True, False])
def test_two_processes_of_an_app_read_while_the_owner_writes(
    either: World,
    ask: str,
    asked: bool,  # noqa: FBT001 - a case
) -> None:
    """An answer that does not go on from what the other was shown meanwhile accuses nobody.

    One that is shorter than that, and one that is longer, and proven from what was seen before.
    """
    owner, access, there = readers(either)
    head = there.receipt()

    def read() -> None:
        owner_too.remember("two")
        there.memories()
        owner_too.remember("three")

    owner_too = other_process(either, owner)
    with meanwhile(access_flows, read, asked=asked):
        getattr(access, ask)()
    assert access.receipt() == there.receipt() != head
    folder = there._state.path.with_name("evidence")
    assert not folder.exists()


def test_an_app_that_is_overtaken_for_ever_gives_up_without_accusing(either: World) -> None:
    """The question is repeated so many times, and then the error is about this app."""
    owner, access, there = readers(either)
    owner_too = other_process(either, owner)

    def again() -> None:
        owner_too.remember("more")
        there.receipt()

    with meanwhile(access_flows, *[again] * 100), pytest.raises(StoreMovedError):
        access.memories()
    assert len(texts(owner_too)) < 20
    assert not there._state.path.with_name("evidence").exists()
    assert len(access.memories()) == 1
