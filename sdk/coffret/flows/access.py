"""Read and write under a grant, as an app. docs/spec/6-grants.md, Writing by an app."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from coffret.flows.apps import send
from coffret.flows.http import (
    MSGPACK,
    Count,
    Cursor,
    Request,
    VersionConflictError,
    decode_msgpack,
    encode_msgpack,
)
from coffret.flows.moments import not_before
from coffret.flows.owners import check_live
from coffret.flows.readable import Readable, joined, turned_down
from coffret.flows.witness import (
    check_leaves,
    check_named,
    check_not_older,
    check_own,
    check_rejected,
    witnessed,
)
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    GrantError,
    OpenError,
    QuotaError,
    TrustError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import Header, Kek, Payload, Record, parse_header, record_digest
from coffret_vault.records.memory import (
    APPROVED,
    PENDING,
    REJECTED,
    Fields,
    Memory,
    Review,
    checked,
)
from coffret_vault.records.seal import (
    Stamp,
    Wrapping,
    make_record,
    open_version,
    to_memory,
    unwrap_memory_key,
    written_memory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.records.memory import ReviewStatus

T = TypeVar("T")
_PAGE = 1_000
_STATUS: dict[str, ReviewStatus] = {"accepted": APPROVED, "pending": PENDING, "rejected": REJECTED}


class _Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    header: bytes
    envelope: bytes
    key_number: Count
    wrap: bytes
    status: Literal["accepted", "pending", "rejected"]
    index: Count
    leaf: bytes

    @property
    def accepted(self) -> bool:
        """Whether the owner made it current; else it is said to be this app's own proposal."""
        return self.status == "accepted"

    @property
    def decided(self) -> bool:
        """Whether it comes with the owner's decision, and not with the entry by which it waits."""
        return self.status != "pending"


class _Page(msgspec.Struct, frozen=True, array_like=True):
    next: Cursor | None
    items: list[_Item]
    head: str
    continues: list[bytes]
    nodes: list[bytes]


class _HeadAnswer(msgspec.Struct, frozen=True):
    head: str
    continues: list[bytes]


def read_all(state: AppState, held: Held) -> Flow[dict[str, Readable]]:
    """Everything the grant lets this app read now, by id; its own unreviewed writings too.

    All that is shown is in the owner's log, or this app's own, and opens. A server can withhold a
    memory: which ones a grant holds is signed by nobody.

    Raises:
        GrantError: the grant is paused, revoked or expired.
        FormatError: the server's pages have no end, or hold what is not a memory.
        StoreMovedError: other processes of this app were quicker again and again.
        TrustError: the owner's log was turned back or forked, or does not name what is shown; or
            what it names does not open.
    """
    check_live(state, held)
    with state.last_read.of(held.username, held.grant.account_id) as seen:
        return (yield from _read_all(state, held, seen))


def _read_all(state: AppState, held: Held, seen: dict[bytes, int]) -> Flow[dict[str, Readable]]:
    found: dict[str, Readable] = {}
    shown: set[tuple[str, int, str]] = set()
    cursor: str | None = ""
    while cursor is not None:
        page, head = yield from witnessed(state, held, partial(_page, state, held, cursor))
        decided = [(item.index, item.leaf) for item in page.items if item.decided]
        check_leaves(head, decided, page.nodes)
        before = len(shown)
        for item in page.items:
            readable = _open(state, held, item, seen)
            name = readable.memory.id
            shown.add((name, readable.header.version, item.status))
            found[name] = joined(found.get(name, readable), readable)
        if page.items and page.next is not None and len(shown) == before:
            message = "the server's pages go on without anything new"
            raise FormatError(message)
        cursor = page.next if page.items else None
    return found


def _page(state: AppState, held: Held, cursor: str, seen: int) -> Flow[_Page]:
    params = [("limit", str(_PAGE)), ("seen", str(seen))]
    if cursor:
        params.append(("cursor", cursor))
    path = f"/grants/{id_text(held.grant.grant_id)}/records"
    request = Request("GET", path, media=MSGPACK, params=tuple(params))
    return decode_msgpack((yield from send(state, request)), _Page)


def receipt(state: AppState, held: Held) -> Flow[str]:
    """The newest head of the owner's log, as this app is shown it now, and keeps it.

    Raises:
        GrantError: the grant is paused, revoked or expired.
        TrustError: the log was turned back or forked.
    """
    check_live(state, held)
    _, head = yield from witnessed(state, held, partial(_head, state, held))
    return head.note


def _head(state: AppState, held: Held, seen: int) -> Flow[_HeadAnswer]:
    path = f"/grants/{id_text(held.grant.grant_id)}/head"
    request = Request("GET", path, media=MSGPACK, params=(("seen", str(seen)),))
    return decode_msgpack((yield from send(state, request)), _HeadAnswer)


def _open(state: AppState, held: Held, item: _Item, seen: dict[bytes, int]) -> Readable:
    if item.status == "rejected":
        return _turned_down(state, item)
    header = parse_header(item.header)
    digest = record_digest(item.header, item.envelope)
    if item.accepted:
        check_named(header, digest, item.leaf)
        check_not_older(seen, header.memory_id, item.index)
    else:
        check_own(state, header, digest, item.leaf)
    payload, key = _opened(held, header, item)
    memory = to_memory(header, payload, Review(_STATUS[item.status]))
    if item.accepted:
        seen[header.memory_id] = item.index
    return Readable(memory, header, payload, key, header.version, digest)


def _turned_down(state: AppState, item: _Item) -> Readable:
    """What this app wrote and the owner rejected: nobody has more of it than these entries.

    In the place of the header, which is erased, stands the one by which it was written.
    """
    if item.envelope or item.wrap:
        message = "the server shows what is sealed of a memory that was rejected, and so erased"
        raise TrustError(message)
    readable = turned_down(item.header, item.key_number)
    check_own(state, readable.header, readable.digest, item.header)
    check_rejected(readable.header, readable.digest, item.leaf)
    return readable


def _check_of_grant(held: Held, header: Header, item: _Item) -> None:
    if header.account_id != held.grant.account_id or header.key_number != item.key_number:
        message = "the server shows a memory that is not of the grant"
        raise TrustError(message)


def _opened(held: Held, header: Header, item: _Item) -> tuple[Payload, SecretBytes]:
    """What is sealed, and the memory's key; the owner took nothing that does not open."""
    _check_of_grant(held, header, item)
    try:
        key = unwrap_memory_key(header, item.wrap, _wrapping(held))
        return open_version(item.header, item.envelope, key), key
    except OpenError:
        message = "a memory of the grant does not open"
        raise TrustError(message) from None


def _wrapping(held: Held) -> Wrapping:
    return Wrapping(Kek(grant_id=held.grant.grant_id), held.key)


def now_of(state: AppState, held: Held) -> int:
    """The time (microseconds); never before the grant, whose owner's clock may be ahead of ours."""
    return max(state.ambient.now(), held.grant.created)


def check_scope(held: Held, scope: str) -> None:
    """Write nothing that the grant does not allow.

    Raises:
        GrantError: it does not include that scope.
    """
    if scope not in held.grant.scopes:
        message = f"the grant does not include {scope}"
        raise GrantError(message)


def update(
    state: AppState,
    held: Held,
    known: Readable,
    change: Callable[[Fields], Fields],
) -> Flow[Memory]:
    """Propose a memory's next version.

    Raises:
        GrantError: the grant does not include ``update``, or is not in force.
        ConflictError: the memory has moved on; read it again. Or the owner rejected it.
    """
    check_live(state, held)
    check_scope(held, "update")
    if (key := known.key) is None:
        message = "the owner rejected this, and it is erased; write another memory"
        raise ConflictError(message)
    fields = change(known.memory.fields())

    def propose(newest: int, _digest: bytes) -> Flow[Memory]:
        stamp = Stamp(
            account_id=held.grant.account_id,
            memory_id=known.header.memory_id,
            version=newest + 1,
            key_number=known.header.key_number,
            author=Author(state.manifest.app_id),
            created=known.header.created,
            updated=not_before(known.header, now_of(state, held)),
        )
        version = sealed(state, held, stamp, fields, key)
        yield from submit(state, held, (version.entry,), (version.record,))
        return version.memory

    return (yield from _behind_others(state, held, known, propose))


def _behind_others(
    state: AppState, held: Held, known: Readable, propose: Callable[[int, bytes], Flow[T]]
) -> Flow[T]:
    """Propose something about the newest version.

    Versions count every app's proposals, and those of others are not shown to this app: where they
    alone are in the way, the proposal is made behind them.
    """
    try:
        return (yield from propose(known.newest, known.digest))
    except VersionConflictError as conflict:
        again = (yield from read_all(state, held)).get(known.memory.id)
        if again is None or again.memory.version != known.memory.version:
            raise
        return (yield from propose(conflict.version, conflict.digest))


class Sealed(msgspec.Struct, frozen=True):
    """A version that this app made: what is sent of it, and the memory as its owner will read it.

    ``memory`` waits for the owner's review.
    """

    entry: Entry
    record: Record
    memory: Memory

    def __repr__(self) -> str:
        return f"<Sealed {self.memory.id}>"


def sealed(state: AppState, held: Held, stamp: Stamp, fields: Fields, key: SecretBytes) -> Sealed:
    """Seal a version for the owner, and for whom the owner gives it to.

    Raises:
        InputError: the fields cannot be a memory.
    """
    fields = checked(fields)
    record = make_record(stamp, fields, key, _wrapping(held), random=state.ambient.random)
    entry = Entry(
        account_id=stamp.account_id,
        kind=kinds.PUT,
        subject=stamp.memory_id,
        version=stamp.version,
        digest=record.digest,
        author=stamp.author,
        time=stamp.updated,
    )
    memory = msgspec.structs.replace(written_memory(stamp, fields), review=Review(PENDING))
    return Sealed(entry, record, memory)


def forget(state: AppState, held: Held, known: Readable) -> Flow[None]:
    """Propose to delete a memory; it is gone when the owner agrees.

    Raises:
        GrantError: the grant does not include ``delete``, or is not in force.
        ConflictError: the owner has not accepted it yet, and can only turn it down.
    """
    check_live(state, held)
    check_scope(held, "delete")

    def propose(newest: int, digest: bytes) -> Flow[None]:
        entry = Entry(
            account_id=held.grant.account_id,
            kind=kinds.DELETE,
            subject=known.header.memory_id,
            version=newest + 1,
            digest=digest,
            author=Author(state.manifest.app_id),
            time=now_of(state, held),
        )
        yield from submit(state, held, (entry,), ())

    try:
        yield from _behind_others(state, held, known, propose)
    except VersionConflictError:
        raise
    except ConflictError:
        message = "the owner has not accepted this memory yet; what waits cannot be deleted"
        raise ConflictError(message, hint="Its owner can reject it.") from None


def submit(
    state: AppState, held: Held, entries: Sequence[Entry], records: Sequence[Record]
) -> Flow[None]:
    """Send what this app wrote, all of it or nothing; the very same again is the same.

    Raises:
        ConflictError: there is something else by one of these ids and versions.
        QuotaError: the owner's vault takes no more from apps now.
    """
    leaves = [_leaf(state, entry) for entry in entries]
    body = encode_msgpack({"records": records, "leaves": leaves})
    path = f"/grants/{id_text(held.grant.grant_id)}/memory-blobs"
    try:
        yield from send(state, Request("POST", path, body, media=MSGPACK))
    except QuotaError:
        reason = "the owner's vault takes no more from apps now"
        hint = "It does when the owner has synced, and decided about what waits."
        raise QuotaError(reason, hint=hint) from None


def _leaf(state: AppState, entry: Entry) -> bytes:
    message = ENTRY.serialize(entry)
    return message + sign_statement(state.identity.signing, "app-entry", message)
