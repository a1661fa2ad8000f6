"""Run one case of what is read off the wire through the SDK."""

from __future__ import annotations

from typing import Any

from coffret.flows.http import Response, decode_msgpack
from coffret.flows.keychange import KeysPage
from coffret.flows.keys import _opened
from coffret.flows.sync import _Page
from coffret_vault.errors import OpenError
from coffret_vault.formats.memory import Kek, Record
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.seal import Wrapping

Values = dict[str, Any]
_hex = bytes.fromhex


def _answer(given: Values) -> Response:
    return Response(200, {}, _hex(given["bytes"]))


def sync_page(given: Values) -> Values:
    """A page of the feed."""
    page = decode_msgpack(_answer(given), _Page)
    items = [[leaf.hex(), record and record.digest.hex()] for leaf, record in page.items]
    return {"size": page.size, "head": page.head, "items": items}


def memory_keys(given: Values) -> Values:
    """A page of memory keys."""
    page = decode_msgpack(_answer(given), KeysPage)
    keys = [[m.hex(), number, kek.hex(), wrap.hex()] for m, number, kek, wrap in page.keys]
    return {"next": page.next, "keys": keys}


def open_record(given: Values) -> Values:
    """A record, for its owner or for whoever holds a grant's key."""
    record = decode_msgpack(_answer(given), Record)
    keyring = Keyring(_hex(given["account_id"]), 1, SecretBytes(_hex(given["account_key"])))

    def wrapping(kek: Kek) -> Wrapping:
        if kek.grant_id is None:
            return Wrapping(kek, keyring.kek("memory", kek.generation))
        if kek.grant_id != _hex(given["grant_id"]):
            raise OpenError
        return Wrapping(kek, SecretBytes(_hex(given["grant_key"])))

    payload = _opened(record, wrapping).payload
    return {"content": payload.content, "digest": record.digest.hex()}


OPERATIONS = {"sync-page": sync_page, "memory-keys": memory_keys, "open-record": open_record}
