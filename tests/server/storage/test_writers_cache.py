"""How much of SQLite's pages its one writer keeps."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from server.stand import Stand

pytestmark = pytest.mark.asyncio
MANY = 8


async def test_a_change_of_all_records_has_room_and_others_have_less(sqlite_stand: Stand) -> None:
    """The one connection that writes keeps eight times as much as each of the many that read.

    A key change rewrites every record while all other writers wait: in a small cache it would
    write pages to the disk and read them again meanwhile. However many write, there is one of it.
    """
    storage: Any = sqlite_stand.app.state.services.storage

    async def of(kind: Any) -> int:
        async with kind() as session:
            found = await session.scalar(text("PRAGMA cache_size"))
            await asyncio.sleep(0.01)
            return int(found)

    assert set(await asyncio.gather(*(of(storage.write) for _ in range(MANY)))) == {-65_536}
    assert storage._write_engine.pool.checkedin() == 1
    assert await of(storage.read) == -8_192
