"""The memory keys of an account as they are wrapped, and wraps that wait for a key change."""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from coffret_server.append import Count
from coffret_server.data.call import PAGE_BYTES, Call, Reply
from coffret_server.ledger import Ledger
from coffret_server.principals import Owner
from coffret_server.problems import ProblemError, refuse
from coffret_server.purging import purge
from coffret_server.rows import load_state
from coffret_server.storage import Tx
from coffret_server.wire.records import check_wrap, parse_kek

LIMIT: Final = 5_000
STAGING: Final = 16
"""Other sessions of which something may wait for a change of keys: of each, all memory keys once.

They count to no quota: an account that is full can change its keys. One change is made at a time;
what the others left goes with their sessions, which their owner ends.
"""
_STAGE: Final = (
    "INSERT INTO rewraps (account_id, session_id, memory_id, key_number, change_id, wrap)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, session_id, memory_id, key_number)"
    " DO UPDATE SET change_id = excluded.change_id, wrap = excluded.wrap"
)
_WAIT: Final = 3_600
_COUNT: Final = "SELECT COUNT(*) FROM rewraps WHERE account_id = ? AND session_id = ?"
_NEXT: Final = (
    "SELECT session_id, change_id FROM rewraps"
    " WHERE account_id = ? AND session_id > ? ORDER BY session_id LIMIT 1"
)
_STANDS: Final = "SELECT 1 FROM sessions WHERE account_id = ? AND session_id = ? AND expires > ?"
_CLEAR: Final = "DELETE FROM rewraps WHERE account_id = ? AND session_id = ?"
_KEEPING: Final = (
    "SELECT seq, subject, key_number, record FROM entries"
    " WHERE account_id = ? AND seq >= ? AND record IS NOT NULL ORDER BY seq LIMIT ?"
)
_AT_ONCE: Final = 32
"""Records that are in memory together: each may have 2 MiB, of which a hundred bytes are wanted."""
_Key = tuple[UUID, int, bytes, bytes]
_Parts = tuple[msgspec.Raw, msgspec.Raw, bytes, bytes]
_unpack = msgspec.msgpack.Decoder(_Parts).decode


class StageBody(msgspec.Struct, forbid_unknown_fields=True):
    """Memory keys wrapped for the generation that a change is to begin."""

    change_id: UUID
    wraps: Annotated[list[tuple[UUID, Count, bytes]], msgspec.Meta(max_length=LIMIT)]


async def read_memory_keys(call: Call) -> Reply:
    """Every memory key that is wrapped for the owner, once for each version it seals.

    Each is in a record that has to be read: a page ends behind so many bytes of them, too.
    """
    owner = await call.owner()
    start, limit = call.number("from", 0), call.number("limit", 1_000, LIMIT, 1)

    async def job(tx: Tx) -> tuple[int | None, list[_Key]]:
        found: list[_Key] = []
        at: int | None = start
        total = 0
        for count in range(0, limit, _AT_ONCE):
            most = min(_AT_ONCE, limit - count)
            rows = await tx.all(_KEEPING, owner.account, at, most + 1)
            found += [item for row in rows[:most] for item in _key(*row[1:])]
            at = rows[most][0] if len(rows) > most else None
            total += sum(len(row[3]) for row in rows)
            if at is None or total > PAGE_BYTES:
                break
        return at, found

    return Reply(await call.services.storage.query(job))


def _key(memory: bytes, key_number: int, record: bytes) -> list[_Key]:
    _, _, kek, wrap = _unpack(record)
    if parse_kek(kek) is not None:
        return []
    return [(UUID(bytes=memory), key_number, kek, wrap)]


async def stage_rewraps(call: Call) -> Reply:
    """Keep wraps for a key change; what this session, or one that ended, kept for another goes."""
    owner = await call.owner()
    body = call.body(StageBody)
    for _, _, wrap in body.wraps:
        check_wrap(wrap)
    change, mine = body.change_id.bytes, (owner.account, owner.session)

    async def job(tx: Tx) -> None:
        ledger = Ledger(tx, owner.account, await load_state(tx, owner.account, owner.session))
        await call.spend_proof(tx, owner.account)  # nor throw away what was staged since
        await ledger.load(memory.bytes for memory, _, _ in body.wraps)
        for memory, key_number, _ in body.wraps:
            found = ledger.find(memory.bytes)
            if found is None or key_number > found.key_number:
                refuse("conflict", "a wrap is for a memory or a key that does not exist")
        await _clear(tx, owner, change, call.services.clock())
        rows = [(*mine, m.bytes, number, change, wrap) for m, number, wrap in body.wraps]
        if rows:
            await tx.many(_STAGE, rows)
        await purge(tx, "used_nonces", call.services.clock())

    async def count(tx: Tx) -> int:
        row = await tx.one(_COUNT, *mine)
        return int(row[0]) if row else 0

    await call.services.storage.submit(job)
    return Reply({"staged": await call.services.storage.query(count)})


async def _clear(tx: Tx, owner: Owner, change: bytes, now: int) -> None:
    """Throw away what this session staged for another change, and what ended ones did for any.

    All that a session staged is for one change, so its first row tells which. One that is over is
    in no list, from which its owner could end it, until the next login deletes it.

    Raises:
        ProblemError: `quota-exceeded`: too many other sessions have staged something.
    """
    at, others = b"", 0
    while (row := await tx.one(_NEXT, owner.account, at)) is not None:
        at = bytes(row[0])
        if at == owner.session:
            is_kept = row[1] == change
        else:
            is_kept = await tx.one(_STANDS, owner.account, at, now) is not None
            others += is_kept
        if not is_kept:
            await tx.run(_CLEAR, owner.account, at)
    if others >= STAGING:
        code, detail = (
            "quota-exceeded",
            "too many devices began to change keys: log some out",
        )
        raise ProblemError(code, detail, retry_after=_WAIT)
