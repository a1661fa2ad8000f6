"""What a statement reads of an account's many rows, by SQLite's own plans.

SQLite runs on the server's loop and knows nothing of how rows are spread: a plan that begins with
the account alone reads the whole log, once for every leaf or request, while everybody waits.
"""

import ast
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event

import coffret_server
from server.stand import Stand

MANY: Final = frozenset({"entries", "grant_wraps", "memories", "memory_tags"})
"""Tables that have as many rows of one account as it has written things."""
WHOLE: Final = {
    "DELETE FROM grant_wraps WHERE account_id = ?",
    "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ?",
}
"""Statements that are about all of an account's rows: a key change ends every grant."""
PAGE_OF_ALL: Final = re.compile(
    r"SELECT entries\.account_id, [^()]*FROM entries\s+WHERE entries\.account_id = \?"
    r" ORDER BY entries\.account_id, entries\.seq\s+LIMIT \?",
)
"""What an owner is shown of everything: it stops at the end of the page."""
_STATEMENT: Final = re.compile(r"(SELECT|UPDATE|DELETE) ")
_NAMES: Final = re.compile(r"(?:FROM|JOIN|UPDATE)\s+(\w+)(?:\s+(?:AS\s+)?([a-z]\w*))?")
_BY_ACCOUNT: Final = re.compile(r"(?:SCAN (\w+)|SEARCH (\w+) USING .*\(account_id=\?\)$)")


def _text(node: ast.AST) -> str:
    """The string that a node stands for; what is put into it when it runs is question marks."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return "?"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _written() -> Iterator[str]:
    """Every statement that is written out in the server's code."""
    folder = Path(coffret_server.__file__).parent
    for path in folder.rglob("*.py"):
        if "migrations" in path.parts:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text())))
        parts = {
            id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
        }
        texts = (_text(node) for node in nodes if id(node) not in parts)
        yield from (text for text in texts if _STATEMENT.match(text))


def read_whole(database: sqlite3.Connection, sql: str) -> set[str]:
    """Of the tables with many rows, those of which a statement begins with a whole account's."""
    names = {name: table for table, alias in _NAMES.findall(sql) for name in (table, alias)}
    plan = database.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
    found = [_BY_ACCOUNT.match(detail) for *_, detail in plan]
    return {names.get(match[1] or match[2], "") for match in found if match} & MANY


def test_no_statement_reads_a_whole_account(template: Path) -> None:
    """Every statement of the data plane finds its entries, memories, tags and wraps by an index."""
    with closing(sqlite3.connect(template)) as database:
        about = [sql for sql in _written() if MANY & set(re.findall(r"\w+", sql))]
        assert len(about) > 30
        assert {sql for sql in about if read_whole(database, sql)} == WHOLE


@pytest.mark.asyncio
async def test_no_call_of_the_control_plane_reads_a_whole_log(
    sqlite_stand: Stand, template: Path
) -> None:
    """What is listed, counted and shown finds entries by an index, or takes a page in order."""
    said: set[str] = set()

    def heard(*told: Any) -> None:
        said.add(told[2])

    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    await sqlite_stand.remember(owner, tags=("a",))
    grant = await sqlite_stand.grant(owner, app)
    storage = sqlite_stand.app.state.services.storage
    engines = [storage._read_engine.sync_engine, storage._write_engine.sync_engine]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", heard)
    for path in (
        "/memory-blobs?tags=a&importance=0.5",
        f"/memory-blobs?cursor={'A' * 22}==",
        "/tags",
        f"/grants/{grant}",
        "/accounts/me",
        "/accounts/me/server-view",
    ):
        answer = await sqlite_stand.get(path, owner.token)
        assert answer.status_code == 200, path
    assert (await sqlite_stand.set_state(owner, grant, "revoked", 2)).is_success
    with closing(sqlite3.connect(template)) as database:
        about = [sql for sql in said if "entries" in sql and sql.startswith(("SELECT", "UPDATE"))]
        whole = [sql for sql in about if "entries" in read_whole(database, sql)]
    assert len(about) > 2
    assert [PAGE_OF_ALL.match(sql) is not None for sql in whole] == [True]


def test_a_plan_that_reads_a_whole_account_is_told(template: Path) -> None:
    """Control: a search by the account alone, and a scan, are seen, under any alias."""
    with closing(sqlite3.connect(template)) as database:
        for sql in (
            "SELECT record FROM entries WHERE account_id = ? AND subject = ?",
            "SELECT e.record FROM logs l JOIN entries AS e ON e.account_id = l.account_id",
            "UPDATE entries SET record = NULL WHERE account_id = ? AND kind = ?",
            "SELECT COUNT(*) FROM entries",
        ):
            assert read_whole(database, sql) == {"entries"}, sql
        by_index = "SELECT record FROM entries WHERE account_id = ? AND seq = ?"
        assert read_whole(database, by_index) == set()
