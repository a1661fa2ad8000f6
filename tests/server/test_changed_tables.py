"""Tables that become another version's while a server runs on them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from coffret_server.migrations import newest_revision
from coffret_server.storage import tables
from server.stand import Clock, Stand, code, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio
REFUSED = (503, "unavailable")
CANCEL = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT version_num FROM%'"
    " AND datname = current_database()"
)
ASKED = {"username": "ada", "kind": "passphrase"}


async def _execute(database: str, *statements: str) -> None:
    """Change a database as another program does."""
    if database.startswith("sqlite:///"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    async with _connected(database) as connection:
        for statement in statements:
            await connection.execute(statement)


@asynccontextmanager
async def _connected(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


async def _be(database: str, revision: str) -> None:
    await _execute(database, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - our own


@pytest_asyncio.fixture
async def changing(database: str) -> AsyncIterator[str]:
    """A database whose version is put right again afterwards."""
    yield database
    await _be(database, str(newest_revision()))


async def test_tables_of_another_version_are_not_served(
    changing: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Newer or older: it is not ready, every call is refused alike, and the log says it once."""
    async with serving(changing, clock) as stand:
        owner = await stand.sign_up()
        for revision in ("9999", "0012"):
            caplog.clear()
            await _be(changing, revision)
            for _ in range(2):
                assert code(await stand.http.get("/readyz")) == REFUSED
            assert code(await stand.get("/sync", owner.token)) == REFUSED
            assert code(await stand.append(owner, owner.put(owner.memory()))) == REFUSED
            refused = await stand.post("/auth/challenge", ASKED)
            assert code(refused) == REFUSED
            assert int(refused.headers["retry-after"]) > 0
            assert (await stand.http.get("/healthz")).is_success
            said = [json.loads(r.getMessage()) for r in caplog.records if r.name.endswith("errors")]
            assert [line["tables"] for line in said] == [revision]
            await _be(changing, str(newest_revision()))
            assert (await stand.http.get("/readyz")).is_success
            await stand.remember(owner)


async def test_what_fails_on_other_tables_is_no_failure_of_the_server(
    changing: str, clock: Clock
) -> None:
    """The first call that finds a table gone is told so, though nobody has looked before."""
    async with serving(changing, clock) as stand:
        await _execute(changing, "ALTER TABLE keyslots RENAME TO others")
        try:
            assert code(await stand.post("/auth/challenge", ASKED)) == (500, "server-error")
            await _be(changing, "9999")
            assert code(await stand.post("/auth/challenge", ASKED)) == REFUSED
            assert code(await stand.get("/apps/x")) == REFUSED
        finally:
            await _execute(changing, "ALTER TABLE others RENAME TO keyslots")


async def test_it_looks_by_itself(
    changing: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody asks whether it is ready, and nothing fails, it notices all the same."""
    monkeypatch.setattr(tables, "LOOK_EVERY", 0.01)
    async with serving(changing, clock) as stand:
        assert (await stand.post("/auth/challenge", ASKED)).is_success
        await _be(changing, "9999")
        await _until_refused(stand)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_look_that_was_given_up_says_nothing(changing: str, clock: Clock) -> None:
    """Where an operator ends that statement, the tables are what they were, and it serves."""
    async with serving(changing, clock) as stand:
        services = stand.app.state.services
        async with (
            _connected(changing) as operator,
            _connected(changing) as lock,
            lock.transaction(),
            asyncio.timeout(30),
        ):
            await lock.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            look = asyncio.create_task(services.tables.look())
            # Not by the lock's connection: a transaction goes on seeing what it saw first.
            while not await operator.fetch(CANCEL):  # noqa: ASYNC110 - of the database
                await asyncio.sleep(0.01)
            await look
        assert (await stand.post("/auth/challenge", ASKED)).is_success
        await _execute(changing, "ALTER TABLE alembic_version RENAME TO others")
        try:
            await services.tables.look()
            assert code(await stand.post("/auth/challenge", ASKED)) == REFUSED
        finally:
            await _execute(changing, "ALTER TABLE others RENAME TO alembic_version")


async def _until_refused(stand: Stand) -> None:
    async with asyncio.timeout(30):
        while (await stand.post("/auth/challenge", ASKED)).is_success:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.01)
    assert code(await stand.post("/auth/challenge", ASKED)) == REFUSED
