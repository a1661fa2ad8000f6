"""What an owner's device does with records: appends, and reading the log and its records."""

from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Final

import msgspec

from coffret_server import merkle
from coffret_server.append import Append, Applied, Prepared, apply, prepare
from coffret_server.data.call import PAGE_BYTES, Call, Reply
from coffret_server.data.tree import read_hashes
from coffret_server.principals import Owner
from coffret_server.problems import SESSION_ENDED, ProblemError, refuse
from coffret_server.schema import STATUS_NAMES
from coffret_server.storage import Tx
from coffret_server.wire import pae

LOG_LIMIT: Final = 10_000
SYNC_LIMIT: Final = 5_000
VERSIONS_LIMIT: Final = 5_000
_VERSIONS: Final = (
    "SELECT record, version, status, seq FROM entries WHERE account_id = ? AND subject = ?"
    " AND status IS NOT NULL AND version > ? ORDER BY version LIMIT 16"
)
_NEWEST: Final = (
    "SELECT newest_version, (SELECT COUNT(*) FROM sessions s"
    " WHERE s.account_id = memories.account_id AND s.session_id = ?)"
    " FROM memories WHERE account_id = ? AND memory_id = ?"
)
_PAIR: Final = b"\x92"
_NIL: Final = b"\xc0"
_MOVED: Final = frozenset({"log-moved", "version-moved"})
Job = Callable[[Tx], Awaitable[Applied]]
_pack = msgspec.msgpack.Encoder().encode
_SYNC: Final = (
    "SELECT e.leaf, CASE WHEN e.record_seq IS NULL THEN ?"
    " WHEN e.record_seq = e.seq THEN e.record"
    " ELSE (SELECT r.record FROM entries r"
    " WHERE r.account_id = e.account_id AND r.seq = e.record_seq) END"
    " FROM entries e WHERE e.account_id = ? AND e.seq >= ? AND e.seq < ? ORDER BY e.seq"
)
_SIZES: Final = (
    "SELECT LENGTH(e.leaf) + CASE WHEN e.record_seq IS NULL THEN 1"
    " WHEN e.record_seq = e.seq THEN LENGTH(e.record)"
    " ELSE (SELECT LENGTH(r.record) FROM entries r"
    " WHERE r.account_id = e.account_id AND r.seq = e.record_seq) END"
    " FROM entries e WHERE e.account_id = ? AND e.seq >= ? AND e.seq < ? ORDER BY e.seq"
)
_ONE: Final = (
    "SELECT e.record, e.seq, e.version, e.status FROM entries e"
    " WHERE e.account_id = ? AND e.subject = ? AND e.version = ? AND e.status IS NOT NULL"
)


def _array(count: int) -> bytes:
    """The head of a MessagePack array."""
    if count < 16:  # noqa: PLR2004 - MessagePack's fixarray
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


async def _prepared(call: Call) -> tuple[Owner, Prepared]:
    """Who calls, and their append, which proves it."""
    return await call.proving(_by_head)


async def _by_head(call: Call) -> tuple[Owner, Prepared]:
    owner, append = await call.owner(by_head=True), call.body(Append)
    try:
        return owner, prepare(append, owner.vault)
    except ProblemError as problem:
        if problem.code != "bad-signature":
            raise
    # They may be remembered by a key that they changed since, through another process.
    owner = await call.owner_now()
    return owner, prepare(append, owner.vault)


async def _apply(call: Call, owner: Owner, prepared: Prepared) -> Applied:
    now = call.services.clock()

    async def job(tx: Tx) -> Applied:
        return await apply(tx, prepared, now=now, session=owner.session)

    return await _submit(call, owner, job)


async def _submit(call: Call, owner: Owner, job: Job) -> Applied:
    """Apply an append; an old one, sent again without a proof, learns nothing of the present."""
    try:
        return await call.services.storage.submit(job)
    except ProblemError as problem:
        if problem.code == SESSION_ENDED[0]:
            call.services.principals.forget(owner.session)
        if not call.is_proved and problem.code in _MOVED:
            problem.current = None
        raise


async def append_log(call: Call) -> Reply:
    """Append any entries of memories."""
    owner, prepared = await _prepared(call)
    applied = await _apply(call, owner, prepared)
    return Reply({"size": applied.size})


async def _create(call: Call, least: int, most: int) -> Reply:
    owner, prepared = await _prepared(call)
    puts = [entry for entry in prepared.entries if entry.kind == "put" and entry.version == 1]
    if not least <= len(puts) <= most or len(puts) != len(prepared.entries):
        refuse("invalid-input", "this call creates memories, and does nothing else")
    applied = await _apply(call, owner, prepared)
    return Reply({"size": applied.size}, status=201)


async def create_one(call: Call) -> Reply:
    """Create one memory."""
    return await _create(call, 1, 1)


async def create_many(call: Call) -> Reply:
    """Create up to 1,000 memories."""
    return await _create(call, 1, 1_000)


async def change_one(call: Call) -> Reply:
    """Write the next version of a memory, or delete it, on top of the version in `If-Match`."""
    owner, prepared = await _prepared(call)
    memory = call.id().bytes
    expected = _if_match(call)
    kind = "put" if call.scope["method"] == "PUT" else "delete"
    entries = prepared.entries
    if len(entries) != 1 or entries[0].kind != kind or entries[0].subject != memory:
        refuse("invalid-input", "this call changes the one memory that it names")
    now = call.services.clock()

    async def job(tx: Tx) -> Applied:
        row = await tx.one(_NEWEST, owner.session, owner.account, memory)
        if row is None:
            refuse("not-found", "there is no such memory")
        if not row[1]:
            refuse(*SESSION_ENDED)
        if row[0] != expected:
            return await _maybe_repeated(tx, prepared, row[0])
        return await apply(tx, prepared, now=now, session=owner.session)

    applied = await _submit(call, owner, job)
    return Reply({"size": applied.size}, etag=entries[0].version)


async def _maybe_repeated(tx: Tx, prepared: Prepared, newest: int) -> Applied:
    """The answer again if this very append was the last; otherwise the memory has moved."""
    row = await tx.one("SELECT base, head FROM logs WHERE account_id = ?", prepared.account)
    if row is not None and row[0] == prepared.base and row[1] == prepared.text:
        return Applied(prepared.head.size, repeated=True)
    code = "version-moved"
    raise ProblemError(code, "the memory has another version", current={"version": newest})


def _if_match(call: Call) -> int:
    header = call.headers.get(b"if-match")
    if header is None:
        refuse("precondition-required", 'send If-Match: "<version>"')
    text = header.strip().strip(b'"')
    if not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - digits below 2^63
        refuse("version-moved", "If-Match names no version")
    return int(text)


async def read_one(call: Call) -> Reply:
    """One memory: the version in force, or the pending one if there is none, or `?version=`."""
    owner = await call.owner()
    memory = call.id().bytes
    wanted = call.number("version", 0)

    async def job(tx: Tx) -> tuple[bytes, int, int, int, int]:
        known = await tx.one(
            "SELECT newest_version, list_seq FROM memories"
            " WHERE account_id = ? AND memory_id = ? AND deleted = 0",
            owner.account,
            memory,
        )
        if known is None:
            refuse("not-found", "there is no such memory")
        if wanted:
            row = await tx.one(_ONE, owner.account, memory, wanted)
        else:
            row = await tx.one(
                "SELECT record, seq, version, status FROM entries WHERE account_id = ? AND seq = ?",
                owner.account,
                known[1],
            )
        if row is None or row[0] is None:
            refuse("not-found", "there is no such version")
        return row[0], row[1], row[2], row[3], wanted or known[0]

    record, seq, version, status, etag = await call.services.storage.query(job)
    value = {
        "record": msgspec.Raw(record),
        "seq": seq,
        "version": version,
        "status": STATUS_NAMES[status],
    }
    return Reply(packed=_pack(value), etag=etag)


async def read_versions(call: Call) -> Reply:
    """Versions of a memory, oldest first; deletions and what was erased have no record.

    No more bytes than a device takes at once, but always one: it asks on from the next.
    """
    owner = await call.owner()
    memory, first = call.id().bytes, call.number("from", 1, pae.FARTHEST, 1)

    async def job(tx: Tx) -> list[tuple[msgspec.Raw, int, str, int]]:
        found: list[tuple[msgspec.Raw, int, str, int]] = []
        total, place = 0, first - 1
        while rows := await tx.all(_VERSIONS, owner.account, memory, place):
            for record, version, status, seq in rows:
                total += len(record or _NIL)
                if found and (total > PAGE_BYTES or len(found) == VERSIONS_LIMIT):
                    return found
                found.append((msgspec.Raw(record or _NIL), version, STATUS_NAMES[status], seq))
            place = found[-1][1]
        return found

    rows = await call.services.storage.query(job)
    if not rows and first == 1:
        refuse("not-found", "there is no such memory")
    return Reply(packed=_pack(rows))


async def read_sync(call: Call) -> Reply:
    """The log from an index on, each leaf with the record that stands beside it."""
    owner = await call.owner()
    start, limit = call.number("from", 0), call.number("limit", 1_000, SYNC_LIMIT, 1)

    async def job(tx: Tx) -> list[bytes]:
        size, head = await _standing(tx, owner.account)
        end = await _page_end(tx, owner.account, start, min(start + limit, pae.FARTHEST))
        rows = await tx.all(_SYNC, _NIL, owner.account, start, end)
        parts = [b"\x93", _pack(size), _pack(head), _array(len(rows))]
        parts += chain.from_iterable((_PAIR, *row) for row in rows)
        return parts

    return Reply(packed=b"".join(await call.services.storage.query(job)))


async def _page_end(tx: Tx, account: bytes, start: int, end: int) -> int:
    """Where a page of the feed ends that has a record more than fits, but always one."""
    used = await tx.one("SELECT bytes FROM logs WHERE account_id = ?", account)
    if used is None or used[0] <= PAGE_BYTES:
        return end
    total = 0
    for count, row in enumerate(await tx.all(_SIZES, account, start, end)):
        total += row[0] or 0
        if total > PAGE_BYTES and count:
            return start + count
    return end


async def _standing(tx: Tx, account: bytes) -> tuple[int, str]:
    row = await tx.one("SELECT size, head FROM logs WHERE account_id = ?", account)
    if row is None:
        refuse("not-found", "there is no such account")
    return row[0], row[1]


async def read_log(call: Call) -> Reply:
    """The leaves of the log from an index on."""
    owner = await call.owner()
    start, limit = call.number("from", 0), call.number("limit", 1_000, LOG_LIMIT, 1)

    async def job(tx: Tx) -> bytes:
        size, head = await _standing(tx, owner.account)
        rows = await tx.all(
            "SELECT leaf FROM entries WHERE account_id = ? AND seq >= ? AND seq < ? ORDER BY seq",
            owner.account,
            start,
            min(start + limit, pae.FARTHEST),
        )
        leaves = msgspec.Raw(_array(len(rows)) + b"".join(row[0] for row in rows))
        return _pack({"size": size, "head": head, "leaves": leaves})

    return Reply(packed=await call.services.storage.query(job))


async def read_proof(call: Call) -> Reply:
    """A proof of inclusion (`index`, `size`) or of consistency (`first`, `size`)."""
    owner = await call.owner()
    query = call.query()
    if ("index" in query) == ("first" in query) or "size" not in query:
        refuse("invalid-input", "ask with size, and with index or first")
    included = "index" in query
    begin, size = call.number("index" if included else "first", 0), call.number("size", 0)

    async def job(tx: Tx) -> list[bytes]:
        newest, _ = await _standing(tx, owner.account)
        if size > newest or begin > size or (included and begin == size):
            refuse("invalid-input", "the log is not that long")
        hashes = await read_hashes(tx, owner.account, (begin, size))
        prove = merkle.inclusion if included else merkle.consistency
        return prove(hashes, begin, size)

    return Reply({"proof": await call.services.storage.query(job)})
