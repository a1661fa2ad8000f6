"""A developer ends an app and is forgotten, from Python and from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret import Developer
from coffret_vault.errors import ConflictError, CredentialsError, NotFoundError, SessionError

if TYPE_CHECKING:
    from cli_harness import Cli
    from harness.world import World


def test_an_app_is_ended(world: World) -> None:
    """It can do nothing more; its owner sees and revokes what it had; its developer goes last."""
    owner = world.owner()
    key = world.face.register_developer(world.url, "Dev", "dev@example.org")
    place = world.folder / "ending.json"
    around = world.around()
    app = world.closing(
        world.face.register_app(
            world.url, key, "Planner", "https://planner.example", place, **around
        )
    )
    grant, access = world.granted(owner, app)
    with Developer(world.url, key) as developer:
        with pytest.raises(ConflictError):
            developer.delete_developer()
        developer.delete_app(app.info.app_id)
        with pytest.raises(NotFoundError):
            developer.delete_app(app.info.app_id)
        developer.delete_developer()
        with pytest.raises(SessionError):
            developer.delete_developer()
    with pytest.raises(CredentialsError):
        access.memories()
    owner.vault.sync()
    assert owner.vault.grant(grant).app.name == "Planner"
    owner.vault.revoke(grant)


def test_the_command_line_ends_an_app(cli: Cli, url: str) -> None:
    """Its name is typed, or --yes said; another name ends nothing."""
    key = cli.home / "developer"
    cli(
        *("app", "register-developer", "--name", "Dev", "--contact", "dev@example.org"),
        *("--server", url, "--key-file", str(key)),
    )
    words = "--name", "Planner", "--homepage", "https://planner.example"
    cli("app", "register", *words, "--server", url, "--key-file", str(key))
    cli("app", "delete", "--key-file", str(key), code=2)
    assert "Planner" in cli("app", "info").out
    busy = "app", "delete-developer", "--yes", "--server", url, "--key-file", str(key)
    cli(*busy, code=7)
    ended = cli("app", "delete", "--yes", "--key-file", str(key), "--json").data()
    assert ended["deleted"]
    cli("app", "keys", "list", "--key-file", str(key), code=6)
    cli(*busy)
    cli(*busy, code=4)
