"""A developer sees to the API keys of an app, from Python and from the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli
from coffret import Developer
from coffret_vault.errors import (
    CredentialsError,
    ForbiddenError,
    GrantError,
    InputError,
    NotFoundError,
    StoreFullError,
)
from harness.world import ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World


def test_keys_are_made_limited_and_taken_back(world: World) -> None:
    """An app with a key for reading reads and does no more; a key taken back gives nothing."""
    owner = world.owner()
    owner.vault.remember("one")
    developer_key = world.face.register_developer(world.url, "Dev", "dev@example.org")
    path = world.folder / "app.json"
    around = world.around()
    app = world.closing(
        world.face.register_app(
            world.url, developer_key, "Planner", "https://planner.example", path, **around
        )
    )
    _, access = world.granted(owner, app)
    app_id = app.info.app_id
    with Developer(world.url, developer_key) as developer:
        made = developer.new_api_key(app_id, scopes={"read"}, lasts=timedelta(days=1))
        assert made.api_key not in repr(made)
        first, second = developer.api_keys(app_id)
        assert (second.key_id, second.scopes) == (made.key_id, ("read",))
        assert second.expires is not None
        assert (first.expires, second.last_used) == (None, None)
        app.use_api_key(made.api_key)
        assert len(access.memories()) == 1
        with pytest.raises(GrantError):
            access.remember("more than the key is good for")
        with pytest.raises(ForbiddenError):
            ask(app, owner)
        developer.revoke_api_key(app_id, made.key_id)
        with pytest.raises(CredentialsError):
            access.memories()
        with pytest.raises(NotFoundError):
            developer.revoke_api_key(app_id, made.key_id)
        with pytest.raises(InputError):
            developer.new_api_key(app_id, scopes={"admin"})
        with pytest.raises(InputError):
            app.use_api_key("two\nlines")


def test_another_developer_reaches_no_key(world: World) -> None:
    """To them the app does not exist."""
    app = world.app()
    stranger = world.face.register_developer(world.url, "Eve", "eve@example.org")
    with Developer(world.url, stranger) as developer, pytest.raises(NotFoundError):
        developer.api_keys(app.info.app_id)


def test_keys_on_the_command_line(tmp_path: Path, coffret_url: str) -> None:
    """New, put to use, listed, taken back; the app's file has the new one then."""
    cli = Cli(tmp_path / "app")
    kept = tmp_path / "developer.key"
    who = ("--name", "Dev", "--contact", "dev@example.org")
    cli("app", "register-developer", "--server", coffret_url, *who, "--key-file", str(kept))
    what = ("--name", "Planner", "--homepage", "https://planner.example")
    with_key = ("--key-file", str(kept))
    cli("app", "register", "--server", coffret_url, *what, *with_key)
    limits = ("--scope", "request", "--days", "30", "--use")
    made = cli("app", "keys", "new", *limits, *with_key, "--json").data()
    assert set(made) == {"key_id"}
    listed = cli("app", "keys", "list", *with_key, "--json").data()
    assert [item["scopes"] for item in listed][1] == ["request"]
    assert made["key_id"] in cli("app", "keys", "list", *with_key).out
    shown = cli("app", "keys", "new", *with_key, "--json").data()
    assert shown["api_key"].startswith("cfa_")
    cli("app", "keys", "revoke", made["key_id"][-8:], *with_key)
    assert len(cli("app", "keys", "list", *with_key, "--json").data()) == 2
    cli("app", "request", "nobody", "--purpose", "x", "--scope", "read", "--everything", code=4)


def test_a_key_that_cannot_be_kept_is_shown(
    tmp_path: Path, coffret_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that its server gives once is not lost with the file that it was to go to."""
    cli = Cli(tmp_path / "app")
    kept, nowhere = tmp_path / "developer.key", ("--key-file", str(tmp_path / "nowhere"))
    who = ("--name", "Dev", "--contact", "dev@example.org", "--server", coffret_url)
    cli("app", "register-developer", *who, "--key-file", str(kept))
    what = ("--name", "Planner", "--homepage", "https://planner.example")
    with_key = ("--key-file", str(kept))
    cli("app", "register", "--server", coffret_url, *what, *with_key)
    for command in ("developing", "keys"):
        monkeypatch.setattr(f"coffret.cli.commands.{command}.write_private", _full)
    ran = cli("app", "register-developer", *who, *nowhere, "--json")
    assert ran.error()["code"] == StoreFullError.code
    assert ran.data()["developer_key"].startswith("cfd_")
    made = cli("app", "keys", "new", "--output", nowhere[1], *with_key)
    assert "API key, shown once: cfa_" in made.out
    assert made.err


def _full(*_: object, **_named: object) -> None:
    raise StoreFullError
