"""Run one case of what an app reads under a grant through the SDK."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from coffret.flows import access, witness
from coffret.flows.http import Response, decode_msgpack
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.memory import REJECTED
from vectors.making.samples import CARD

Values = dict[str, Any]
_hex = bytes.fromhex


def _held(given: Values) -> Any:
    """A grant as far as reading asks it; its owner's card has the key of the case."""
    card = {"account_id": _hex(given["account_id"]), "signing_public": _hex(given["owner"])}
    message = ACCOUNT_CARD.serialize(CARD.__class__(**{**_fields(), **card}))
    grant = SimpleNamespace(
        grant_id=_hex(given["grant_id"]), account_id=_hex(given["account_id"]), created=0
    )
    owner = SimpleNamespace(message=message, signature=bytes(64))
    key = SecretBytes(_hex(given["grant_key"]))
    return SimpleNamespace(grant=grant, owner=owner, username=CARD.username, key=key)


def _fields() -> Values:
    return {name: getattr(CARD, name) for name in CARD.__struct_fields__}


def _state(given: Values, folder: str) -> Any:
    return SimpleNamespace(
        manifest=SimpleNamespace(app_id=_hex(given["app_id"])),
        identity=SimpleNamespace(signing=SimpleNamespace(public=_hex(given["public"]))),
        owners=SimpleNamespace(keep_head=lambda _username, _head: None),
        file=SimpleNamespace(origin="https://vault.example"),
        path=Path(folder) / "app.json",
    )


def _known(given: Values) -> Any:
    return None if given["known"] is None else parse_head(given["known"])


def grant_head(given: Values) -> Values:
    """The newest head, as an app that knows another one takes it."""
    answer = decode_msgpack(Response(200, {}, _hex(given["bytes"])), access._HeadAnswer)
    with TemporaryDirectory() as folder:
        state = _state(given, folder)
        head = witness._take_head(state, _held(given), _known(given), answer)
    return {"size": head.head.size}


def grant_page(given: Values) -> Values:
    """A page of records, verified and opened as an app does."""
    page = decode_msgpack(Response(200, {}, _hex(given["bytes"])), access._Page)
    held, seen = _held(given), dict[bytes, int]()
    with TemporaryDirectory() as folder:
        state = _state(given, folder)
        head = witness._take_head(state, held, _known(given), page)
        decided = [(item.index, item.leaf) for item in page.items if item.decided]
        witness.check_leaves(head, decided, page.nodes)
        items = []
        for item in page.items:
            found = access._open(state, held, item, seen)
            header, memory = found.header, found.memory
            content = None if memory.review.status == REJECTED else memory.content
            items.append([header.memory_id.hex(), header.version, item.status, content])
    return {"next": page.next, "size": head.head.size, "items": items}


OPERATIONS = {"grant-head": grant_head, "grant-page": grant_page}
