"""What a step of erasing reads: the rows that it erases, however many more there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from coffret_server import ending
from coffret_server.departing import AT_ONCE, PARTS

if TYPE_CHECKING:
    from coffret_server.departing import _Part
    from server.stand import Stand


def _plan(url: str, sql: str) -> list[str]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        values = (b"",) * sql.count("?")
        return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.delete.split()[2])
def test_a_step_reads_what_it_erases(sqlite_url: str, part: _Part) -> None:
    """Rows are chosen in the order of their key, as many as go; each is found by its whole key."""
    (chosen,) = _plan(sqlite_url, part.choose)  # nothing is sorted, which would read all of them
    assert chosen.endswith("(account_id=?)")
    assert part.choose.endswith(f"LIMIT {AT_ONCE}")
    (erased,) = _plan(sqlite_url, part.delete)
    assert erased.count("=?") == part.keys + 1 or "INDEX ux_" in erased
    assert "<?" not in erased


@pytest.mark.parametrize("sql", [ending._PENDING, ending._BYGONES])
def test_a_step_of_ending_an_app_reads_what_it_ends(sqlite_url: str, sql: str) -> None:
    """What is left to cancel or forget is chosen by an index that has nothing else, unsorted."""
    (chosen,) = _plan(sqlite_url, sql)
    assert chosen.endswith("(app_id=?)")
    assert "ix_access_requests_by_app" not in chosen


@pytest.mark.asyncio
async def test_a_developer_is_forgotten_by_indexes(sqlite_stand: Stand) -> None:
    """Whether a developer has an app is seen without a look at everybody's."""
    app, said = await sqlite_stand.new_app(), set[str]()

    def note(*given: Any) -> None:
        said.add(given[2])

    engine = sqlite_stand.app.state.services.storage._write_engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    answer = await sqlite_stand.delete("/developers/me", app.developer_key)
    assert answer.status_code == 409
    asked = [sql for sql in said if "FROM apps" in sql]
    assert asked
    for sql in asked:
        assert all("SCAN" not in step for step in _plan(sqlite_stand.database, sql))
