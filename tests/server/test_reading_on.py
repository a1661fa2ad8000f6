"""A database that takes no change, as on a full disk, and whoever only reads."""

import sqlite3
from contextlib import closing

import pytest

from server.stand import Clock, Stand, code, serving

pytestmark = pytest.mark.asyncio
LONG = 3_600
"""Seconds after which it is noted anew when a session was seen, and a grant was read."""


@pytest.mark.attack(61)
async def test_who_reads_needs_no_database_that_takes_changes(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices and apps read on, and apps get tokens; what would be noted of it is, afterwards.

    Somebody else holds the database's only writer here, as a full disk would, and for good.
    """
    monkeypatch.setattr("coffret_server.storage.sqlite.BUSY_SECONDS", 0.0)
    async with serving(sqlite_url, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        grant, memory = await stand.grant(owner, app), await stand.remember(owner)
        await stand.share(owner, grant, memory)
        clock.advance(LONG)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await stand.take_token(app)).status_code == 200
            await stand.authorize(app)
            assert (await stand.get(f"/grants/{grant}/records", app.token)).status_code == 200
            assert len((await stand.sync(owner))[2]) == owner.tree.size
            late = owner.put(owner.memory())
            assert code(await stand.append(owner, late)) == (503, "unavailable")
            other.rollback()
        assert await _noted(stand, owner.token, str(grant)) == (False, False)
        clock.advance(LONG // 2)
        await stand.authorize(app)
        assert (await stand.get(f"/grants/{grant}/records", app.token)).status_code == 200
        assert await _noted(stand, owner.token, str(grant)) == (True, True)


async def _noted(stand: Stand, token: str, grant: str) -> tuple[bool, bool]:
    """Whether it is known that the owner's session was seen now, and that the grant was read."""
    seen = [row["last_seen"] for row in (await stand.get("/auth/sessions", token)).json()]
    read = (await stand.get(f"/grants/{grant}", token)).json()["last_read"]
    return stand.clock.now in seen, read == stand.clock.now
