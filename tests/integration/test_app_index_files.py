"""What is kept of an app's search index on the disk goes whole, whoever is at work on it then."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import App
from coffret.flows.ownersfile import OwnersFile
from coffret_vault.errors import GrantPausedError, GrantRevokedError, StoreError
from coffret_vault.store import snapshot
from harness.world import ask
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from coffret_vault.search.embedder import Vectors
    from harness.world import Owner, World


def _granted(world: World, owner: Owner) -> tuple[App, str, str]:
    """An app that keeps its indexes, its request, and the grant of what the owner has."""
    app = world.app()
    request = ask(app, owner)
    (asked,) = owner.vault.requests()
    grant = owner.vault.approve(asked, words=app.words)
    return _another(world, app), request, grant


def _another(world: World, app: App) -> App:
    options = world.around(embedder=HashingEmbedder)
    made: App = world.closing(App.load(app._state.path, keep_indexes=True, **options))
    return made


def _left(app: App) -> list[str]:
    return sorted(path.name for path in app._indexes._folder.glob("*"))


class _Slow:
    """A search in a thread that waits, where it is to embed or is to save, until it may go on."""

    def __init__(self, app: App, request: str) -> None:
        self.begun, self.go_on = Event(), Event()
        self._access = app.access(request)
        self._thread = Thread(target=self._search)

    def _search(self) -> None:
        self._access.search("fig")

    def at(self, do: Callable[[], object]) -> None:
        """Search, and do this in the middle of it."""
        self._thread.start()
        assert self.begun.wait(60)
        try:
            do()
        finally:
            self.go_on.set()
            self._thread.join()

    def wait(self) -> None:
        """Say that it has come so far, and stay there."""
        self.begun.set()
        assert self.go_on.wait(60)


def _in(slow: _Slow, where: str) -> Any:
    if where == "embedding":

        def embed(self: HashingEmbedder, texts: Sequence[str]) -> Vectors:
            slow.wait()
            return real_embed(self, texts)

        real_embed = HashingEmbedder.embed_documents
        return patch.object(HashingEmbedder, "embed_documents", embed)

    def replace(path: Path, *parts: bytes) -> None:
        slow.wait()
        real_replace(path, *parts)

    real_replace = snapshot._replace
    return patch.object(snapshot, "_replace", replace)


@pytest.mark.parametrize("told", ["a thread", "a thread, evicted", "a process", "one that keeps"])
@pytest.mark.parametrize("where", ["embedding", "saving"])
@pytest.mark.parametrize("over", [False, True])
def test_a_search_that_goes_on_keeps_nothing_of_a_grant_that_does_not(
    world: World,
    over: bool,  # noqa: FBT001 - by name
    where: str,
    told: str,
) -> None:
    """Told in one thread or process that a grant is over, the app lets no other one keep it."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, grant = _granted(world, owner)
    another = world.closing(App.load(app._state.path, **world.around()))
    who = {"a process": another, "one that keeps": _another(world, app)}.get(told, app)

    def end() -> None:
        if told == "a thread, evicted":  # by searches of other grants
            app._indexes.clear()
        (owner.vault.revoke if over else owner.vault.pause)(grant)
        with pytest.raises(GrantRevokedError if over else GrantPausedError):
            who.access(request)

    slow = _Slow(app, request)
    with _in(slow, where):
        slow.at(end)
    assert not _left(app)
    assert not who._indexes._kept


def test_what_is_given_again_is_kept_again(world: World) -> None:
    """A process that was never told of a pause keeps what it searches after it, as others do."""
    owner = world.owner()
    memory = owner.vault.remember("one fig")
    app, request, grant = _granted(world, owner)
    access, other = app.access(request), _another(world, app)
    access.search("fig")
    owner.vault.pause(grant)
    with pytest.raises(GrantPausedError):
        other.access(request)
    assert not _left(app)
    owner.vault.resume(grant)
    owner.vault.update(memory.id, content="two figs")
    access.search("fig")
    assert len(_left(app)) == 1


def test_an_app_of_which_nothing_can_be_noted_searches_all_the_same(world: World) -> None:
    """Where the file of owners is held by others, no index is kept, and no search fails for it."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, grant = _granted(world, owner)
    access = app.access(request)
    with patch.object(OwnersFile, "index_token", side_effect=StoreError):
        access.refresh()
    assert access.search("fig")
    with patch.object(OwnersFile, "is_index_kept", side_effect=StoreError):
        app._indexes.clear()
        assert access.search("fig")
    owner.vault.pause(grant)
    with (
        patch.object(OwnersFile, "let_go", side_effect=StoreError),
        pytest.raises(GrantPausedError),
    ):
        access.refresh()
    assert not _left(app)


@pytest.mark.parametrize("where", ["embedding", "saving"])
def test_a_search_that_goes_on_keeps_nothing_of_a_log_that_was_forgotten(
    world: World, where: str
) -> None:
    """What was read of it would be taken for versions of the log that is shown next."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _ = _granted(world, owner)
    slow = _Slow(app, request)
    with _in(slow, where):
        slow.at(lambda: app.forget_log(request))
    assert not _left(app)


@pytest.mark.parametrize("how", ["paused", "forgotten"])
def test_what_a_killed_process_left_goes_too(world: World, how: str) -> None:
    """A half of a file that was never finished is as much a copy as a whole one."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, grant = _granted(world, owner)
    app.access(request).search("fig")
    (app._indexes._folder / f"{request}.abcd.partial").write_bytes(b"half")
    if how == "paused":
        owner.vault.pause(grant)
        with pytest.raises(GrantPausedError):
            app.access(request)
    else:
        app.forget_log(request)
    assert not _left(app)


def test_all_is_forgotten_while_others_remove_some(world: World) -> None:
    """That another process removes a file in this moment keeps none of the others."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _ = _granted(world, owner)
    app.access(request).search("fig")
    real = Path.stat

    def gone(path: Path, **how: bool) -> os.stat_result:
        if path.suffix == ".index":
            raise FileNotFoundError
        return real(path, **how)

    with patch.object(Path, "stat", gone):
        app._indexes.forget()
    assert not _left(app)
