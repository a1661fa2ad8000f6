"""Migrations, engines, and what opening a database refuses."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import QueuePool, text
from sqlalchemy.engine import Connection

from coffret_server import migrations
from coffret_server.schema import Base
from coffret_server.storage import DuplicateRowError, Tx, open_storage
from coffret_server.storage.addresses import DatabaseError, parse
from coffret_server.storage.open import engine_of, migrate
from coffret_server.storage.sqlite import SqliteStorage
from server.stand import Clock, code, serving
from server.storage.going_back import go_back

pytestmark = pytest.mark.asyncio
GLOBAL = {
    "settings", "developers", "apps", "api_keys", "bygones", "idempotency", "login_failures"
}  # fmt: skip


async def test_migrations_build_the_models(database: str) -> None:
    """A migrated database has exactly the tables, columns and indexes of the models."""
    storage = await open_storage(database)
    await storage.close()
    engine = engine_of(parse(database))

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_what_belongs_to_an_account_is_keyed_by_it() -> None:
    """Every other table's primary key begins with the account's id."""
    for table in Base.metadata.sorted_tables:
        first = next(iter(table.primary_key.columns)).name
        assert (first == "account_id") is (table.name not in GLOBAL)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
async def test_a_database_we_do_not_know_is_refused(url: str) -> None:
    """Only SQLite files and PostgreSQL."""
    with pytest.raises(DatabaseError):
        await open_storage(url)


async def test_postgresql_must_be_migrated_first(postgresql: str) -> None:
    """An empty PostgreSQL database is refused with the command that helps."""
    engine = engine_of(parse(postgresql), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("CREATE DATABASE unmigrated")
    await engine.dispose()
    with pytest.raises(DatabaseError, match="coffret-server migrate"):
        await open_storage(postgresql.replace("/postgres", "/unmigrated"))


@pytest.mark.parametrize("before", [None, "0004"])
async def test_an_interrupted_migration_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """A database whose migration ends in an error is as it was, and can be migrated again."""
    path = tmp_path / "coffret.db"
    if before is not None:
        await migrate(f"sqlite:///{path}")
        await go_back(f"sqlite:///{path}", before)
    whole = _tables(path)

    def interrupted(connection: Connection) -> None:
        migrations.upgrade(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("coffret_server.storage.open.upgrade", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await migrate(f"sqlite:///{path}")
    assert _tables(path) == whole
    await migrate(f"sqlite:///{path}")
    assert len(_tables(path)) > len(whole)


async def test_a_database_that_somebody_writes_to_is_opened(tmp_path: Path) -> None:
    """Where there is nothing to migrate, a server begins while another program is writing."""
    path = tmp_path / "coffret.db"
    await migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await migrate(f"sqlite:///{path}")
        other.execute("ROLLBACK")


def _tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        return {str(row) for row in database.execute("SELECT name, sql FROM sqlite_master")}


async def test_sessions_of_before_are_known_by_their_networks(tmp_path: Path) -> None:
    """A database of the version before keeps its sessions, each with its subscriber's network."""
    path = tmp_path / "coffret.db"
    await migrate(f"sqlite:///{path}")
    await go_back(f"sqlite:///{path}", "0004")
    networks = {
        "192.0.2.7": "192.0.2.7",
        "2001:db8::1:2:3:4": "2001:db8::/64",
        "::ffff:192.0.2.7": "192.0.2.7",
        "unknown": "unknown",
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as before:
        for number, address in enumerate(networks):
            row = [bytes(16), bytes([number]), bytes([number]), b"", address, 1, 1, 1]
            before.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    await migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as after:
        assert dict(after.execute("SELECT address, network FROM sessions")) == networks


async def test_the_database_file_is_private(tmp_path: Path) -> None:
    """Only the server's user can read it."""
    storage = await open_storage(f"sqlite:///{tmp_path / 'coffret.db'}")
    await storage.close()
    assert (tmp_path / "coffret.db").stat().st_mode & 0o777 == 0o600


async def add(tx: Tx, name: str) -> str:
    """A row."""
    await tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", name, b"")
    return name


async def names(tx: Tx) -> set[str]:
    """The names of the rows."""
    return {row[0] for row in await tx.all("SELECT name FROM settings")}


async def test_jobs_are_grouped_and_fail_alone(database: str) -> None:
    """Of many jobs sent together those that fail leave nothing, and the others all remain."""
    storage = await open_storage(database)

    async def failing(tx: Tx, number: int) -> str:
        await add(tx, f"half {number}")
        message = "refused"
        raise LookupError(message)

    async def either(tx: Tx, number: int) -> str:
        return await (add(tx, f"{number}") if number % 3 else failing(tx, number))

    jobs = [storage.submit(partial(either, number=n)) for n in range(100)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [isinstance(item, LookupError) for item in outcomes] == [n % 3 == 0 for n in range(100)]
    assert await storage.query(names) == {f"{n}" for n in range(100) if n % 3}
    with pytest.raises(DuplicateRowError):
        await storage.submit(lambda tx: add(tx, "1"))
    await storage.close()


async def test_a_job_must_not_wait_for_anything_else(tmp_path: Path) -> None:
    """On SQLite a job that awaits more than its transaction is an error, and undone."""
    storage = await open_storage(f"sqlite:///{tmp_path / 'coffret.db'}")

    async def dawdling(tx: Tx) -> None:
        await add(tx, "half")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited"):
        await storage.submit(dawdling)
    assert await storage.query(names) == set()
    await storage.close()


async def test_another_process_writing_is_waited_for(tmp_path: Path) -> None:
    """While somebody else holds the database a write waits, and the loop goes on."""
    path = tmp_path / "coffret.db"
    storage = await open_storage(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(storage.submit(lambda tx: add(tx, "late")))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await storage.query(names) == set()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting == "late"
    await storage.close()


async def test_a_full_disk_fails_the_write_and_not_the_server(tmp_path: Path, clock: Clock) -> None:
    """A database that cannot grow says so to caller and probe; nothing stays, and reading works."""
    database = f"sqlite:///{tmp_path / 'coffret.db'}"
    async with serving(database, clock) as stand:
        owner = await stand.sign_up()
        storage = stand.app.state.services.storage
        pages = storage._writer.execute("PRAGMA page_count").fetchone()[0]
        storage._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        refused = owner.put(*[owner.memory(size=2_048) for _ in range(20)])
        answer = await stand.append(owner, refused)
        assert code(answer) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert code(await stand.http.get("/readyz")) == (503, "unavailable")
        assert (await stand.http.get("/healthz")).status_code == 200
        assert (await stand.sync(owner))[0] == 3
        storage._writer.execute("PRAGMA max_page_count = 1000000")
        assert (await stand.http.get("/readyz")).status_code == 200
        assert (await stand.append(owner, refused)).status_code == 200


async def test_a_full_disk_in_a_group_acknowledges_only_what_is_there(
    tmp_path: Path, clock: Clock
) -> None:
    """Of appends that came together, those that fitted are kept; of the others nothing is."""
    async with serving(f"sqlite:///{tmp_path / 'coffret.db'}", clock) as stand:
        owners = [await stand.sign_up(f"owner{n}") for n in range(8)]
        storage = stand.app.state.services.storage
        pages = storage._writer.execute("PRAGMA page_count").fetchone()[0]
        storage._writer.execute(f"PRAGMA max_page_count = {pages + 8}")
        appends = [owner.put(*[owner.memory(size=2_048) for _ in range(8)]) for owner in owners]
        answers = await asyncio.gather(*map(stand.append, owners, appends))
        statuses = {answer.status_code for answer in answers}
        assert 503 in statuses
        assert statuses <= {200, 503}
        for owner, answer in zip(owners, answers, strict=True):
            expected = 11 if answer.status_code == 200 else 3
            size, head, _ = await stand.sync(owner)
            assert (size, head) == (expected, owner.head)


async def test_the_secrets_are_made_once(database: str, clock: Clock) -> None:
    """A restarted server takes the tokens and challenges of before."""
    async with serving(database, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        fake = {"username": "nobody", "kind": "passphrase"}
        before = (await stand.post("/auth/challenge", fake)).json()["account_id"]
    async with serving(database, clock) as stand:
        assert (await stand.get("/tags", owner.token)).status_code == 200
        assert (await stand.get("/grants", app.token)).status_code == 200
        assert (await stand.post("/auth/challenge", fake)).json()["account_id"] == before


async def test_the_log_file_begins_anew(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under steady writing the write-ahead log is copied and written over, and nothing is lost."""
    monkeypatch.setattr("coffret_server.storage.checkpoint.EVERY_ROWS", 200)
    log = Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal")
    async with serving(sqlite_url, clock) as stand:
        owner = await stand.sign_up()
        sizes = []
        for _ in range(30):
            append = owner.put(*[owner.memory() for _ in range(20)])
            assert (await stand.append(owner, append)).is_success
            sizes.append((await asyncio.to_thread(log.stat)).st_size)
        assert sizes[-1] < 20 * (sizes[1] - sizes[0])
        assert (await stand.sync(owner))[0] == 603


async def test_a_row_of_usual_size_is_in_one_place(tmp_path: Path) -> None:
    """A new file has pages large enough; one that is there keeps its own."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    await migrate(url)
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as database:
        database.execute("PRAGMA page_size = 4096")
        database.execute("VACUUM")
    await migrate(f"sqlite:///{old}")
    for path, size in ((tmp_path / "new.db", 8_192), (old, 4_096)):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA page_size").fetchone() == (size,)


async def test_many_readers_keep_little_of_a_database(sqlite_url: str) -> None:
    """All connections that the control plane may open keep a quarter of a GiB of pages at most."""
    storage = await open_storage(sqlite_url)
    assert isinstance(storage, SqliteStorage)
    kept = 0
    for opened, engine in (
        (storage.read, storage._read_engine),
        (storage.write, storage._write_engine),
    ):
        async with opened() as session:
            size = await session.scalar(text("PRAGMA cache_size"))
        pool = engine.pool
        assert isinstance(pool, QueuePool)
        kept += -size * 1_024 * (pool.size() + pool._max_overflow)
    await storage.close()
    assert 0 < kept <= 1 << 28
