"""A real server on loopback for each module, and people at it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import Cli
from coffret.testing import Server
from harness.faces import FACES
from harness.fixtures import coffret_url, server_clock, world
from harness.world import World
from integration.losing import Refusing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.world import Owner

__all__ = ["coffret_url", "either", "server_clock", "world"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server for the command lines of a module."""
    with Server() as server:
        yield server.url


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A person's command line, without a vault."""
    return Cli(tmp_path / "home")


@pytest.fixture
def one_try() -> Iterator[None]:
    """The network is tried once, so that one lost answer is an error."""
    with patch("coffret.transport._TRIES", 1):
        yield


@pytest.fixture
def network() -> Refusing:
    """A network that can go away."""
    return Refusing()


@pytest.fixture
def owner(world: World, network: Refusing) -> Owner:
    """An owner behind that network."""
    made: Owner = world.owner(transport=network)
    return made


@pytest.fixture(params=["sync", "async"])
def either(request: pytest.FixtureRequest, coffret_url: str, tmp_path: Path) -> Iterator[World]:
    """People who use the synchronous SDK, and then the asynchronous one."""
    with World(coffret_url, tmp_path, FACES[request.param]()) as made:
        yield made
