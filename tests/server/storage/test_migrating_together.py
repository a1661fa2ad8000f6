"""Several processes that bring one database up to date at the same time."""

import subprocess
import sys

import asyncpg  # type: ignore[import-untyped]
import pytest

from coffret_server.storage.open import migrate

pytestmark = pytest.mark.asyncio
PROCESSES = 4


async def test_of_processes_that_migrate_at_once_none_fails(postgresql: str) -> None:
    """One makes the tables, the others wait for it and find them made."""
    connection = await asyncpg.connect(postgresql)
    await connection.execute("CREATE DATABASE together")
    try:
        url = postgresql.rpartition("/")[0] + "/together"
        command = [sys.executable, "-m", "coffret_server", "migrate", "--database", url]
        started = [
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: ASYNC220, S603 - our own command
            for _ in range(PROCESSES)
        ]
        ended = [(each.communicate(timeout=60)[1], each.returncode) for each in started]
        assert [code for _, code in ended] == [0] * PROCESSES, ended
        assert await migrate(url) is None
    finally:
        await connection.execute("DROP DATABASE together")
        await connection.close()
