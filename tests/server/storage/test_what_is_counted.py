"""The migration that counts what grants say and hold to the bytes of an account."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from coffret_server.storage.open import migrate
from server.stand import Clock, serving
from server.storage.going_back import go_back
from server.test_waiting import usage

pytestmark = pytest.mark.asyncio
BESIDE = "SELECT bytes - (SELECT SUM(LENGTH(record)) FROM entries) FROM logs"


async def _beside_records(database: str) -> int:
    """Bytes that are counted of the only account and are of no record."""
    address = database.replace("sqlite:", "sqlite+aiosqlite:").replace("ql:", "ql+asyncpg:")
    engine = create_async_engine(address)
    async with engine.connect() as connection:
        found = (await connection.execute(text(BESIDE))).scalar_one()
    await engine.dispose()
    return int(found)


async def test_what_grants_take_up_is_counted_of_what_is_there(database: str, clock: Clock) -> None:
    """It is as much as if it had been counted from the beginning."""
    async with serving(database, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        grants = [await stand.grant(owner, app) for _ in range(2)]
        memories = [await stand.remember(owner) for _ in range(3)]
        await stand.share(owner, grants[0], *memories)
        await stand.share(owner, grants[1], memories[0])
        expected = await usage(stand, owner)
    counted = await _beside_records(database)
    assert counted > 4 * 250 + 2 * 1_168
    await go_back(database, "0014")
    assert await _beside_records(database) == 0
    await migrate(database)
    assert await _beside_records(database) == counted
    async with serving(database, clock) as stand:
        await stand.log_in(owner)
        assert await usage(stand, owner) == expected
