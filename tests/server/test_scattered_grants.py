"""A grant over memories that stand far apart in the log: what one page of it costs the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_server import merkle
from coffret_server.data import apps, tree
from server import forge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret_server.storage import Tx
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
    monkeypatch.setattr(apps, "RUNS_LIMIT", RUNS, raising=False)
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


def test_what_a_page_may_prove_is_little() -> None:
    """The leaves that one page reads for its proof are a small part of a log of many thousands."""
    assert apps.RUNS_LIMIT * merkle.TILE <= 5_000
