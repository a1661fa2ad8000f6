"""Read and write under a grant, as an app. docs/spec/6-grants.md, Writing by an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.apps import send
from coffret.flows.http import MSGPACK, Request, decode_msgpack, encode_msgpack
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import (
    FormatError,
    GrantError,
    GrantExpiredError,
    NotFoundError,
    OpenError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import HEADER, Header, Kek, Payload, Record, record_digest
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.memory import APPROVED, PENDING, Fields, Memory, Review
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
    from collections.abc import Callable, Mapping

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow

_PAGE = 1_000
_STATUS = {"approved": APPROVED, "pending": PENDING, "pending_review": PENDING}


class _Item(msgspec.Struct, frozen=True, array_like=True):
    header: bytes
    envelope: bytes
    key_number: int
    wrap: bytes
    status: str
    leaf: int


class _Page(msgspec.Struct, frozen=True, array_like=True):
    next: str | None
    items: list[_Item]


class Readable(msgspec.Struct, frozen=True):
    """A memory under a grant: opened, with its key and what its newest version's digest is."""

    memory: Memory
    header: Header
    payload: Payload
    key: SecretBytes
    digest: bytes

    def __repr__(self) -> str:
        return f"<Readable {self.memory.id}>"


def read_all(state: AppState, held: Held) -> Flow[dict[str, Readable]]:
    """Everything the grant lets this app read now, by id; its own unreviewed writings too.

    What does not open is left out: a server can always withhold, and a record that does not open
    says no more than one that is not there.

    Raises:
        GrantError: the grant is paused, revoked or expired, or does not include reading.
    """
    _check_live(state, held)
    found: dict[str, Readable] = {}
    cursor: str | None = ""
    while cursor is not None:
        params = (("limit", str(_PAGE)),) + ((("cursor", cursor),) if cursor else ())
        path = f"/grants/{id_text(held.grant.grant_id)}/records"
        request = Request("GET", path, media=MSGPACK, params=params)
        page = decode_msgpack((yield from send(state, request)), _Page)
        for item in page.items:
            readable = _open(held, item)
            if readable is not None and _newer(found, readable):
                found[readable.memory.id] = readable
        cursor = page.next if page.items else None
    return found


def _newer(found: dict[str, Readable], readable: Readable) -> bool:
    known = found.get(readable.memory.id)
    return known is None or known.memory.version < readable.memory.version


def _check_live(state: AppState, held: Held) -> None:
    if held.grant.expires <= state.ambient.now():
        raise GrantExpiredError


def _open(held: Held, item: _Item) -> Readable | None:
    try:
        header = HEADER.parse(item.header)
        if header.account_id != held.grant.account_id or header.key_number != item.key_number:
            return None
        key = unwrap_memory_key(header, item.wrap, _wrapping(held))
        payload = open_version(item.header, item.envelope, key)
    except (OpenError, FormatError):
        return None
    review = Review(_STATUS.get(item.status, "rejected"))
    memory = to_memory(header, payload, review)
    return Readable(memory, header, payload, key, record_digest(item.header, item.envelope))


def _wrapping(held: Held) -> Wrapping:
    return Wrapping(Kek(grant_id=held.grant.grant_id), held.key)


def _check_scope(held: Held, scope: str) -> None:
    if scope not in held.grant.scopes:
        message = f"the grant does not include {scope}"
        raise GrantError(message)


def remember(state: AppState, held: Held, fields: Fields) -> Flow[Memory]:
    """Write a memory into the owner's vault; it waits for the owner's review.

    Raises:
        GrantError: the grant does not include ``create``, or is not in force.
        InputError: the fields cannot be a memory.
    """
    _check_live(state, held)
    _check_scope(held, "create")
    now = state.ambient.now()
    stamp = Stamp(
        account_id=held.grant.account_id,
        memory_id=state.ambient.new_id(),
        version=1,
        key_number=1,
        author=Author(state.manifest.app_id),
        created=now,
        updated=now,
    )
    key = generate_key(state.ambient.random)
    return (yield from _write(state, held, stamp, fields, key))


def update(
    state: AppState,
    held: Held,
    known: Readable,
    change: Callable[[Fields], Fields],
) -> Flow[Memory]:
    """Propose a memory's next version.

    Raises:
        GrantError: the grant does not include ``update``, or is not in force.
        ConflictError: the memory has moved on; read it again.
    """
    _check_live(state, held)
    _check_scope(held, "update")
    stamp = Stamp(
        account_id=held.grant.account_id,
        memory_id=known.header.memory_id,
        version=known.header.version + 1,
        key_number=known.header.key_number,
        author=Author(state.manifest.app_id),
        created=known.header.created,
        updated=max(state.ambient.now(), known.header.created),
    )
    return (yield from _write(state, held, stamp, change(known.memory.fields()), known.key))


def _write(
    state: AppState, held: Held, stamp: Stamp, fields: Fields, key: SecretBytes
) -> Flow[Memory]:
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
    yield from _submit(state, held, entry, (record,))
    memory = written_memory(stamp, fields)
    return msgspec.structs.replace(memory, review=Review(PENDING))


def forget(state: AppState, held: Held, known: Readable) -> Flow[None]:
    """Propose to delete a memory; it is gone when the owner agrees.

    Raises:
        GrantError: the grant does not include ``delete``, or is not in force.
    """
    _check_live(state, held)
    _check_scope(held, "delete")
    entry = Entry(
        account_id=held.grant.account_id,
        kind=kinds.DELETE,
        subject=known.header.memory_id,
        version=known.header.version + 1,
        digest=known.digest,
        author=Author(state.manifest.app_id),
        time=state.ambient.now(),
    )
    yield from _submit(state, held, entry, ())


def _submit(state: AppState, held: Held, entry: Entry, records: tuple[Record, ...]) -> Flow[None]:
    message = ENTRY.serialize(entry)
    signature = sign_statement(state.identity.signing, "app-entry", message)
    body = encode_msgpack({"records": records, "leaves": [message + signature]})
    path = f"/grants/{id_text(held.grant.grant_id)}/memory-blobs"
    yield from send(state, Request("POST", path, body, media=MSGPACK))


def one(readable: Mapping[str, Readable], memory_id: str) -> Readable:
    """One of the memories that were read.

    Raises:
        NotFoundError: it is not among them.
    """
    try:
        return readable[id_text(parse_id(memory_id.strip().lower()))]
    except (KeyError, FormatError):
        message = "this grant has no such memory"
        raise NotFoundError(message) from None
