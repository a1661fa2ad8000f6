"""Run one case of what a device keeps sealed through its store."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from coffret import confirming, sources
from coffret.flows import drafts, grants, handover, unkept, unsent
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Store, decoded, open_note
from coffret_vault.store.mark import parse_mark
from coffret_vault.store.seals import Sealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Values = dict[str, Any]
_hex = bytes.fromhex
_INTO = {
    "grants": "INSERT INTO grants VALUES (?, ?)",
    "wraps": "INSERT INTO wraps VALUES (?, ?, ?)",
    "values": "INSERT INTO meta VALUES (?, ?)",
    "memories": "INSERT INTO memories VALUES (?, ?, ?, ?)",
    "leaves": "INSERT INTO leaves VALUES (?, ?)",
}


def ring(given: Values) -> Keyring:
    """The keys of a case."""
    key = SecretBytes(_hex(given["account_key"]))
    return Keyring(_hex(given["account_id"]), given["generation"], key)


def row_of(table: str, row: list[Any]) -> list[Any]:
    """A row as it lies in the store: numbers and the names of values as they are."""
    is_name = table == "values"
    return [
        part if isinstance(part, int) or (is_name and at == 0) else _hex(part)
        for at, part in enumerate(row)
    ]


@contextmanager
def stored(given: Values) -> Iterator[Store]:
    """A store with these rows, and their seals where there are any."""
    with TemporaryDirectory() as folder, closing(Store(Path(folder) / "store.db")) as store:
        for table, statement in _INTO.items():
            for row in given.get(table, []):
                store._database.execute(statement, row_of(table, row))
        for name in ("log", "known", "states"):
            if name in given:
                store._database.execute(_INTO["values"], (name, _hex(given[name])))
        store.hold(Sealing(ring(given), _hex(given["owner"]), os.urandom))
        yield store


def note(given: Values) -> Values:
    """A note of a device; nothing of it where it is of earlier keys."""
    found = open_note(ring(given), given["name"], _hex(given["note"]))
    return {"note": None if found is None else found.hex()}


def known(given: Values) -> Values:
    """Whether what a device knows is what it sealed."""
    with stored(given) as store:
        store.known.check()
    return {}


def states(given: Values) -> Values:
    """Whether memories stand where the device sealed that they do."""
    with stored(given) as store:
        store.state_seal.check()
    return {}


def mark(given: Values) -> Values:
    """How far a log was verified."""
    found = parse_mark(_hex(given["log"]))
    return {
        "size": found.size,
        "head": found.head.note,
        "root": found.frontier.root().hex(),
        "tail": [leaf.hex() for leaf in found.tail],
    }


_KINDS: dict[str, Callable[[bytes], Any]] = {
    "unsent": unsent._decode,
    "draft": drafts._decode,
    "unkept": unkept._decode,
}


def _sharing(note: bytes) -> list[Any]:
    return [[memory, number] for memory, number in handover.read_sharing(note).items()]


_PLAIN: dict[str, Callable[[bytes], Any]] = {
    "sharing": _sharing,
    "read since": confirming.read_place,
    "import places": partial(decoded, sources._decode_places),
}


def over(given: Values) -> Values:
    """What is noted of which grants are over."""
    return {"note": grants.over_digest(map(_hex, given["over"])).hex()}


def text(given: Values) -> Values:
    """What is said in a note, and how it is said again."""
    if given["kind"] in _PLAIN:
        return {"said": _shown(_PLAIN[given["kind"]](_hex(given["note"])))}
    found = decoded(_KINDS[given["kind"]], _hex(given["note"]))
    return {"said": _shown(msgspec.to_builtins(found, builtin_types=(bytes,)))}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    return value


OPERATIONS = {
    "note-text": text,
    "note-freshened": over,
    "open-note": note,
    "known-seal": known,
    "states-seal": states,
    "log-record": mark,
}
