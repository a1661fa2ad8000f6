"""What somebody does first, done twice or done wrong: nothing that was made is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

import coffret
from coffret import App, AsyncApp, AsyncVault, Vault, register_developer
from coffret.testing import cheap
from coffret_vault.errors import CoffretError, ConflictError, InputError
from coffret_vault.formats.codes import SECRET_KEY, write_code

if TYPE_CHECKING:
    from pathlib import Path

    from coffret.shelf import Asking

HOME = "https://app.example"


def test_an_app_that_is_registered_again_keeps_its_keys(url: str, tmp_path: Path) -> None:
    """A file that is there is not written over, and no other app is registered."""
    key, path = register_developer(url, "Dev", "dev@app.example"), tmp_path / "app.json"
    with App.register(url, key, "First", HOME, path) as app:
        words, before = app.words, path.read_bytes()
    with pytest.raises(ConflictError, match=r"app\.json"):
        App.register(url, key, "Second", HOME, path)
    with pytest.raises(ConflictError, match=r"app\.json"):
        asyncio.run(AsyncApp.register(url, key, "Second", HOME, path))
    assert path.read_bytes() == before
    with App.load(path) as app:
        assert app.words == words


@pytest.mark.parametrize("empty", ["", " \t"])
def test_a_vault_has_a_passphrase(url: str, tmp_path: Path, empty: str) -> None:
    """A blank one is refused by whatever sets one, and changes nothing."""
    name = f"nobody{len(empty)}"
    with pytest.raises(InputError, match="empty"):
        Vault.create(url, name, empty, tmp_path / "none", ambient=cheap())
    with pytest.raises(InputError, match="empty"):
        asyncio.run(AsyncVault.create(url, name, empty, tmp_path / "none", ambient=cheap()))
    vault, kit = Vault.create(url, name, "right", tmp_path / "vault", ambient=cheap())
    with vault:
        with pytest.raises(InputError, match="empty"):
            vault.change_passphrase("right", empty, kit.secret_key_code())
        with pytest.raises(InputError, match="empty"):
            vault.change_keys(empty, lambda _kit: pytest.fail("a kit is given out"))
        vault.lock()
        vault.unlock("right", kit.secret_key_code())
        vault.remember("all the same")


def test_what_could_not_be_made_leaves_nothing(url: str, tmp_path: Path) -> None:
    """After a wrong username, address or secret no file is there, and it can be put right."""
    folder, code = tmp_path / "vault", write_code(SECRET_KEY, bytes(20))
    nowhere = "http://127.0.0.1:9"
    for make in (
        lambda: Vault.create(url, "WRONG", "pw", folder, ambient=cheap()),
        lambda: Vault.create(nowhere, "ana", "pw", folder, ambient=cheap()),
        lambda: Vault.login(url, "nobody-here", "pw", code, folder, ambient=cheap()),
        lambda: asyncio.run(AsyncVault.create(url, "WRONG", "pw", folder, ambient=cheap())),
        lambda: asyncio.run(AsyncVault.login(nowhere, "a", "pw", code, folder, ambient=cheap())),
    ):
        with pytest.raises(CoffretError):
            make()
        assert list(folder.iterdir()) == []
    vault, _ = Vault.create(url, "made-after-all", "pw", folder, ambient=cheap())
    vault.close()
    with pytest.raises(ConflictError, match="already"):
        Vault.create(url, "another-one", "pw", folder, ambient=cheap())


def test_what_is_asked_wrongly_is_named(url: str, tmp_path: Path) -> None:
    """An argument that is missing, unknown or of another kind is refused, and nothing is sent."""
    key = register_developer(url, "Dev", "dev@app.example")
    asked = {"scopes": {"read"}, "purpose": "x", "duration": timedelta(days=1), "everything": True}
    with App.register(url, key, "First", HOME, tmp_path / "app.json") as app:
        for name in ("scopes", "purpose", "duration"):
            fewer = {other: value for other, value in asked.items() if other != name}
            with pytest.raises(TypeError, match=name):
                app.request_access("nobody", **cast("Asking", fewer))
        with pytest.raises(TypeError, match="tag"):
            app.request_access("nobody", **cast("Asking", asked | {"tag": {"travel"}}))
        with pytest.raises(InputError, match="timedelta"):
            app.request_access("nobody", **cast("Asking", asked | {"duration": 30}))
        assert list(app.requests()) == []


def test_the_public_names_can_be_listed() -> None:
    """Completion in an editor or a shell finds them, though none is loaded before it is used."""
    assert {"App", "AsyncApp", "AsyncVault", "Vault"} <= set(dir(coffret))
