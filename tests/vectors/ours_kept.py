"""The operations on what is kept: names of wrapping keys, indexes, what is known again."""

from __future__ import annotations

import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coffret.exchanges import named
from coffret.kit import read_kit
from coffret_vault.formats.memory import KEK
from coffret_vault.grants.apps import index_key, messages_key
from coffret_vault.ingest import Draft
from coffret_vault.ingest.messages import Exchange, Read
from coffret_vault.ingest.turns import Message
from coffret_vault.keyring import Keyring
from coffret_vault.keyslots.slots import Place, secret_key_mark
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store.snapshot import load_grant_snapshot, load_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    Values = dict[str, Any]

_hex = bytes.fromhex


def _key(value: str) -> SecretBytes:
    return SecretBytes(_hex(value))


def read_kek(given: Values) -> Values:
    """Which key a memory key is wrapped under."""
    kek = KEK.decode(_hex(given["bytes"]))
    assert KEK.encode(kek) == _hex(given["bytes"])
    if kek.grant_id is not None:
        return {"grant_id": kek.grant_id.hex()}
    return {"generation": kek.generation}


def _loaded(given: Values, load: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        path.write_bytes(_hex(given["file"]))
        found = load(path)
    assert found is not None
    return found


def open_index(given: Values) -> Values:
    """A device's search index, as it stands in its file."""
    account_id, generation = _hex(given["account_id"]), given["generation"]
    keyring = Keyring(account_id, generation, _key(given["account_key"]))
    size, index = _loaded(given, lambda path: load_snapshot(path, keyring))
    return {"size": size, "digest": sha256(index).hexdigest()}


def open_grant_index(given: Values) -> Values:
    """What an app keeps of a grant's search index."""
    grant_id = _hex(given["grant_id"])
    key = index_key(_key(given["grant_key"]), grant_id)
    index = _loaded(given, lambda path: load_grant_snapshot(path, grant_id, key))
    return {"digest": sha256(index).hexdigest()}


def mark(given: Values) -> Values:
    """By what a device knows its Secret Key again."""
    place = Place(given["origin"], _hex(given["account_id"]))
    return {"mark": secret_key_mark(_key(given["secret_key"]), place).hex()}


def app_messages_key(given: Values) -> Values:
    """An app's key for the exchanges that it writes for an owner."""
    key = messages_key(_hex(given["seeds"]), _hex(given["account_id"]), given["username"])
    return {"key": key.reveal().hex()}


def exchange_ids(given: Values) -> Values:
    """The ids that an exchange had as it grew, message by message."""
    labels = {name: given[name] for name in ("agent", "user") if given[name]}
    messages = tuple(
        Message(id=str(at), role=role, sender=sender, text=text, time=None)
        for at, (role, sender, text) in enumerate(given["messages"])
    )
    exchange = Exchange(Draft(key="k", source="s", content="c", labels=labels), messages)
    (found,) = named(_hex(given["key"]), Read((exchange,), given["session"], ()))
    return {"ids": [name.hex() for name in found.ids]}


def kit(given: Values) -> Values:
    """What a recovery kit says."""
    found = read_kit(given["page"])
    return {
        "origin": found.origin,
        "username": found.username,
        "account_id": found.account_id.hex(),
        "secret_key": found.secret_key,
        "recovery_code": found.recovery_code,
    }


OPERATIONS: dict[str, Callable[[Values], Values]] = {
    "read-kek": read_kek,
    "open-index": open_index,
    "open-grant-index": open_grant_index,
    "secret-key-mark": mark,
    "app-messages-key": app_messages_key,
    "exchange-ids": exchange_ids,
    "read-kit": kit,
}
