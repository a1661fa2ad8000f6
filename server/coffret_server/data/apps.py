"""What happens inside a grant: the owner's wraps, and an app's reading."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import msgspec

from coffret_server import grants, merkle
from coffret_server.append import Count, Wrap, add_wrap
from coffret_server.data.call import PAGE_BYTES, Call, Reply
from coffret_server.data.tree import read_hashes
from coffret_server.ledger import Ledger
from coffret_server.noting import note
from coffret_server.problems import malformed, refuse
from coffret_server.purging import purge
from coffret_server.rows import load_state
from coffret_server.schema import ACCEPTED, PENDING, REJECTED, STATUS_NAMES
from coffret_server.storage import Tx
from coffret_server.wire import pae
from coffret_server.wire.log import parse_head
from coffret_server.wire.records import check_wrap

WRAPS_LIMIT: Final = 5_000
PAGE_LIMIT: Final = 2_000
RUNS_LIMIT: Final = 16
"""Runs of leaves that one page's proof reads whole, beside the two at the ends of the log."""
READ_EVERY: Final = 60_000_000
_FEW: Final = 32
"""Records read at a time where all of them might be too many bytes."""
_ITEM: Final = b"\x97"
_pack = msgspec.msgpack.Encoder().encode
_EMPTY: Final = msgspec.Raw(_pack(b""))
_Parts = tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw]
_ERASED: Final[_Parts] = (_EMPTY, _EMPTY, _EMPTY, _EMPTY)
_unpack = msgspec.msgpack.Decoder(_Parts).decode

_ACCEPTED_ROWS: Final = (
    "SELECT w.changed, w.memory_id, e.version, e.record, w.key_number, w.wrap, e.status,"
    " m.shown_seq, s.leaf, NULL FROM grant_wraps w"
    " JOIN memories m ON m.account_id = w.account_id AND m.memory_id = w.memory_id"
    " JOIN entries e ON e.account_id = m.account_id AND e.seq = m.current_seq"
    " JOIN entries s ON s.account_id = m.account_id AND s.seq = m.shown_seq"
    " WHERE w.account_id = ? AND w.grant_id = ? AND w.changed >= ?"
    " AND (w.changed, w.memory_id, e.version) > (?, ?, ?) AND w.key_number = e.key_number"
    " AND (? = 1 OR e.grant_id = w.grant_id)"
    " ORDER BY w.changed, w.memory_id, e.version LIMIT ?"
)
_OWN_ROWS: Final = (
    "SELECT e.changed, e.subject, e.version, e.record, e.key_number, NULL, e.status, d.seq,"
    " d.leaf, e.leaf FROM entries e"
    " JOIN entries d ON d.account_id = e.account_id AND d.seq = e.changed"
    " WHERE e.account_id = ? AND e.grant_id = ?"
    " AND e.changed BETWEEN ? AND ?"
    " AND (e.changed, e.subject, e.version) > (?, ?, ?)"
    " AND e.kind = 'put' AND (e.status = ? AND e.record IS NOT NULL"
    " OR e.status = ? AND EXISTS (SELECT 1 FROM memories m"
    " WHERE m.account_id = e.account_id AND m.memory_id = e.subject AND m.deleted = 0))"
    " ORDER BY e.changed, e.subject, e.version LIMIT ?"
)
_UNHELD: Final = "SELECT 1 FROM grants WHERE account_id = ? AND grant_id = ?"
_MARK_READ: Final = "UPDATE grants SET last_read = ? WHERE account_id = ? AND grant_id = ?"


class WrapsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Wraps for one grant."""

    wraps: Annotated[list[tuple[UUID, Count, bytes]], msgspec.Meta(max_length=WRAPS_LIMIT)]


class _Place(NamedTuple):
    """Where a page of records ended: the order in which things became news."""

    changed: int
    memory: bytes
    version: int

    def text(self) -> str:
        data = self.changed.to_bytes(8, "big") + self.memory + self.version.to_bytes(8, "big")
        return base64.urlsafe_b64encode(data).decode()


class _Row(NamedTuple):
    """One item as it is sent, where it stands, and the entry that it is proven by."""

    place: _Place
    item: bytes
    seq: int
    decided: bool


_Proof = tuple[str, list[bytes], list[bytes]]
_BEGINNING: Final = _Place(-1, b"", 0)
_LAST_MEMORY: Final = b"\xff" * 17


def _number(data: bytes) -> int:
    value = int.from_bytes(data, "big")
    if value >> 63:
        refuse("malformed", "the cursor is not one that this server gave")
    return value


def _cursor(text: str, size: int) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size:
        detail = "the cursor is not one that this server gave"
        raise malformed(detail)
    return data


# -- the owner's side ---------------------------------------------------------------------------


async def add_wraps(call: Call) -> Reply:
    """Give a grant the keys of memories. The same again is the same."""
    owner = await call.owner()
    grant_id = call.id().bytes
    body = call.body(WrapsBody)
    for _, _, wrap in body.wraps:
        check_wrap(wrap)
    now = call.services.clock()

    async def job(tx: Tx) -> None:
        ledger = Ledger(tx, owner.account, await load_state(tx, owner.account, owner.session))
        await call.spend_proof(tx, owner.account)  # what was removed since must not come back
        grant = await grants.own_grant(tx, grant_id, owner.account, now)
        if grant.state in {grants.REVOKED, grants.ENDED}:
            refuse("conflict", "the grant is over")
        await ledger.load(memory.bytes for memory, _, _ in body.wraps)
        for memory, key_number, wrap in body.wraps:
            add_wrap(ledger, Wrap(grant_id, memory.bytes, key_number, wrap))
        await ledger.finish()
        await purge(tx, "used_nonces", now)

    async def count(tx: Tx) -> int:
        row = await tx.one(
            "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ? AND grant_id = ?",
            owner.account,
            grant_id,
        )
        return int(row[0]) if row else 0

    await call.services.storage.submit(job)
    return Reply({"memories": await call.services.storage.query(count)})


async def read_wraps(call: Call) -> Reply:
    """The wraps of a grant."""
    owner = await call.owner()
    grant_id = call.id().bytes
    limit = call.number("limit", 1_000, WRAPS_LIMIT, 1)
    after = call.query().get("cursor")
    place = b"" if after is None else _cursor(after, 24)
    now = call.services.clock()

    async def job(tx: Tx) -> list[tuple[bytes, int, bytes]]:
        await grants.own_grant(tx, grant_id, owner.account, now)
        rows = await tx.all(
            "SELECT memory_id, key_number, wrap FROM grant_wraps"
            " WHERE account_id = ? AND grant_id = ? AND (memory_id, key_number) > (?, ?)"
            " ORDER BY memory_id, key_number LIMIT ?",
            owner.account,
            grant_id,
            place[:16],
            _number(place[16:]),
            limit + 1,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    rows = await call.services.storage.query(job)
    last = rows[limit - 1] if len(rows) > limit else None
    following = None
    if last is not None:
        following = base64.urlsafe_b64encode(last[0] + last[1].to_bytes(8, "big")).decode()
    return Reply((following, [(UUID(bytes=row[0]), row[1], row[2]) for row in rows[:limit]]))


# -- the app's side -----------------------------------------------------------------------------


async def read_records(call: Call) -> Reply:
    """What a grant lets its app read, in the order in which it became news."""
    app = await call.app()
    grant_id = call.id().bytes
    limit = call.number("limit", 500, PAGE_LIMIT, 1)
    place = _start(call)
    now = call.services.clock()

    seen = call.number("seen", 0)

    async def job(tx: Tx) -> tuple[grants.Grant, list[_Row], bool, _Proof]:
        grant = await grants.usable_grant(tx, grant_id, app, now)
        rows, more = await _bounded(tx, grant, place, limit)
        return grant, rows, more, await _proof(tx, grant.account, seen, rows)

    grant, rows, more, proof = await call.services.storage.query(job)
    if grant.last_read is None or now - grant.last_read > READ_EVERY:
        await _mark_read(call, grant, now)
    following = rows[-1].place.text() if more else None
    items = [row.item for row in rows]
    head = b"\x95" + _pack(following) + b"\xdd" + len(items).to_bytes(4, "big")
    return Reply(packed=head + b"".join(items) + b"".join(map(_pack, proof)))


async def _proof(tx: Tx, account: bytes, seen: int, rows: Sequence[_Row]) -> _Proof:
    """The head over all that the owner decided, and what leads to it."""
    state = await tx.one("SELECT head FROM logs WHERE account_id = ?", account)
    if state is None:
        refuse("not-found", "there is no such account")
    size = parse_head(state[0]).size
    first = seen if seen <= size else 0
    indexes = sorted({row.seq for row in rows if row.decided})
    hashes = await read_hashes(tx, account, (*indexes, first, size))
    return (
        state[0],
        merkle.consistency(hashes, first, size),
        merkle.batch(hashes, indexes, size),
    )


def _start(call: Call) -> _Place:
    query = call.query()
    if "cursor" in query:
        data = _cursor(query["cursor"], 32)
        return _Place(_number(data[:8]), data[8:24], _number(data[24:]))
    if "since" in query:
        return _Place(call.number("since", 0), _LAST_MEMORY, 0)
    return _BEGINNING


async def _bounded(
    tx: Tx, grant: grants.Grant, place: _Place, limit: int
) -> tuple[list[_Row], bool]:
    """As :func:`_page`, of what an app takes and a server proves at once; and whether more follows.

    A proof reads all leaves of a run for one of them. So memories that stand far apart in the log
    come in more pages: each is a moment's work, in which everybody else waits.
    """
    used = await tx.one("SELECT bytes FROM logs WHERE account_id = ?", grant.account)
    at_once = limit + 1 if used is None or used[0] <= PAGE_BYTES else _FEW
    rows: list[_Row] = []
    runs: set[int] = set()
    total = 0
    while len(rows) <= limit:
        wanted = min(at_once, limit + 1 - len(rows))
        found = await _page(tx, grant, place, wanted)
        for row in found:
            total += len(row.item)
            if row.decided:
                runs.add(row.seq // merkle.TILE)
            if rows and (total > PAGE_BYTES or len(runs) > RUNS_LIMIT):
                return rows[:limit], True
            rows.append(row)
        if len(found) < wanted:
            break
        place = found[-1].place
    return rows[:limit], len(rows) > limit


async def _page(tx: Tx, grant: grants.Grant, place: _Place, limit: int) -> list[_Row]:
    """What was accepted, and what the app wrote and is not, merged."""
    of_grant = grant.account, grant.grant, place.changed
    reads = int("read" in grant.scopes)
    accepted = await tx.all(_ACCEPTED_ROWS, *of_grant, *place, reads, limit)
    # Behind a page that is full nothing is looked for: an app may have written all there is.
    last = accepted[-1][0] if len(accepted) == limit else pae.FARTHEST
    own = await tx.all(_OWN_ROWS, *of_grant, last, *place, PENDING, REJECTED, limit)
    rows = sorted((*map(tuple, accepted), *map(tuple, own)), key=lambda row: row[:3])[:limit]
    return [_row(*row) for row in rows]


def _row(changed: int, memory: bytes, version: int, *rest: Any) -> _Row:  # noqa: ANN401 - columns
    status, seq = rest[3:5]
    place = _Place(changed, memory, version)
    return _Row(place, _item(*rest), seq, status != PENDING)


def _item(
    record: bytes | None,
    key_number: int,
    wrap: bytes | None,
    status: int,
    seq: int,
    leaf: bytes,
    written: bytes | None,
) -> bytes:
    """One item: spliced from the stored record without decoding what is in it.

    Of what was rejected there is none: the leaf by which it was ``written`` says what it was, and
    the other one that the owner rejected it.
    """
    header, envelope, _, own_wrap = _ERASED if record is None else _unpack(record)
    if status == REJECTED and written is not None:
        header = msgspec.Raw(written)
    parts = (
        _ITEM,
        header,
        envelope,
        _pack(key_number),
        own_wrap if wrap is None else _pack(wrap),
        _pack(STATUS_NAMES[status or ACCEPTED]),
        _pack(seq),
        leaf,
    )
    return b"".join(map(bytes, parts))


async def _mark_read(call: Call, grant: grants.Grant, now: int) -> None:
    """Note for its owner that an app read, unless a change holds that very row, or SQLite's writer.

    A change of keys may for minutes, and each app that reads would wait with a connection in hand,
    and with one of the few turns in which pages are made for everybody.
    """

    async def job(tx: Tx) -> None:
        place = grant.account, grant.grant
        if await tx.one(_UNHELD + _skip(tx), *place) is not None:
            await tx.run(_MARK_READ, now, *place)

    await note(call.services.storage, job)


def _skip(tx: Tx) -> str:
    """What leaves out, where rows are locked one by one, those that others hold."""
    return f"{tx.for_update} SKIP LOCKED" if tx.for_update else ""


async def read_head(call: Call) -> Reply:
    """The head of the owner's log, for an app to keep, and to tell whether there is news."""
    app = await call.app()
    grant_id = call.id().bytes
    seen = call.number("seen", 0)
    now = call.services.clock()

    async def job(tx: Tx) -> dict[str, object]:
        grant = await grants.usable_grant(tx, grant_id, app, now)
        row = await tx.one("SELECT size FROM logs WHERE account_id = ?", grant.account)
        head, continues, _ = await _proof(tx, grant.account, seen, ())
        return {"size": row[0] if row else 0, "head": head, "continues": continues}

    return Reply(await call.services.storage.query(job))
