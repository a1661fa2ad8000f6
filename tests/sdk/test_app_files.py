"""Several processes of one app, with one file: none takes anything from the others."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import App
from coffret.flows import files
from coffret.flows.appstate import Asked, load_app
from coffret_vault.errors import OwnerKeyChangedError, StoreDamagedError, StoreError
from harness.world import ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World

NONE = Asked(b"", b"", b"")


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
    kept = load_app(app._state.path)
    assert kept.api_key == key
    assert set(kept.asked) == {request, other}
    assert set(kept.owners) == {first.username, second.username}
    assert service.access(request).scopes
    assert tool.status(other) == "pending"


def test_an_owner_whom_another_process_met_has_no_other_keys(world: World) -> None:
    """What one process pins, one that began before it goes by."""
    owner = world.owner()
    app = world.app()
    service = another(world, app)
    app._state.keep_owner(owner.username, bytes(32))
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


def test_many_at_once_lose_nothing(world: World) -> None:
    """Of a hundred changes by five processes at the same time each is there."""
    app = world.app()
    processes = [another(world, app)._state for _ in range(5)]

    def work(number: int) -> None:
        for turn in range(20):
            processes[number].keep(bytes([number]) * 15 + bytes([turn]), NONE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_app(app._state.path).asked) == 100


def test_what_is_damaged_is_not_written_over(world: World) -> None:
    """A file that cannot be read may hold keys that are nowhere else: it stays as it is."""
    app = world.app()
    path: Path = app._state.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreDamagedError):
        app._state.keep_owner("ana", bytes(32))
    assert path.read_bytes() == whole[:-1]
    path.unlink()
    app._state.keep_owner("ana", bytes(32))
    assert load_app(path).seeds == app._state.file.seeds


def test_a_file_that_is_held_too_long_is_said(world: World) -> None:
    """A process that does not let go is waited for, and not for ever; what is there stays."""
    app = world.app()
    path: Path = app._state.path
    with files.held(path), patch.object(files, "_PATIENCE", 0.01), pytest.raises(StoreError):
        app._state.keep_owner("ana", bytes(32))
    assert load_app(path).owners == {}
    if os.name == "posix":
        modes = {stat.S_IMODE(item.stat().st_mode) for item in path.parent.glob(".*.lock")}
        assert modes == {0o600}
