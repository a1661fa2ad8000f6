"""A real server on loopback for each module, people at it, and a victim of a hostile one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.testing import Server
from harness.database import Database
from harness.stage import Stage
from harness.victim import Victim
from harness.world import Clock, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server_clock() -> Clock:
    """The server's clock; a test that moves it moves it back."""
    return Clock()


@pytest.fixture(scope="module")
def coffret_url(server_clock: Clock) -> Iterator[str]:
    """The address of a server that lives as long as the module's tests."""
    with Server(clock=server_clock.now) as server:
        yield server.url


@pytest.fixture
def world(coffret_url: str, tmp_path: Path) -> Iterator[World]:
    """People who use the synchronous SDK."""
    with World(coffret_url, tmp_path) as made:
        yield made


@pytest.fixture
def victim(world: World) -> Victim:
    """An owner with two devices, one of which talks to a hostile server."""
    return Victim(world)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A vault for the module whose server writes into its database, and puts it back."""
    folder = tmp_path_factory.mktemp("stage")
    with (
        Server(f"sqlite:///{folder / 'server.db'}") as server,
        World(server.url, folder) as world,
        patch("coffret.transport._TRIES", 1),
    ):
        database = Database(folder / "server.db")
        yield Stage(world, database)
        database.close()
