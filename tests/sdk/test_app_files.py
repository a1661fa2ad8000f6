"""Several processes of one app, with one file: none takes anything from the others."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret import App
from coffret.flows import files
from coffret.flows.appstate import load_app
from coffret.flows.ownersfile import Met
from coffret_vault.errors import OwnerKeyChangedError, StoreDamagedError, StoreError
from harness.world import ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World


def another(world: World, app: App) -> App:
    """Another process of the app."""
    found: App = world.closing(App.load(app._state.path, **world.around()))
    return found


def test_what_one_process_keeps_no_other_one_forgets(world: World) -> None:
    """A new API key, requests and owners that a second process wrote outlast the first one's."""
    first, second = world.owner(), world.owner()
    app = world.app()
    service, tool = another(world, app), another(world, app)
    request = ask(tool, second)
    tool._state.use_api_key(key := load_app(app._state.path).api_key)
    second.vault.requests(None)
    second.vault.approve(request, words=app.words)
    other = ask(service, first)
    assert load_app(app._state.path).api_key == key
    assert service.requests() == tool.requests() == sorted((request, other))
    kept = service._state.owners
    assert kept.met(first.username)
    assert kept.met(second.username)
    assert service.access(request).scopes
    assert tool.status(other) == "pending"


def test_an_owner_whom_another_process_met_has_no_other_keys(world: World) -> None:
    """What one process pins, one that began before it goes by."""
    owner = world.owner()
    app = world.app()
    service = another(world, app)
    app._state.owners.meet(owner.username, Met(bytes(16), bytes(32)))
    with pytest.raises(OwnerKeyChangedError):
        ask(service, owner)


def test_another_process_s_api_key_is_used(world: World) -> None:
    """A process that has to take a token again does so with the key that is kept now."""
    app = world.app()
    service, good = another(world, app), load_app(app._state.path).api_key
    service._state.use_api_key("cfa_old")
    app._state.use_api_key(good)
    assert service.requests() == []
    request = ask(service, world.owner())
    assert service.status(request) == "pending"


def test_what_is_damaged_is_not_written_over(world: World) -> None:
    """A file that cannot be read may hold keys that are nowhere else: it stays as it is."""
    app = world.app()
    path: Path = app._state.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreDamagedError):
        app.use_api_key("cfa_other")
    assert path.read_bytes() == whole[:-1]
    path.unlink()
    app.use_api_key("cfa_other")
    assert load_app(path).seeds == app._state.file.seeds


def test_a_file_that_is_held_too_long_is_said(world: World) -> None:
    """A process that does not let go is waited for, and not for ever; what is there stays."""
    app = world.app()
    path: Path = app._state.path
    before = path.read_bytes()
    with files.held(path), patch.object(files, "_PATIENCE", 0.01), pytest.raises(StoreError):
        app.use_api_key("cfa_other")
    assert path.read_bytes() == before
    if os.name == "posix":
        modes = {stat.S_IMODE(item.stat().st_mode) for item in path.parent.glob(".*.lock")}
        assert modes == {0o600}


def test_a_file_of_another_version_is_not_read_in_part(world: World) -> None:
    """One that has more in it than we know says so: what it says there would be passed over."""
    app = world.app()
    path: Path = app._state.path
    older = msgspec.json.decode(path.read_bytes()) | {"asked": {}, "owners": {"ana": "AAAA"}}
    path.write_bytes(msgspec.json.encode(older))
    with pytest.raises(StoreDamagedError) as caught:
        App.load(path)
    assert "another version" in caught.value.hint


def test_keys_without_what_is_known_of_owners_are_no_app(world: World) -> None:
    """Where only the keys were restored, no owner is met anew by what a server shows."""
    app = world.app()
    ask(app, owner := world.owner())
    beside: Path = app._state.owners.path
    kept = beside.read_bytes()
    beside.unlink()
    with pytest.raises(StoreDamagedError):
        another(world, app)
    with pytest.raises(StoreDamagedError):
        ask(app, owner)
    beside.write_bytes(kept)
    assert another(world, app).requests() == app.requests()
