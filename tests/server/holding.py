"""What an account has to wait for: rows that somebody holds, on PostgreSQL alone, and its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]

from server import forge
from server.stand import Stand

SECONDS = 20.0
"""In which everything here is done many times over, unless it waits for what is held."""
WAITING = (
    "SELECT COUNT(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@asynccontextmanager
async def held(stand: Stand, owner: forge.Owner, *tables: str) -> AsyncIterator[None]:
    """Somebody holds an account's rows of these tables, and goes on for as long as the block."""
    connection = await asyncpg.connect(stand.database)
    try:
        async with connection.transaction(), asyncio.timeout(SECONDS):
            for table in tables:
                query = f"SELECT 1 FROM {table} WHERE account_id = $1 FOR UPDATE"  # noqa: S608 - our own names
                await connection.execute(query, owner.account.bytes)
            yield
    finally:
        await connection.close()


async def waiting(stand: Stand, least: int) -> None:
    """Go on when so many connections wait for a row."""
    connection = await asyncpg.connect(stand.database)
    while await connection.fetchval(WAITING) < least:  # noqa: ASYNC110 - it is the database that waits
        await asyncio.sleep(0.01)
    await connection.close()


async def in_line(stand: Stand, owner: forge.Owner, least: int) -> None:
    """Go on when so many calls of an owner wait for their turn."""
    line = stand.app.state.limits.turns._lines["owner", owner.account.bytes]
    async with asyncio.timeout(SECONDS):
        while line.waiting < least:  # noqa: ASYNC110 - of other tasks
            await asyncio.sleep(0.01)
