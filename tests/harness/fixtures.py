"""Fixtures that several rooms share: a real server on loopback for each module, people at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret.testing import Server
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
