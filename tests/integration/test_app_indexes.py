"""What an app has embedded of a grant serves it again, as long as the grant gives it anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import App, AsyncApp
from coffret_vault.errors import GrantPausedError, GrantRevokedError
from harness.world import ask
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    model.texts.clear()
    assert _found(app, request) == {"one fig", "three figs"}
    assert len(model.texts) == 3


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
    second_owner = world.owner()
    second_owner.vault.remember("two figs")
    second = ask(app, second_owner)
    second_owner.vault.requests()
    second_owner.vault.approve(second, words=app.words)
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
    assert not len(app._indexes.of(request))
    assert _found(app, request) == {"one fig"}
