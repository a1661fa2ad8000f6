"""Arguments of another kind than a call takes: an error that says so, and never one of Python's."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from coffret import App, Vault
from coffret_vault.errors import InputError, NotFoundError, StoreDamagedError, StoreError
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from harness.world import World

_NO_TEXTS = [None, 7, b"x", ["x"]]


@pytest.mark.parametrize("wrong", _NO_TEXTS, ids=str)
def test_a_vault_takes_texts(world: World, wrong: Any) -> None:
    """What is no text is no id, no question, no name, no address and no passphrase."""
    owner = world.owner()
    vault = owner.vault
    for call in (
        vault.get,
        vault.search,
        vault.remember,
        vault.history,
        vault.forget,
        vault.accept,
        vault.reject,
        vault.approve,
        vault.pause,
        vault.end_session,
    ):
        with pytest.raises(InputError):
            call(wrong)
    for url, name, passphrase in (
        (wrong, "somebody", PASSPHRASE),
        (world.url, wrong, PASSPHRASE),
        (world.url, "somebody", wrong),
    ):
        with pytest.raises(InputError):
            Vault.create(url, name, passphrase, world.place(), **world.around())
    vault.lock()
    with pytest.raises(InputError):
        vault.unlock(wrong, owner.secret_key)


@pytest.mark.parametrize("wrong", _NO_TEXTS, ids=str)
def test_an_app_takes_texts(world: World, wrong: Any) -> None:
    """Requests, memories, questions, names and purposes are texts for apps as well."""
    owner, app = world.owner(), world.app()
    request = ask(app, owner)
    owner.vault.requests()
    owner.vault.approve(request, words=app.words)
    access = app.access(request)
    calls = (app.status, app.access, app.wait, access.get, access.search, access.forget)
    for call in calls:
        with pytest.raises(InputError):
            call(wrong)
    for asking in ({"purpose": wrong}, {"retention": wrong or 7}):
        with pytest.raises(InputError):
            ask(app, owner, **asking)
    with pytest.raises(InputError):
        app.request_access(
            wrong, scopes={"read"}, purpose="x", everything=True, duration=timedelta(days=1)
        )
    for name, homepage in ((wrong, "https://bot.example"), ("Bot", wrong)):
        with pytest.raises(InputError):
            App.register(world.url, "key", name, homepage, world.place(), **world.around())


def test_an_id_may_be_a_uuid(world: World) -> None:
    """What names a memory or a request is known as a text, in any case, and as an object."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("figs")
    request = ask(app, owner)
    owner.vault.requests()
    asked: Any = UUID(request)
    owner.vault.approve(asked, words=app.words)
    names: list[Any] = [memory.id, memory.id.upper(), UUID(memory.id)]
    for given in names:
        assert owner.vault.get(given).id == memory.id
        assert app.access(asked).get(given).id == memory.id


def test_who_is_asked_has_to_be_there(world: World) -> None:
    """A day is no moment, and an owner who is not at this server is named as what is missing."""
    owner, app = world.owner(), world.app()
    with pytest.raises(InputError, match="since"):
        ask(app, owner, since=date(2024, 1, 1))
    owner.username = "nobody-here"
    with pytest.raises(NotFoundError, match="username"):
        ask(app, owner)


def test_no_session_has_such_an_id(world: World) -> None:
    """A text that is no id names no session."""
    with pytest.raises(NotFoundError):
        world.owner().vault.end_session("phone")


def test_half_a_character_is_said_to_be_in_the_text(world: World) -> None:
    """A text that no encoding has is refused without a word about other fields alone."""
    with pytest.raises(InputError, match="content or metadata"):
        world.owner().vault.remember("\ud800")


def test_a_vault_that_was_closed_is_not_damaged(world: World) -> None:
    """Whoever uses a closed vault is told that it is closed, not to throw its store away."""
    owner = world.owner()
    owner.vault.close()
    with pytest.raises(StoreError, match="closed") as caught:
        owner.vault.remember("figs")
    assert not isinstance(caught.value, StoreDamagedError)
