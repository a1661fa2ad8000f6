"""What an app writes under a grant. Nothing is taken that a device would refuse to read.

An app's leaf cannot be taken back, and one that the owner's devices do not believe would stop their
sync for good. So what a device checks (docs/spec/5-log.md, 6-grants.md) is checked here first.
"""

import asyncio
from typing import Annotated, Final, NamedTuple, NoReturn

import msgspec

from coffret_server import grants, quiet
from coffret_server.append import RECORDS_LIMIT, Records, check_pairs, prepare_puts
from coffret_server.bygone import refuse_missing
from coffret_server.data.call import Call, Reply
from coffret_server.ledger import Ledger
from coffret_server.principals import KEY_STANDS, AppCaller
from coffret_server.problems import ProblemError, refuse
from coffret_server.rows import Memory, Put, State, conflict, find_state, wait_briefly
from coffret_server.storage import Tx
from coffret_server.tokens import unauthenticated
from coffret_server.wire.log import Entry, parse_entry, parse_head, split_leaf
from coffret_server.wire.records import check_assigned

SKEW: Final = 600_000_000
"""How far ahead (µs) an app's clock may be."""
TAIL_LIMIT: Final = 10_000
"""Entries by apps behind the owner's newest head; a device refuses a log with 100,000."""
_VERIFIED_AT_ONCE: Final = 32
_TAIL_WAIT: Final = 600


class WritingBody(msgspec.Struct, forbid_unknown_fields=True):
    """What an app writes: a leaf each, and for a put its record."""

    leaves: Annotated[list[bytes], msgspec.Meta(max_length=RECORDS_LIMIT)]
    records: Records | msgspec.UnsetType = msgspec.UNSET


class _Writing(NamedTuple):
    """What an app wrote, checked as far as its bytes go."""

    leaves: list[bytes]
    entries: list[Entry]
    puts: dict[tuple[bytes, int], Put]


async def write_records(call: Call) -> Reply:
    """Write memories under a grant: pending until the owner decides."""
    app = await call.app()
    grant_id = call.id().bytes
    writing = await _prepare(call.body(WritingBody), app, grant_id)
    account, clock = writing.entries[0].account, call.services.clock

    async def granted(tx: Tx) -> grants.Grant:
        grant = await grants.usable_grant(tx, grant_id, app, clock())
        if grant.account != account:
            refuse("not-found", "there is no such grant")
        return grant

    async def job(tx: Tx) -> tuple[int, list[int]]:
        await wait_briefly(tx)
        state = await find_state(tx, account)  # first its lock: a revocation may be on its way
        if state is None:
            await refuse_missing(tx, grant_id, app.app, "account")
        now = clock()  # for that lock it may have waited
        if await tx.one(KEY_STANDS, app.app, app.key.bytes) is None:
            raise unauthenticated()
        grant = await granted(tx)
        _check_scopes(grant, writing.entries)
        ledger = Ledger(tx, account, state)
        earlier = await _written_before(ledger, writing)
        if earlier:
            return state.size, earlier
        await quiet.check(tx, account, now)
        _check_tail(state, len(writing.leaves))
        await _check_times(tx, grant, writing, now)
        await _write(ledger, writing, grant_id, app.app)
        await ledger.waiting.check(grant_id, state, call.services.settings)
        await ledger.finish()
        return ledger.seq, list(range(state.size, ledger.seq))

    await call.services.storage.query(granted)  # nobody else has anything to wait for there
    async with call.limits.turns.at("log of", account, app.key):
        size, indexes = await call.services.storage.submit(job)
    return Reply({"size": size, "indexes": indexes}, status=201)


async def _prepare(body: WritingBody, app: AppCaller, grant: bytes) -> _Writing:
    parts = [] if body.records is msgspec.UNSET else body.records
    if not body.leaves:
        refuse("invalid-input", "there is nothing to write")
    entries = []
    for count, leaf in enumerate(body.leaves):
        entries.append(_app_entry(leaf, app))
        if count % _VERIFIED_AT_ONCE == _VERIFIED_AT_ONCE - 1:
            await asyncio.sleep(0)  # a signature takes 0.1 ms: let others have the loop
    account = entries[0].account
    if any(entry.account != account for entry in entries):
        refuse("invalid-input", "the entries are of several accounts")
    puts = prepare_puts(parts, account, app.app)
    check_pairs(entries, puts)
    if any(put.grant != grant for put in puts.values()):
        refuse("invalid-input", "a record's kek is not this grant's")
    for put in puts.values():
        check_assigned(put.header)
    return _Writing(body.leaves, entries, puts)


def _app_entry(leaf: bytes, app: AppCaller) -> Entry:
    raw, signature = split_leaf(leaf)
    entry = parse_entry(raw)
    if entry.author != app.app or entry.kind not in {"put", "delete"}:
        refuse("invalid-input", "an entry is not a put or delete by this app")
    app.holder.verify_kind("app-entry", signature, raw)
    return entry


def _check_scopes(grant: grants.Grant, entries: list[Entry]) -> None:
    needed = {_scope(entry) for entry in entries}
    if not needed <= grant.scopes:
        refuse("not-granted", "the grant has not that scope")


def _scope(entry: Entry) -> str:
    if entry.kind == "delete":
        return "delete"
    return "create" if entry.version == 1 else "update"


def _check_tail(state: State, more: int) -> None:
    """Refuse what would stand so far behind the owner's head that no device would read it.

    The owner's next head, which a device signs at a sync, covers all that is there.
    """
    if state.size + more > parse_head(state.head).size + TAIL_LIMIT:
        code = "quota-exceeded"
        detail = "the owner's device has to read what was written before; try again later"
        raise ProblemError(code, detail, retry_after=_TAIL_WAIT)


async def _check_times(tx: Tx, grant: grants.Grant, writing: _Writing, now: int) -> None:
    """Refuse what is not written within its grant's time, and what says to be of the future."""
    earliest, latest = await grants.begins(tx, grant), now + SKEW
    updated = [put.header.updated for put in writing.puts.values()]
    if max((*updated, *(entry.time for entry in writing.entries))) > latest:
        refuse("wrong-clock", "what was written is of the future")
    if any(not earliest <= entry.time <= grant.expires for entry in writing.entries):
        refuse("invalid-input", "an entry's time is not within the grant's")


async def _written_before(ledger: Ledger, writing: _Writing) -> list[int]:
    """The indexes of these very leaves, if they are all in the log already."""
    found: list[int] = []
    for leaf, entry in zip(writing.leaves, writing.entries, strict=True):
        seq = await ledger.seq_of(leaf, entry)
        if seq is None:
            return []
        found.append(seq)
    return found


async def _write(ledger: Ledger, writing: _Writing, grant: bytes, app: bytes) -> None:
    subjects = {entry.subject for entry in writing.entries}
    await ledger.load(subjects)
    created = {entry.subject for entry in writing.entries if _scope(entry) == "create"}
    held = await _held_keys(ledger, grant, subjects)
    for memory in filter(None, map(ledger.stored, created)):
        await _refuse_again(ledger, memory, held[memory.memory], app)
    for leaf, entry in zip(writing.leaves, writing.entries, strict=True):
        put = writing.puts.get((entry.subject, entry.version))
        if entry.subject not in created:
            await _check_held(ledger, entry, held[entry.subject], grant)
        if entry.kind == "delete":
            await ledger.delete_pending(leaf, entry, grant)
        elif put is not None:
            await ledger.put_pending(leaf, entry, put)


async def _refuse_again(ledger: Ledger, memory: Memory, keys: set[int], app: bytes) -> NoReturn:
    """Refuse to create what is there, before anything else of the batch is looked at.

    Where it stands, and whether it was deleted, is for the app that made it and for who holds it.
    To anybody else who knows the id there is nothing but that the id was used.
    """
    first = await ledger.target(memory.memory, 1)
    own = first is not None and first.entry.author == app
    known = not memory.deleted and (own or memory.key_number in keys)
    detail = "the memory is deleted" if own and memory.deleted else "a memory with that id exists"
    raise conflict(detail, memory if known else None)


async def _check_held(ledger: Ledger, entry: Entry, keys: set[int], grant: bytes) -> None:
    """An app changes only what its grant holds the key of, the one in use now.

    Where all was rejected, nothing of it is kept, that key neither: under the grant under which it
    was made, and so under that key, the app can propose it again.
    """
    memory = ledger.find(entry.subject)
    if memory is not None and memory.key_number not in keys and memory.list_seq is None:
        first = await ledger.target(memory.memory, 1)
        if first is not None and first.grant == grant:
            keys.add(memory.key_number)
    if memory is None or memory.key_number not in keys:
        refuse("not-granted", "the grant has no key of that memory")


async def _held_keys(ledger: Ledger, grant: bytes, memories: set[bytes]) -> dict[bytes, set[int]]:
    found: dict[bytes, set[int]] = {}
    for memory in memories:
        rows = await ledger.tx.all(
            "SELECT key_number FROM grant_wraps"
            " WHERE account_id = ? AND grant_id = ? AND memory_id = ?",
            ledger.account,
            grant,
            memory,
        )
        found[memory] = {row[0] for row in rows}
    return found
