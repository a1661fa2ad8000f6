"""A grant over memories that stand far apart in the log: what one page of it costs the server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_server import merkle
from coffret_server.data import apps, tree
from coffret_server.grants import ACTIVE, Grant
from coffret_server.rows import ADD_ENTRY, ADD_MEMORY, PUT_WRAP
from coffret_server.schema import ACCEPTED
from server import forge

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from coffret_server.storage import Tx
    from coffret_server.storage.base import Value
    from server.stand import Stand

RUNS = 2
APART = 6


async def _scattered(stand: Stand, owner: forge.Owner) -> list[bytes]:
    """Headers of memories, each in a run of leaves of its own."""
    found = []
    for _ in range(APART):
        records = [owner.memory() for _ in range(merkle.TILE)]
        assert (await stand.append(owner, owner.put(*records))).is_success
        found.append(records[0][0])
    return found


@pytest.mark.asyncio
async def test_a_page_proves_what_stands_in_a_few_runs(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far apart memories stand, a page reads few leaves for its proof; none is left out."""
    read: list[int] = []

    async def counted(tx: Tx, account: bytes, at: Iterable[int]) -> tree.Hashes:
        found = await tree.read_hashes(tx, account, at)
        read.append(len(found._leaves))
        return found

    monkeypatch.setattr(apps, "read_hashes", counted)
    monkeypatch.setattr(apps, "RUNS_LIMIT", RUNS)
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    wanted = await _scattered(stand, owner)
    await stand.share(owner, grant, *(forge.identity_of(header)[0] for header in wanted))
    found: list[bytes] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = f"&cursor={cursor}" if cursor else ""
        answer = await stand.get(f"/grants/{grant}/records?limit=2000{asked}", app.token)
        assert answer.status_code == 200, answer.text
        cursor, items, *_ = msgspec.msgpack.decode(answer.content)
        found += [item[0] for item in items]
    assert sorted(found) == sorted(wanted)
    assert max(read) <= (RUNS + 2) * merkle.TILE
    assert len(read) <= -(-APART // RUNS) + 1


def _written_by_an_app(
    account: bytes, grant: bytes, count: int
) -> dict[str, list[Sequence[Value]]]:
    """Rows of memories that an app wrote and the owner accepted, and their statements."""
    ids = [(number, number.to_bytes(16, "big")) for number in range(10, 10 + count)]
    leaf, record = msgspec.msgpack.encode(b""), msgspec.msgpack.encode([b""] * 4)
    return {
        ADD_ENTRY: [
            (account, n, leaf, "put", memory, 1, ACCEPTED, grant, 1, n, None, record)
            for n, memory in ids
        ],
        ADD_MEMORY: [(1, b"", 1, 1, n, n, n, None, 0, account, memory) for n, memory in ids],
        PUT_WRAP: [(account, grant, memory, 1, b"", n) for n, memory in ids],
    }


@pytest.mark.asyncio
async def test_a_page_looks_at_what_it_shows(sqlite_stand: Stand) -> None:
    """Of a hundred times as many memories that its app wrote, a page takes no more steps."""
    app, grant_id = forge.App(), forge.new_id().bytes
    storage = sqlite_stand.app.state.services.storage
    steps = []
    for number, count in enumerate((50, 5_000)):
        account = bytes([number]) * 16
        scopes = frozenset({"create", "read"})
        grant = Grant(account, grant_id, app.app.bytes, ACTIVE, scopes, 0, None)
        statements = _written_by_an_app(account, grant_id, count)

        async def fill(tx: Tx, statements: dict[str, list[Sequence[Value]]] = statements) -> None:
            for sql, rows in statements.items():
                await tx.many(sql, rows)

        await storage.submit(fill)
        taken = count_steps(storage._reader)
        rows = await storage.query(partial(apps._page, grant=grant, place=apps._BEGINNING, limit=9))
        storage._reader.set_progress_handler(None, 0)
        assert [row.seq for row in rows] == list(range(10, 19))
        steps.append(len(taken))
    assert steps[1] < 2 * steps[0]


def count_steps(connection: sqlite3.Connection) -> list[None]:
    """A list that grows by one with every tenth step that SQLite takes."""
    taken: list[None] = []
    connection.set_progress_handler(lambda: taken.append(None), 10)
    return taken


def test_what_a_page_may_prove_is_little() -> None:
    """The leaves that one page reads for its proof are a small part of a log of many thousands."""
    assert apps.RUNS_LIMIT * merkle.TILE <= 5_000
