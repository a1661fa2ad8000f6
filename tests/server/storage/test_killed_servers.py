"""A server that is killed at any statement: a change is in its database whole, or not at all.

What `kill -9` leaves is what is in the files at that moment, so they are copied before each
statement, and each copy is opened as a server that starts again would open it.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from server import forge
from server.stand import Clock, Stand, serving

pytestmark = pytest.mark.asyncio
Dump = tuple[str, ...]


class Copies:
    """The files of a database, as they are before each statement of its writer."""

    def __init__(self, database: Path, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.taken: list[Path] = []

    def take(self, _statement: str = "") -> None:
        """What a kill would leave now."""
        image = self.folder / f"image-{len(self.taken)}"
        image.mkdir(parents=True)
        for end in ("", "-wal"):
            found = Path(f"{self.database}{end}")
            if found.exists():
                shutil.copy(found, image / f"coffret.db{end}")
        self.taken.append(image / "coffret.db")

    @contextmanager
    def of(self, writer: sqlite3.Connection) -> Iterator[None]:
        """Take one before each statement that this connection runs."""
        writer.set_trace_callback(self.take)
        try:
            yield
        finally:
            writer.set_trace_callback(None)


def dump(path: Path) -> Dump:
    """Everything in a database, after SQLite has recovered it and found it whole."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return tuple(database.iterdump())


def changes(owner: forge.Owner) -> Iterator[dict[str, Any]]:
    """A memory, several, the next version of one, and its deletion; each after the one before."""
    memory = forge.new_id()
    second = owner.memory(memory, 2)
    yield owner.put(owner.memory(memory))
    yield owner.put(*[owner.memory() for _ in range(5)])
    yield owner.put(second)
    yield owner.append(owner.entry("delete", memory, 3, forge.digest_of(second)))


async def test_an_append_is_whole_at_every_statement(tmp_path: Path, clock: Clock) -> None:
    """Log, record, tags, tiles and head come together: each copy is of before or of after."""
    path = tmp_path / "coffret.db"
    kills = 0
    async with serving(f"sqlite:///{path}", clock) as stand:
        owner = await stand.sign_up()
        writer = stand.app.state.services.storage._writer
        for number, append in enumerate(changes(owner)):
            copies = Copies(path, tmp_path / str(number))
            copies.take()
            before = dump(copies.taken[0])
            with copies.of(writer):
                assert (await stand.append(owner, append)).status_code == 200
            copies.take()
            after = dump(copies.taken[-1])
            found = [dump(image) for image in copies.taken]
            assert set(found) == {before, after}
            # Nothing of it is there until the last moment, and it was before it was acknowledged.
            assert found == [before] * (len(found) - 1) + [after]
            kills += len(found)
    assert kills > 30


async def test_what_a_kill_left_is_served(tmp_path: Path, clock: Clock) -> None:
    """Started again on what a kill left, a server has the append or takes it; then all is there."""
    path = tmp_path / "coffret.db"
    async with serving(f"sqlite:///{path}", clock) as stand:
        owner = await stand.sign_up()
        storage, copies = stand.app.state.services.storage, Copies(path, tmp_path / "images")
        append = owner.put(owner.memory(), owner.memory())
        with copies.of(storage._writer):
            assert (await stand.send("POST", "/log", append, owner.token)).status_code == 200
        copies.take()
    for image in (copies.taken[0], copies.taken[len(copies.taken) // 2], copies.taken[-1]):
        async with serving(f"sqlite:///{image}", clock) as again:
            await served(again, owner, append)


async def served(stand: Stand, owner: forge.Owner, append: dict[str, Any]) -> None:
    """The append sent again is taken, or known; the log has it once, with its records."""
    answer = await stand.send("POST", "/log", append, owner.token)
    assert answer.status_code == 200, answer.text
    size, head, items = await stand.sync(owner)
    assert (size, head) == (5, append["head"])
    assert [leaf for leaf, _ in items[3:]] == append["leaves"]
    assert all(record is not None for _, record in items[3:])


async def test_a_log_written_apart_from_its_records_is_noticed(
    tmp_path: Path, clock: Clock
) -> None:
    """Control: with a commit after each statement, kills leave logs without records."""
    path = tmp_path / "coffret.db"
    async with serving(f"sqlite:///{path}", clock) as stand:
        owner = await stand.sign_up()
        storage, copies = stand.app.state.services.storage, Copies(path, tmp_path / "images")
        run = storage._writer_tx._execute

        def apart(sql: str, *values: Any) -> Any:
            done = run(sql, *values)
            if sql.startswith(("INSERT", "UPDATE")):
                for statement in ("COMMIT", "BEGIN IMMEDIATE", "SAVEPOINT job"):
                    storage._writer.execute(statement)
            return done

        storage._writer_tx._execute = apart
        with copies.of(storage._writer):
            assert (await stand.append(owner, owner.put(owner.memory()))).status_code == 200
        copies.take()
        assert len({dump(image) for image in copies.taken}) > 2
