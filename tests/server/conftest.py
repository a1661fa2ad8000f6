"""Fixtures: a clock, both engines, and a server on each."""

import shutil
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with our tables and nothing in them."""
    path = tmp_path_factory.mktemp("template") / "coffret.db"
    command = [sys.executable, "-m", "coffret_server", "migrate"]
    subprocess.run([*command, "--database", f"sqlite:///{path}"], check=True, timeout=60)  # noqa: S603 - our own command
    return path


@pytest.fixture
def sqlite_url(template: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite database."""
    shutil.copy(template, tmp_path / "coffret.db")
    return f"sqlite:///{tmp_path / 'coffret.db'}"


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each engine."""
    if request.param == "sqlite":
        found: str = request.getfixturevalue("sqlite_url")
        return found
    url: str = request.getfixturevalue("postgresql")
    await _empty(url)
    return url


@pytest_asyncio.fixture
async def stand(database: str, clock: Clock) -> AsyncIterator[Stand]:
    """A server on each engine."""
    async with serving(database, clock) as found:
        yield found


@pytest_asyncio.fixture
async def sqlite_stand(sqlite_url: str, clock: Clock) -> AsyncIterator[Stand]:
    """A server on SQLite, for what does not depend on the engine."""
    async with serving(sqlite_url, clock) as found:
        yield found
