"""Fixtures: a clock, both engines, and a server on each."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from coffret_server.schema import Base
from server import postgres
from server.stand import Clock, Stand, serving


@pytest.fixture
def clock() -> Clock:
    """A clock that a test sets."""
    return Clock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL with our tables; the URL."""
    with postgres.running() as url:
        command = [sys.executable, "-m", "coffret_server", "migrate", "--database", url]
        subprocess.run(command, check=True, timeout=60)  # noqa: S603 - our own command
        yield url


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url)
    names = ", ".join(f'"{name}"' for name in Base.metadata.tables)
    await connection.execute(f"TRUNCATE {names}")
    await connection.close()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'coffret.db'}"
    url: str = request.getfixturevalue("postgresql")
    await _empty(url)
    return url


@pytest_asyncio.fixture
async def stand(database: str, clock: Clock) -> AsyncIterator[Stand]:
    """A server on each engine."""
    async with serving(database, clock) as found:
        yield found


@pytest_asyncio.fixture
async def sqlite_stand(tmp_path: Path, clock: Clock) -> AsyncIterator[Stand]:
    """A server on SQLite, for what does not depend on the engine."""
    async with serving(f"sqlite:///{tmp_path / 'coffret.db'}", clock) as found:
        yield found
