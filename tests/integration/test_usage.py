"""What an account takes up at its server, and what is said when it may have no more."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli
from coffret import AsyncVault, Vault
from coffret.testing import Server, cheap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose database a test can change."""
    with Server(f"sqlite:///{tmp_path / 'server.db'}") as running:
        yield running


def _allow(tmp_path: Path, memories: int) -> None:
    with closing(sqlite3.connect(tmp_path / "server.db")) as database, database:
        database.execute("UPDATE logs SET quota_memories = ?", (memories,))


def test_usage_is_what_was_written(server: Server, tmp_path: Path) -> None:
    """Memories and bytes grow with what is written, and less by what is forgotten; twins agree."""
    vault, _ = Vault.create(server.url, "ana", "pw", tmp_path / "vault", ambient=cheap())
    with vault:
        assert (vault.usage().memories, vault.usage().bytes) == (0, 0)
        first, _ = vault.remember("x" * 5_000), vault.remember("y")
        full = vault.usage()
        assert (full.memories, full.bytes > 5_000) == (2, True)
        assert full.quota_memories > 2
        vault.forget(first.id)
        assert (vault.usage().memories, vault.usage().bytes < 5_000) == (1, True)

    async def again() -> None:
        vault, _ = await AsyncVault.create(
            server.url, "bea", "pw", tmp_path / "other", ambient=cheap()
        )
        async with vault:
            await vault.remember("z")
            assert (await vault.usage()).memories == 1

    asyncio.run(again())


def test_a_full_vault_says_so_and_what_helps(server: Server, tmp_path: Path) -> None:
    """The error has a hint, the doctor and the status show how full it is, and forgetting helps."""
    cli = Cli(tmp_path / "home")
    cli.init(server.url, "ana")
    made = cli("remember", "first", "--json").data()["id"]
    assert "usage" not in cli("status", "--json").data()
    told = cli("status", "--usage").out
    assert "At the server:   1 of 1,000,000 memories, " in told
    assert " of 20.0 GiB" in told
    _allow(tmp_path, 1)
    full = cli("remember", "second", code=11)
    assert full.err.startswith("coffret: The account has reached its quota. Its owner sees how")
    cli.process("unlock")
    assert "nearly full: 1 of 1 memories" in cli("doctor", code=1).out
    assert cli("status", "--usage", "--json").data()["usage"]["quota_memories"] == 1
    cli("forget", made, "--yes")
    cli("remember", "second")
    _allow(tmp_path, 100)
    assert "1 of 100 memories" in cli("doctor").out
    cli.process("lock")
