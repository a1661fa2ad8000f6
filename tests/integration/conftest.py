"""A real server on loopback for each module, and people at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.faces import FACES
from harness.fixtures import coffret_url, server_clock, world
from harness.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["coffret_url", "either", "server_clock", "world"]


@pytest.fixture(params=["sync", "async"])
def either(request: pytest.FixtureRequest, coffret_url: str, tmp_path: Path) -> Iterator[World]:
    """People who use the synchronous SDK, and then the asynchronous one."""
    with World(coffret_url, tmp_path, FACES[request.param]()) as made:
        yield made
