"""A key change of an account with many grants, each of which may name thousands of memories."""

import tracemalloc
from uuid import UUID

import pytest

from coffret_server.storage import Storage, Tx
from server import forge
from server.changes import Change, make
from server.stand import Stand

pytestmark = pytest.mark.asyncio
MANY = 40
LARGE = 512 * 1024
_COPY = (
    "INSERT INTO grants (account_id, grant_id, app_id, request_id, state, scopes, statement,"
    " sealed_key, signature, owner_wrap, generation, changes, created, expires, last_read)"
    " SELECT account_id, CAST(? AS BLOB), app_id, request_id, state, scopes, CAST(? AS BLOB),"
    " sealed_key, signature, owner_wrap, generation, changes, created, expires, last_read"
    " FROM grants WHERE grant_id = ?"
)
_STANDING = "SELECT state, changes, generation FROM grants WHERE account_id = ? ORDER BY grant_id"


async def _copied(stand: Stand, grant: UUID) -> dict[UUID, bytes]:
    """Many grants as that one, with large statements."""
    large = {forge.new_id(): bytes([number]) * LARGE for number in range(MANY)}

    async def copy(tx: Tx) -> None:
        rows = [(each.bytes, statement, grant.bytes) for each, statement in large.items()]
        await tx.many(_COPY.replace("BLOB", tx.bytes_type), rows)

    storage: Storage = stand.app.state.services.storage
    await storage.submit(copy)
    return large


@pytest.mark.attack(61)
async def test_a_key_change_has_few_statements_in_memory(stand: Stand) -> None:
    """An account may have gigabytes of them, which count to no quota: a few are read at a time.

    Each grant that was not over ends by its own entry, and one that was has none.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, over = await stand.grant(owner, app), await stand.grant(owner, app)
    assert (await stand.set_state(owner, over, "revoked", 2)).status_code == 200
    statements = {grant: owner.statements[grant]} | await _copied(stand, grant)
    change = Change(owner)
    change.grants = {each: (2, statement) for each, statement in statements.items()}
    body = change.body()
    body["grants"].append({"grant_id": str(over), "owner_wrap": forge.b64(forge.wrapped())})
    tracemalloc.start()
    answer = await make(stand, change, body)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 204, answer.text
    assert used < MANY * LARGE / 2

    async def standing(tx: Tx) -> list[tuple[str, int, int]]:
        rows = await tx.all(_STANDING, owner.account.bytes)
        return [(row[0], row[1], row[2]) for row in rows]

    storage: Storage = stand.app.state.services.storage
    assert await storage.query(standing) == [("revoked", 2, 2)] * (MANY + 2)
