"""A connection that is given back: nothing is left of whoever had it, and nothing is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

import coffret_server
from coffret_server.storage.postgres import PostgresStorage
from server.stand import Clock, serving

if TYPE_CHECKING:
    from coffret_server.storage import Tx

pytestmark = pytest.mark.asyncio
_ADD = "INSERT INTO settings (name, value) VALUES (?, ?)"
_LEFT = (
    "SELECT 'setting ' || name FROM pg_settings WHERE source = 'session'"
    " UNION ALL SELECT 'channel ' || c FROM pg_listening_channels() c"
    " UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable"
    " UNION ALL SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory'"
)
_OUTLIVING = re.compile(
    r'"(?:SET(?! LOCAL)|RESET|LISTEN|DECLARE|PREPARE|CREATE TEMP\w*) '
    r"|set_config|pg_(?:try_)?advisory_lock"
)
_LAST = "SELECT query, state FROM pg_stat_activity WHERE pid = $1"


async def _last_asked(url: str, pid: int) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(_LAST, pid)]
    finally:
        await connection.close()


async def test_behind_its_commit_a_change_asks_the_database_for_nothing(postgresql: str) -> None:
    """One more question behind each change would be one more way to the database and back."""
    storage = await PostgresStorage.open(postgresql)
    try:
        (pid,) = await storage.one("SELECT pg_backend_pid()") or ()  # of its only connection
        await storage.submit(lambda tx: tx.run(_ADD, "given-back", b"1"))
        await storage.submit(lambda tx: tx.run("DELETE FROM settings WHERE name = ?", "given-back"))
        assert await _last_asked(postgresql, pid) == [("COMMIT;", "idle")]
    finally:
        await storage.close()


async def test_what_is_given_up_is_taken_back_before_another_has_its_connection(
    postgresql: str,
) -> None:
    """A caller who is gone in the midst of a change leaves no row and no transaction."""
    storage = await PostgresStorage.open(postgresql)
    reached = asyncio.Event()

    async def change(tx: Tx) -> None:
        await tx.run(_ADD, "given-up", b"1")
        reached.set()
        await asyncio.Event().wait()

    try:
        gone = asyncio.create_task(storage.submit(change))
        await reached.wait()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        assert await storage.one("SELECT 1 FROM settings WHERE name = ?", "given-up") is None
        assert await storage.one("SELECT pg_current_xact_id_if_assigned() IS NULL") == (True,)
    finally:
        await storage.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_no_call_leaves_anything_with_its_connection(database: str, clock: Clock) -> None:
    """No setting, channel, cursor or lock of a session, which the next to have it would find."""
    async with serving(database, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        assert (await stand.append(owner, owner.put(owner.memory()))).status_code == 200
        grant = await stand.grant(owner, app)
        written = app.put(owner.account, app.memory(owner.account, grant))
        assert (await stand.write(app, grant, written, owner)).status_code == 201
        assert await stand.app.state.services.storage.one(_LEFT) is None
        await stand.sync(owner)
        assert await stand.app.state.services.storage.one(_LEFT) is None


async def test_no_statement_of_the_server_outlives_its_transaction() -> None:
    """Nothing takes such things back: so nothing in the source may begin them."""
    found = {
        (path.name, match.group())
        for path in Path(coffret_server.__file__).parent.rglob("*.py")
        for match in _OUTLIVING.finditer(path.read_text("utf-8"))
    }
    assert not found
    assert all(map(_OUTLIVING.search, ('"SET x = 1"', '"LISTEN x"', "pg_advisory_lock(1)")))
