"""What is carried and kept whole: files for others, bodies on the wire, rows and notes of a device.

The seals over rows and notes are in `sealed.py`: here is what stands in them. Where the reader of a
body is a route of the server, it is called as the route does.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from coffret.flows import begun, drafts, state, unkept, unsent
from coffret.flows.http import Response, decode_msgpack, encode_msgpack
from coffret.flows.keys import _opened
from coffret.flows.sync import _Page
from coffret_server import strict
from coffret_server.append import Append, Vault, prepare
from coffret_server.data.call import _from_msgpack, from_json
from coffret_server.problems import unshaped
from coffret_server.signatures import Verifier
from coffret_vault.errors import FormatError, TrustError
from coffret_vault.formats.memory import Record
from coffret_vault.formats.settings import Settings
from coffret_vault.ingest.draft import Draft
from coffret_vault.ingest.export import read_export, write_export
from coffret_vault.log.audit import lines_of
from coffret_vault.log.auditing import audit
from coffret_vault.log.settled import Settled, pack_settled, unpack_settled
from coffret_vault.store import GrantRow, decoded
from coffret_vault.store.grants import _row as grant_row
from coffret_vault.store.mark import parse_mark
from harness.kinds.stated import encoded, head_note
from harness.kinds.table import ONE, Table, reader
from vectors.making import audit as audits
from vectors.making import entering, noted, wire
from vectors.making.samples import ACCOUNT_ID

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_vault.formats.memory import Kek
    from coffret_vault.records.seal import Wrapping

_pack = msgspec.msgpack.encode
_GRANT_ROW = GrantRow(encoded("grant"), encoded("app-manifest"), b"", 1, b"", "active", 1, 1)


def _audit(data: bytes) -> None:
    if not audit(lines_of(BytesIO(data))).is_whole:
        raise TrustError


def _append(data: bytes) -> object:
    """As `POST /log` reads what comes as MessagePack."""
    try:
        found = _from_msgpack(data, Append)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise unshaped(error, "the body") from None
    return prepare(found, Vault.of(UUID(bytes=ACCOUNT_ID), Verifier(ONE.signing.public)))


def _append_of_json(data: bytes) -> object:
    """As it reads what comes as JSON."""
    try:
        found = from_json(strict.loads(data), Append)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise unshaped(error, "the body") from None
    return prepare(found, Vault.of(UUID(bytes=ACCOUNT_ID), Verifier(ONE.signing.public)))


def _answer(data: bytes) -> Response:
    return Response(200, {}, data)


def _record(data: bytes) -> object:
    """As its owner, who has all keys."""

    def wrapping(kek: Kek) -> Wrapping:
        return wire.OWNERS if kek.grant_id is None else wire.GRANTS

    return _opened(decode_msgpack(_answer(data), Record), wrapping)


def _sign_up(data: bytes) -> object:
    """A sign-up under way, up to where it asks for a passphrase."""
    file = begun.read_file(data)
    if not file.sealed:
        raise FormatError
    return file


def carried(folder: Path) -> Table:
    """Everything of this module."""
    path = folder / "export.jsonl"
    export = b"".join(write_export([Draft(key="k", source="s", content="x")]))

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return list(read_export(path))

    page = [1, head_note(), [(encoded("log-entry"), wire.RECORD)]]
    account = entering.MADE.account
    return Table(
        {
            "audit file": audits.whole(audits.leaves()[:6]),
            "export": export,
            "append": encode_msgpack(wire.FULL),
            "append in JSON": wire.in_json().encode(),
            "sync page": encode_msgpack(page),
            "record in bytes": encode_msgpack(wire.RECORD),
            "sign-up file": entering.sign_up_file(),
            "sign-up body": entering.MADE.body,
            "log record": noted.log_record(),
            "unsent": _pack(noted.UNSENT),
            "draft": _pack(noted.DRAFT),
            "unkept": _pack(noted.UNKEPT),
            "account row": state.account_meta(account)["account"],
            "grant row": _pack(_GRANT_ROW),
            "settled": pack_settled(Settled(1, Settings(sealed=True))),
        },
        {
            "audit file": reader(_audit, "audit file"),
            "export": reader(read, "export"),
            "server: append": reader(_append, "append"),
            "server: append in JSON": reader(_append_of_json, "append in JSON"),
            "sync page": reader(lambda data: decode_msgpack(_answer(data), _Page), "sync page"),
            "record in bytes": reader(_record, "record in bytes"),
            "sign-up file": reader(_sign_up, "sign-up file"),
            "sign-up body": reader(partial(decoded, begun._decode_body), "sign-up body"),
            "log record": reader(parse_mark, "log record"),
            "unsent": reader(partial(decoded, unsent._decode), "unsent"),
            "draft": reader(partial(decoded, drafts._decode), "draft"),
            "unkept": reader(partial(decoded, unkept._decode), "unkept"),
            "account row": reader(partial(decoded, state._decode), "account row"),
            "grant row": reader(grant_row, "grant row"),
            "settled": reader(unpack_settled, "settled"),
        },
    )
