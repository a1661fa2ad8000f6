"""SQLite in the process: one writer that commits in groups, and a reader, both on the event loop.

A statement here is a few microseconds in the page cache, less than it costs to hand it to a thread
and to fight for the interpreter lock afterwards. So the loop runs the statements, and the commit
too while the disk is quick; while it is not, a thread waits for it (see `pace`). Whatever arrives
meanwhile is the next group. A query that is not done in a moment is begun anew in a thread: what
one account has stored, and asks for, must not keep everybody else waiting. So is a group with a
change that is not done in a while: to delete what is large takes as long as to read it, and only
who writes as well waits for that. Each job of a group has a savepoint: one that fails takes nothing
else down. The journal is a WAL with synchronous=FULL, so what was acknowledged survives a crash of
the process and of the machine.
"""

import asyncio
import contextlib
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from coffret_server.storage.base import DuplicateRowError, Job, Row, Tx, Value
from coffret_server.storage.checkpoint import FALLBACK_PAGES, Checkpoints
from coffret_server.storage.pace import Pace
from coffret_server.storage.trouble import Writes, probe

T = TypeVar("T")
GROUP_LIMIT: Final = 64
BUSY_SECONDS: Final = 10.0
_PAUSE: Final = 0.002
_MOMENT: Final = 0.02
"""Seconds that a query may take on the event loop. Pages of thousands of rows take less."""
_LOOK_EVERY: Final = 2_000
"""Steps of SQLite's between two looks at the time: less than a millisecond."""
_WHILE: Final = 0.2
"""Seconds that a change may take on the event loop: several times what a full batch does."""
_LOOK_AT_WRITES_EVERY: Final = 100
"""The same for changes: one row has some fifty steps, and may have two MiB."""
_SMALL_CACHE: Final = "PRAGMA cache_size = -8192"
"""Of connections that read, of which there may be fifteen: KiB that each keeps of pages.

A list of large records reads through all of them. The data plane's writer and its reader have
eight times as much, and so has the control plane's writer, of which there is one: a key change
touches all records, and waits for the disk in between where their pages do not fit.
"""
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA wal_autocheckpoint = {FALLBACK_PAGES}",
    "PRAGMA secure_delete = FAST",
)


class UndoneError(sqlite3.OperationalError):
    """SQLite itself took the whole group back, as it does when the disk is full."""


class LateError(UndoneError):
    """A change takes longer than it may here; all of its group is taken back."""


class SqliteTx:
    """Statements on one connection. They never suspend."""

    for_update = ""
    bytes_type = "BLOB"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany

    async def all(self, sql: str, *values: Value) -> Sequence[Row]:
        """Every row of a query."""
        return self._execute(sql, values).fetchall()

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        return cast("Row | None", self._execute(sql, values).fetchone())

    async def run(self, sql: str, *values: Value) -> None:
        """Run a statement."""
        try:
            self._execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise DuplicateRowError from error

    async def many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once a row."""
        try:
            self._executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            raise DuplicateRowError from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection with our settings, outside any transaction."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


def _finish(job: Awaitable[T]) -> T:
    """Run a job that awaits nothing but its `SqliteTx` to its end, without the loop."""
    coroutine = cast("Coroutine[Any, Any, T]", job)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    msg = "a job awaited something other than its transaction"
    raise RuntimeError(msg)


def _engine(path: Path, begin: str, *settings: str, **pool: int) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", **pool)

    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapter has no public type
        connection.isolation_level = None
        cursor = connection.cursor()
        busy = f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}"
        for pragma in (busy, *_PRAGMAS, *settings):
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", on_begin)
    return engine


class _Waiting:
    """A job in the queue, and the future its caller waits for."""

    __slots__ = ("error", "future", "job", "result")

    def __init__(self, job: Callable[[Tx], Awaitable[Any]], future: "asyncio.Future[Any]") -> None:
        self.job = job
        self.future = future
        self.result: object = None
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None) -> None:
        """Wake the caller; `error` is what befell the whole group."""
        if self.future.done():
            return
        failure = error or self.error
        if failure is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(failure)


class SqliteStorage:
    """The embedded engine, for one process."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._gate = asyncio.Lock()  # writers of this process take turns, in order
        self._queue: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._closing = self._is_beside = False
        self._write_engine = _engine(path, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self._read_engine = _engine(path, "BEGIN", _SMALL_CACHE)
        self._writer = connect(path)
        self._reader = connect(path)
        self._writer_tx = SqliteTx(self._writer)
        self._reader_tx = SqliteTx(self._reader)
        self._due = self._write_due = math.inf
        self._reader.set_progress_handler(self._is_late, _LOOK_EVERY)
        self._writer.set_progress_handler(self._is_write_late, _LOOK_AT_WRITES_EVERY)
        self._aside = connect(path)
        self._aside.execute(_SMALL_CACHE)
        self._aside.set_progress_handler(lambda: self._closing, _LOOK_EVERY)
        self._aside_tx = SqliteTx(self._aside)
        self._slow = ThreadPoolExecutor(1, "coffret-slow-query")
        self._checkpoints = Checkpoints(connect(path))
        self._pace = Pace()
        self._writes = Writes()
        self._disk = ThreadPoolExecutor(1, "coffret-commit")
        self._task = asyncio.create_task(self._write_groups(), name="coffret-writer")

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database."""
        async with AsyncSession(self._read_engine, expire_on_commit=False) as session:
            yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are durable when the block is left without an error."""
        with self._writes.watched():
            async with (
                self._gate,
                AsyncSession(self._write_engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session

    async def query(self, job: Job[T]) -> T:
        """Run a reading job on one state of the database, again if it takes long."""
        try:
            return self._query(job)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._slow, self._query_slowly, job)

    def _query(self, job: Job[T]) -> T:
        self._due = time.perf_counter() + _MOMENT
        self._reader.execute("BEGIN")
        try:
            return _finish(job(self._reader_tx))
        finally:
            self._due = math.inf
            self._reader.execute("COMMIT")

    def _is_late(self) -> bool:
        """Whether SQLite is to give up what the reader asks, since the loop has waited enough."""
        return time.perf_counter() > self._due

    def _query_slowly(self, job: Job[T]) -> T:
        """In a thread, of which there is one: long queries wait for each other alone."""
        self._aside.execute("BEGIN")
        try:
            return _finish(job(self._aside_tx))
        finally:
            self._aside.execute("COMMIT")

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query by itself, or None."""
        return await self._reader_tx.one(sql, *values)

    async def submit(self, job: Job[T]) -> T:
        """Run a writing job in the next group."""
        if self._closing:
            msg = "the database is closing"
            raise ConnectionError(msg)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(job, future))
        self._arrived.set()
        with self._writes.watched():
            return await future

    async def ping(self) -> None:
        """Raise if the database does not answer, or took no change lately and takes none now."""
        async with self.read() as session:
            await session.execute(text("SELECT 1"))
        if self._writes.failing:
            await self.submit(probe)

    async def close(self) -> None:
        """Finish the queue, then close every connection."""
        self._closing = True
        self._arrived.set()
        await self._task
        self._slow.shutdown(cancel_futures=True)
        self._disk.shutdown()
        self._checkpoints.close()
        self._writer.close()
        self._reader.close()
        self._aside.close()
        await self._write_engine.dispose()
        await self._read_engine.dispose()

    async def _write_groups(self) -> None:
        while True:
            await self._arrived.wait()
            group, self._queue = self._queue[:GROUP_LIMIT], self._queue[GROUP_LIMIT:]
            if not self._queue and not self._closing:
                self._arrived.clear()
            if not group:
                if self._closing:
                    return
                continue
            failure: BaseException | None = None
            try:
                await self._write_group(group)
            except sqlite3.Error as error:
                failure = error
                self._abandon()
            for waiting in group:
                waiting.settle(failure)
            if self._checkpoints.is_restart_due(self._writer.total_changes):
                async with self._gate:
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(self._disk, self._restart_log)

    def _abandon(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    async def _write_group(self, group: list[_Waiting]) -> None:
        async with self._gate:
            await self._begin()
            try:
                await self._attempt_each(group)
                is_quick = self._pace.is_quick()
            except LateError:
                self._abandon()
                await self._begin()
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._disk, self._attempt_slowly, group)
                is_quick = False  # and there is much to wait for
            await self._commit(is_quick=is_quick)

    async def _attempt_each(self, group: list[_Waiting]) -> None:
        for waiting in group:
            begun = time.perf_counter()
            self._attempt(waiting, begun + _WHILE)
            if time.perf_counter() - begun > _MOMENT:
                await asyncio.sleep(0)  # a group of such must not stop who only reads

    def _attempt_slowly(self, group: list[_Waiting]) -> None:
        """In the thread that waits for the disk; nobody else has the writer meanwhile."""
        self._is_beside = True
        try:
            for waiting in group:
                self._attempt(waiting, math.inf)
        finally:
            self._is_beside = False

    def _is_write_late(self) -> bool:
        """Whether SQLite is to give up a change, and with it all that came before it in a group.

        Where it would be made beside the loop, that is at the end of the process: whoever it is
        for was waited for by then.
        """
        return time.perf_counter() > self._write_due or (self._closing and self._is_beside)

    async def _commit(self, *, is_quick: bool) -> None:
        if is_quick:
            started = time.perf_counter()
            self._writer.execute("COMMIT")
            self._pace.took(time.perf_counter() - started)
        else:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._disk, self._writer.execute, "COMMIT")

    def _restart_log(self) -> None:
        """Begin the write-ahead log anew; if a reader is in the way, another time."""
        with contextlib.suppress(sqlite3.Error):
            self._writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    async def _begin(self) -> None:
        """Begin, waiting for a writer of another process without stopping the loop."""
        deadline = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                late = asyncio.get_running_loop().time() > deadline
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or late:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return

    def _attempt(self, waiting: _Waiting, due: float) -> None:
        """Do one job; what it came to before, in a group that was taken back, counts no more."""
        waiting.error = None
        if waiting.future.cancelled():
            return
        self._writer.execute("SAVEPOINT job")
        self._write_due = due
        try:
            waiting.result = _finish(waiting.job(self._writer_tx))
        except Exception as error:
            self._write_due = math.inf
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise LateError from error
            waiting.error = error
            if not self._writer.in_transaction:
                raise UndoneError from error
            self._writer.execute("ROLLBACK TO job")
        finally:
            self._write_due = math.inf
        self._writer.execute("RELEASE job")
