"""What an app has embedded of a grant serves it again, as long as the grant gives it anything."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import App, AsyncApp
from coffret_vault.errors import GrantError, GrantPausedError, GrantRevokedError
from harness.world import PASSPHRASE, ask
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from coffret import Access, AsyncAccess
    from coffret_vault.search.embedder import Vectors
    from harness.world import Owner, World


class _Model:
    """Makes embedders that count together what they were given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self) -> HashingEmbedder:
        made = HashingEmbedder()
        made.texts = self.texts
        return made


def _granted(world: World, owner: Owner) -> tuple[App, str, str, _Model]:
    """An app with a counting model, its request, and the grant of what the owner has."""
    model = _Model()
    app = world.app(embedder=model)
    request = ask(app, owner, standing=True)
    owner.vault.requests()
    return app, request, owner.vault.approve(request, words=app.words, standing=True), model


def _from_another_owner(world: World, app: App) -> str:
    """The app's request to another owner, who has granted it something."""
    owner = world.owner()
    owner.vault.remember("two figs")
    request = ask(app, owner)
    owner.vault.requests()
    owner.vault.approve(request, words=app.words)
    return request


def _found(app: App, request: str) -> set[str]:
    return {hit.memory.content for hit in app.access(request).search("fig")}


def test_a_grant_that_is_taken_up_again_is_embedded_once(world: World) -> None:
    """Each question may take the grant up anew: only it, and what is new, is embedded for it."""
    owner = world.owner()
    owner.vault.remember("one fig")
    forgotten = owner.vault.remember("two figs")
    app, request, _, model = _granted(world, owner)
    assert _found(app, request) == {"one fig", "two figs"}
    model.texts.clear()
    assert _found(app, request.upper()) == {"one fig", "two figs"}
    assert model.texts == ["fig"]
    owner.vault.remember("three figs")
    owner.vault.forget(forgotten.id)
    model.texts.clear()
    assert _found(app, request) == {"one fig", "three figs"}
    assert len(model.texts) == 2
    app.close()
    assert not app._indexes._kept
    model.texts.clear()
    again = world.closing(App.load(app._state.path, **world.around(embedder=model)))
    assert _found(again, request) == {"one fig", "three figs"}
    assert len(model.texts) == 3


def test_a_search_by_words_embeds_little_and_keeps_nothing_of_what_is_gone(world: World) -> None:
    """An app that looks for words in much that it never embedded need not wait until it is."""
    owner = world.owner()
    made = [owner.vault.remember(f"{number} figs") for number in range(4)]
    app, request, _, model = _granted(world, owner)
    with patch("coffret.keptindex._SOON", 3):
        hits = app.access(request).search("fig", mode="words")
        assert (len(hits), model.texts) == (4, [])
        app.access(request).search("fig")
        owner.vault.forget(made[0].id)
        assert len(app.access(request).search("fig", mode="words")) == 3
    (kept,) = app._indexes._kept.values()
    assert len(kept) == 3


def test_tasks_share_what_was_embedded(world: World) -> None:
    """So it is for asyncio, with many tasks that each take the grant up for themselves."""
    owner = world.owner()
    for number in range(3):
        owner.vault.remember(f"fig {number}")
    made, request, _, model = _granted(world, owner)

    async def many() -> list[Any]:
        options = world.around(embedder=model)
        async with AsyncApp.load(made._state.path, **options) as app:

            async def one() -> int:
                access = await app.access(request)
                return len(await access.search("fig"))

            return await asyncio.gather(*(one() for _ in range(8)))

    assert asyncio.run(many()) == [3] * 8
    assert len(model.texts) == 3 + 8


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("held", [False, True])
def test_nothing_is_kept_of_a_grant_that_gives_nothing(
    world: World,
    over: bool,  # noqa: FBT001 - by name
    held: bool,  # noqa: FBT001 - by name
) -> None:
    """Told that a grant is paused or over, an app lets go of what it had embedded of it."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, grant, _ = _granted(world, owner)
    access = app.access(request)
    access.search("fig")
    assert app._indexes._kept
    (owner.vault.revoke if over else owner.vault.pause)(grant)
    with pytest.raises(GrantRevokedError if over else GrantPausedError):
        access.search("fig") if held else app.access(request)
    assert not app._indexes._kept


def test_so_many_indexes_are_kept_and_no_more(world: World) -> None:
    """Of many grants those that were searched last stay, by their number and by their size."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, first, _, model = _granted(world, owner)
    second = _from_another_owner(world, app)
    for bound in ("_MOST_INDEXES", "_MOST_MEMORIES"):
        with patch(f"coffret.indexes.{bound}", 1):
            for request in (first, second, first):
                _found(app, request)
                model.texts.clear()
            assert list(app._indexes._kept) == [first]
            _found(app, first)
            assert model.texts == ["fig"]


def test_an_index_that_was_interrupted_is_made_anew(world: World) -> None:
    """Ctrl-C while an app embeds, in a notebook for example, costs the index and no hit."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _, _ = _granted(world, owner)

    def interrupted(_self: HashingEmbedder, _texts: Sequence[str]) -> Vectors:
        raise KeyboardInterrupt

    with (
        patch.object(HashingEmbedder, "embed_documents", interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        _found(app, request)
    assert not any(map(len, app._indexes._kept.values()))
    assert _found(app, request) == {"one fig"}


def _another(world: World, app: App, **options: Any) -> App:
    """Another process of an app."""
    made: App = world.closing(App.load(app._state.path, **world.around(**options)))
    return made


def _files(app: App) -> list[Path]:
    return sorted(app._state.path.with_name(f"{app._state.path.name}.indexes").glob("*"))


def test_the_next_process_embeds_only_the_question(world: World) -> None:
    """Kept indexes serve an app's other processes, sealed, and follow what changed meanwhile."""
    owner = world.owner()
    owner.vault.remember("one fig")
    changed = owner.vault.remember("two figs")
    app, request, _, model = _granted(world, owner)
    first = _another(world, app, embedder=model, keep_indexes=True)
    assert _found(first, request) == {"one fig", "two figs"}
    (kept,) = _files(app)
    assert kept.name == f"{request}.index"
    if os.name == "posix":
        assert kept.stat().st_mode & 0o077 == kept.parent.stat().st_mode & 0o077 == 0
    model.texts.clear()
    second = _another(world, app, embedder=model, keep_indexes=True)
    assert _found(second, request) == {"one fig", "two figs"}
    assert model.texts == ["fig"]
    owner.vault.update(changed.id, content="three figs")
    model.texts.clear()
    third = _another(world, app, embedder=model, keep_indexes=True)
    assert _found(third, request) == {"one fig", "three figs"}
    assert len(model.texts) == 2
    fourth = _another(world, app, embedder=model)
    model.texts.clear()
    assert _found(fourth, request) == {"one fig", "three figs"}
    assert len(model.texts) == 3  # it was not told to keep any, and reads none


def test_unless_told_so_an_app_keeps_nothing_on_the_disk(world: World) -> None:
    """No file of an app has anything of what it embedded."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _, _ = _granted(world, owner)
    _found(app, request)
    assert not _files(app)


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("keeping", [False, True])
def test_what_was_kept_of_a_grant_goes_with_it(
    world: World,
    over: bool,  # noqa: FBT001 - by name
    keeping: bool,  # noqa: FBT001 - by name
) -> None:
    """Whichever process is told that a grant is paused or over removes what another had kept."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, grant, model = _granted(world, owner)
    _found(_another(world, app, embedder=model, keep_indexes=True), request)
    assert _files(app)
    (owner.vault.revoke if over else owner.vault.pause)(grant)
    with pytest.raises(GrantRevokedError if over else GrantPausedError):
        _another(world, app, embedder=model, keep_indexes=keeping).access(request)
    assert not _files(app)


TOLD: dict[str, Callable[[App, Access, str], object]] = {
    "wait": lambda app, _, request: app.wait(request, timeout=0),
    "grant_status": lambda app, _, request: app.grant_status(request),
    "receipt": lambda _, access, __: access.receipt(),
    "remember": lambda _, access, __: access.remember("three figs"),
}


@pytest.mark.parametrize("how", TOLD)
@pytest.mark.parametrize("over", [False, True])
def test_by_whatever_an_app_is_told_it_keeps_nothing(
    world: World,
    how: str,
    over: bool,  # noqa: FBT001 - by name
) -> None:
    """A wait, a look at how the grant stands and a write tell of its end as well as a read."""
    owner = world.owner()
    owner.vault.remember("one fig")
    made, request, grant, model = _granted(world, owner)
    app = _another(world, made, embedder=model, keep_indexes=True)
    access = app.access(request)
    access.search("fig")
    assert app._indexes._kept
    assert _files(app)
    (owner.vault.revoke if over else owner.vault.pause)(grant)
    with suppress(GrantPausedError, GrantRevokedError):
        TOLD[how](app, access, request)
    assert not app._indexes._kept
    assert not _files(app)


TOLD_TASKS: dict[str, Callable[[AsyncApp, AsyncAccess, str], Awaitable[object]]] = {
    "wait": lambda app, _, request: app.wait(request, timeout=0),
    "grant_status": lambda app, _, request: app.grant_status(request),
    "receipt": lambda _, access, __: access.receipt(),
    "remember": lambda _, access, __: access.remember("three figs"),
}


def test_so_it_is_for_asyncio(world: World) -> None:
    """Tasks that are told so let go of it too."""
    owner = world.owner()
    owner.vault.remember("one fig")
    made, request, grant, model = _granted(world, owner)

    async def told(how: str) -> None:
        options = world.around(embedder=model)
        async with AsyncApp.load(made._state.path, keep_indexes=True, **options) as app:
            access = await app.access(request)
            await access.search("fig")
            assert _files(made)
            owner.vault.pause(grant)
            with suppress(GrantPausedError):
                await TOLD_TASKS[how](app, access, request)
            assert not app._indexes._kept
            assert not _files(made)
            owner.vault.resume(grant)

    for how in TOLD_TASKS:
        asyncio.run(told(how))


def test_what_may_not_be_written_costs_no_index(world: World) -> None:
    """A grant that does not include a write gives what it gives: what was embedded of it stays."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, model = world.app(), _Model()
    request = ask(app, owner, scopes={"read"})
    owner.vault.requests()
    owner.vault.approve(request, words=app.words)
    reading = _another(world, app, embedder=model, keep_indexes=True)
    access = reading.access(request)
    access.search("fig")
    with pytest.raises(GrantError, match="does not include"):
        access.remember("two figs")
    assert reading._indexes._kept
    assert _files(app)


def test_of_an_owner_who_is_gone_nothing_is_kept(world: World) -> None:
    """Where an owner has deleted their account, the state of the request tells so too."""
    owner = world.owner()
    owner.vault.remember("one fig")
    made, request, _, model = _granted(world, owner)
    app = _another(world, made, embedder=model, keep_indexes=True)
    _found(app, request)
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    assert app.status(request) == "gone"
    assert not app._indexes._kept
    assert not _files(app)


def test_forgetting_the_log_forgets_what_was_kept(world: World) -> None:
    """After a restored backup a version may be another one: nothing embedded before is used."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _, model = _granted(world, owner)
    _found(_another(world, app, embedder=model, keep_indexes=True), request)
    assert _files(app)
    app.forget_log(request)
    assert not _files(app)


@pytest.mark.parametrize("harm", ["damaged", "another grant's", "unwritable"])
def test_a_kept_index_that_cannot_be_used_costs_no_hit(world: World, harm: str) -> None:
    """It is a cache: damaged, in another's place or nowhere to be written, what it had is found."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, request, _, model = _granted(world, owner)
    _found(_another(world, app, embedder=model, keep_indexes=True), request)
    (kept,) = _files(app)
    if harm == "damaged":
        kept.write_bytes(kept.read_bytes()[:-1])
    elif harm == "another grant's":
        second = _from_another_owner(world, app)
        _found(_another(world, app, embedder=model, keep_indexes=True), second)
        (kept.with_name(f"{second}.index")).replace(kept)
    else:
        kept.unlink()
        kept.parent.rmdir()
        kept.parent.write_bytes(b"")
    for _ in range(2):
        again = _another(world, app, embedder=model, keep_indexes=True)
        model.texts.clear()
        assert _found(again, request) == {"one fig"}
    assert len(model.texts) == (2 if harm == "unwritable" else 1)


def test_so_many_files_are_kept_and_no_more(world: World) -> None:
    """The indexes that were written last stay, as many as there are in memory."""
    owner = world.owner()
    owner.vault.remember("one fig")
    app, first, _, model = _granted(world, owner)
    second = _from_another_owner(world, app)
    for request in (first, second):
        _found(_another(world, app, embedder=model, keep_indexes=True), request)
    assert len(_files(app)) == 2
    owner.vault.remember("three figs")
    with patch("coffret.indexes._MOST_INDEXES", 1):
        _found(_another(world, app, embedder=model, keep_indexes=True), first)
    assert [path.name for path in _files(app)] == [f"{first}.index"]
