"""A real server on loopback for each module, people at it, and a victim of a hostile one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.testing import Server
from harness.cast import gathered
from harness.conversations import CONVERSATIONS
from harness.database import Database
from harness.fixtures import coffret_url, server_clock, world
from harness.memory import folder_in_memory
from harness.stage import Stage
from harness.victim import Victim
from harness.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.cast import People
    from harness.conversing import Scenario

__all__ = ["coffret_url", "server_clock", "stage", "victim", "world"]


@pytest.fixture
def victim(world: World) -> Victim:
    """An owner with two devices, one of which talks to a hostile server."""
    return Victim(world)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A vault for the module whose server writes into its database, and puts it back."""
    with (
        folder_in_memory() as folder,
        Server(f"sqlite:///{folder / 'server.db'}") as server,
        World(server.url, folder) as world,
        patch("coffret.transport._TRIES", 1),
    ):
        database = Database(folder / "server.db")
        yield Stage(world, database)
        database.close()


@pytest.fixture(scope="module")
def people(coffret_url: str) -> Iterator[People]:
    """Everything that recorded conversations are about, made once for the module."""
    with gathered(coffret_url) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(people: People) -> dict[str, Scenario]:
    """Every conversation, held once with the real server; the later ones end what others need."""
    return {name: record(people) for name, record in CONVERSATIONS.items()}


@pytest.fixture(scope="module")
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints what a sweep counted, though pytest keeps what is printed by tests that pass.

    On standard error: where tests are parted among processes, that alone is everybody's.
    """
    capturing = request.config.pluginmanager.getplugin("capturemanager")

    def shown(line: str) -> None:
        with capturing.global_and_fixture_disabled():
            print(f"\n{line}", file=sys.stderr, flush=True)  # noqa: T201 - the count

    return shown
