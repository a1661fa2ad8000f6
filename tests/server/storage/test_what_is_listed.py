"""Requests that wait and grants are found without what they are of, which may be large.

A request may have 64 KiB, a grant's statement a MiB. What stands behind it in a row is read through
it: for a list of one, or for an app that is refused, that would be all that an owner has.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from server.stand import Stand, signed_request

pytestmark = [pytest.mark.asyncio, pytest.mark.attack(37)]


def plan(database: sqlite3.Connection, sql: str) -> str:
    """How SQLite goes about a statement."""
    rows = database.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
    return "\n".join(detail for *_, detail in rows)


async def test_what_is_large_is_not_read_to_find_it(sqlite_stand: Stand, template: Path) -> None:
    """What waits for an owner is counted in an index alone; a page of grants is read in order."""
    said: list[str] = []

    def heard(*told: Any) -> None:
        said.append(told[2])

    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    await sqlite_stand.grant(owner, app)
    storage = sqlite_stand.app.state.services.storage
    for engine in (storage._read_engine, storage._write_engine):
        event.listen(engine.sync_engine, "before_cursor_execute", heard)
    request = app.request(owner, created=sqlite_stand.clock.now)
    answer = await sqlite_stand.post("/access-requests", signed_request(app, request), app.token)
    assert answer.status_code == 201
    for token in (owner.token, app.token):
        assert (await sqlite_stand.get("/grants?limit=1", token)).status_code == 200
    counting = [sql for sql in said if "count(*)" in sql and "access_requests" in sql]
    listing = [sql for sql in said if "length(grants.statement)" in sql]
    knowing = [sql for sql in said if "grants.account_id = ? AND grants.app_id = ?" in sql]
    assert (len(counting), len(listing), len(knowing)) == (1, 2, 1)
    with closing(sqlite3.connect(template)) as database:
        counted = plan(database, counting[0])
        assert "COVERING INDEX ix_access_requests_waiting (account_id=? AND created>?)" in counted
        found = plan(database, knowing[0])
        assert "COVERING INDEX ix_grants_known (account_id=? AND app_id=?)" in found
        for sql, index in zip(listing, ("ix_grants_created", "ix_grants_by_app"), strict=True):
            listed = plan(database, sql)
            assert f"SEARCH grants USING INDEX {index}" in listed
            assert "TEMP B-TREE" not in listed


@pytest.mark.parametrize("query", ["limit=1", "state=denied", "state=lapsed", "cursor={}"])
async def test_a_page_of_requests_is_found_in_an_index(
    sqlite_stand: Stand, template: Path, query: str
) -> None:
    """For owners and for apps: rows that are on no page are not read, and nothing is sorted."""
    said: list[str] = []

    def heard(*told: Any) -> None:
        said.append(told[2])

    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    await sqlite_stand.ask(app, owner)
    storage = sqlite_stand.app.state.services.storage
    event.listen(storage._read_engine.sync_engine, "before_cursor_execute", heard)
    path = f"/access-requests?{query.format(f'0.{sqlite_stand.clock.now}.{bytes(16).hex()}')}"
    for token, index in (
        (owner.token, "ix_access_requests_listed"),
        (app.token, "ix_access_requests_by_app"),
    ):
        said.clear()
        assert (await sqlite_stand.get(path, token)).status_code == 200
        finding = [sql for sql in said if "ORDER BY access_requests.created DESC" in sql]
        assert len(finding) == (2 if "limit" in query else 1)
        assert not any("ORDER BY" in sql for sql in said if sql not in finding)
        with closing(sqlite3.connect(template)) as database:
            for sql in finding:
                found = plan(database, sql)
                assert f"USING COVERING INDEX {index}" in found
                assert "TEMP B-TREE" not in found
