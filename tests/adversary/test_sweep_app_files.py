"""Every part of what an app keeps, altered in every way: an error, or the honest result.

Its keys are in a file of JSON, and what it knows of owners in one of SQLite beside it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from coffret import App
from coffret_vault.errors import StoreDamagedError
from harness.mutation import mutations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.cast import People
    from harness.conversing import Scenario

CONVERSATIONS = ("an app takes up its grant", "an app reads and writes", "an app asks")
LISTING = CONVERSATIONS[-1]
"""Where it says what the app has asked for: nobody else has that list."""
TABLES = ("about", "requests", "owners", "heads")


def keys_altered(base: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each field of the file with the app's keys, changed in each way."""
    read = partial(json.loads, (base / "app.json").read_bytes())
    for mutation in mutations(read):
        content = json.dumps(mutation.answer).encode()
        yield f"{mutation.path}: {mutation.how}", partial(_write, content=content)


def _write(folder: Path, *, content: bytes) -> None:
    (folder / "app.json").write_bytes(content)


def owners_altered(base: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each cell and each row of what is known of owners, changed in each way."""

    def read() -> dict[str, list[list[Any]]]:
        with closing(sqlite3.connect(base / "app.json.owners")) as database:
            return {table: _rows(database, table) for table in TABLES}

    for mutation in mutations(read):
        if len(mutation.path) > 1:  # a table, of which nothing else could stand there
            yield f"{mutation.path}: {mutation.how}", partial(_fill, tables=mutation.answer)


def _rows(database: sqlite3.Connection, table: str) -> list[list[Any]]:
    return [list(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608 - ours


def _fill(folder: Path, *, tables: dict[str, Any]) -> None:
    """Put these rows there; as many cells as they have, and nothing for what no cell can hold."""
    with closing(sqlite3.connect(folder / "app.json.owners")) as database, database:
        for table, rows in tables.items():
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
            names = [found[1] for found in database.execute(f"PRAGMA table_info({table})")]
            for row in rows:
                cells = [_cell(cell) for cell in row][: len(names)] if isinstance(row, list) else []
                of, marks = ", ".join(names[: len(cells)]), ", ".join("?" * len(cells))
                if cells:
                    insert = f"INSERT OR IGNORE INTO {table} ({of}) VALUES ({marks})"  # noqa: S608
                    database.execute(insert, cells)


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return value if not isinstance(value, int) else min(value, 2**63 - 1)


@pytest.fixture(scope="module")
def tally(show: Callable[[str], None]) -> Iterator[Counter[str]]:
    """What was counted, shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    show("app files: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


@pytest.mark.attack(49)
@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("altered", [keys_altered, owners_altered])
def test_no_altered_file_is_believed(
    recorded: dict[str, Scenario],
    tally: Counter[str],
    name: str,
    altered: Callable[[Path], Iterator[tuple[str, Callable[[Path], None]]]],
) -> None:
    """Whatever one part of an app's files is changed to, the result is an error or the honest one.

    Never an exception that is not of ours.
    """
    scenario = recorded[name]
    believed = scenario.damaged(tally, altered(scenario.base))
    if name == LISTING:
        believed = [what for what in believed if not what.startswith("('requests'")]
    assert believed == []
    tally["sweeps"] += 1


@pytest.mark.attack(49)
@pytest.mark.parametrize(
    "origin", ["http://elsewhere.example", "https://a@elsewhere.example", "file:///", "127.0.0.1"]
)
def test_no_api_key_goes_where_no_registration_would_have_gone(
    people: People, tmp_path: Path, origin: str
) -> None:
    """A file that names no origin, or one in plain http, is damaged: nothing is sent by it."""
    shutil.copytree(people.granted, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "app.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"origin": origin}))
    with pytest.raises(StoreDamagedError):
        App.load(path)
