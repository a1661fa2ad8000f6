"""What a device keeps sealed, from docs/spec/2-envelope.md."""

from __future__ import annotations

import hmac
from typing import Any

from vectors.verifier import keys, objects
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae, sha256, u64
from vectors.verifier.msgpack import Pairs, unpack
from vectors.verifier.refusal import UNTRUSTWORTHY, Refused, require

Values = dict[str, Any]
_hex = bytes.fromhex
_TELLING = {"grant", "pause", "resume", "revoke", "settings", "rotate"}


def _kek(given: Values, purpose: str, generation: int) -> bytes:
    return keys.kek(_hex(given["account_key"]), purpose, _hex(given["account_id"]), generation)


def _opened(given: Values, name: str, note: bytes) -> bytes | None:
    """A note's text; None where it says that it is of earlier keys."""
    generation = int.from_bytes(note[:8], "big")
    if len(note) > 8 and 0 < generation < given["generation"]:
        return None
    header = pae("local-note", _hex(given["account_id"]), u64(generation), name.encode())
    try:
        return keys.open_envelope("note", _kek(given, "local", generation), header, note[8:])
    except Refused:
        raise Refused(UNTRUSTWORTHY) from None


def note(given: Values) -> Values:
    """``u64 generation`` and an envelope, under the note's name."""
    found = _opened(given, given["name"], _hex(given["note"]))
    return {"note": None if found is None else found.hex()}


def _pack(value: Any) -> bytes:
    """MessagePack, each value in its shortest form."""
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(_pack, value))
    if isinstance(value, int):
        if value < 1 << 7:
            return bytes([value])
        width = next(width for width in (1, 2, 4, 8) if value < 1 << 8 * width)
        return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[width]]) + value.to_bytes(width, "big")
    if isinstance(value, str):
        data = value.encode()
        return bytes([0xA0 | len(data)]) + data
    width = 1 if len(value) < 1 << 8 else 2 if len(value) < 1 << 16 else 4
    first = {1: 0xC4, 2: 0xC5, 4: 0xC6}[width]
    return bytes([first]) + len(value).to_bytes(width, "big") + bytes(value)


def _row(row: list[Any], names: int = 0) -> list[Any]:
    """A row of a case: numbers, names, and bytes in hex."""
    return [p if isinstance(p, int) or at < names else _hex(p) for at, p in enumerate(row)]


class _Log:
    """A device's record of its position: a head, the tree under it, and the leaves behind it."""

    def __init__(self, data: bytes) -> None:
        found = unpack(data)
        require(isinstance(found, Pairs))
        record = found.mapping()
        require({"head", "size", "frontier", "tail"} <= record.keys())
        self.note, self.size = record["head"], record["size"]
        require(isinstance(self.note, str) and type(self.size) is int and self.size >= 0)
        require(isinstance(record["frontier"], bytes) and type(record["tail"]) is list)
        self.tail = record["tail"]
        require(all(isinstance(leaf, bytes) for leaf in self.tail))
        self.roots = _roots(self.size, record["frontier"])
        self.head = objects.parse_head(self.note)


def _roots(size: int, data: bytes) -> list[bytes]:
    """The roots of the perfect subtrees, largest first: one for each bit of the size."""
    require(len(data) == 32 * size.bit_count())
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def _folded(roots: list[bytes]) -> bytes:
    if not roots:
        return sha256(b"")
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = sha256(b"\1" + left + root)
    return root


def _grown(size: int, roots: list[bytes], leaves: list[bytes]) -> list[bytes]:
    """The roots after more leaves: as many subtrees are joined as the size has ones at its end."""
    grown = list(roots)
    for at, leaf in enumerate(leaves, size):
        node = sha256(b"\0" + leaf)
        for _ in range((~at & at + 1).bit_length() - 1):
            node = sha256(b"\1" + grown.pop() + node)
        grown.append(node)
    return grown


def record(given: Values) -> Values:
    """The record itself."""
    log = _Log(_hex(given["log"]))
    return {
        "size": log.size + len(log.tail),
        "head": log.note,
        "root": _folded(log.roots).hex(),
        "tail": [leaf.hex() for leaf in log.tail],
    }


def known(given: Values) -> Values:
    """The sum over the rows, and a log that goes on to the owner's head without changing them."""
    text = _opened(given, "known", _hex(given["known"]))
    require(text is not None and len(text) >= 72, UNTRUSTWORTHY)
    text = text or b""
    key, total, size = text[:32], int.from_bytes(text[32:64], "big"), text[64:72]
    for table, names in (("grants", 0), ("wraps", 0), ("values", 1)):
        for row in given.get(table, []):
            term = hmac.digest(key, _pack([table, *_row(row, names)]), "sha256")
            total ^= int.from_bytes(term, "big")
    require(total == 0, UNTRUSTWORTHY)
    at = int.from_bytes(size, "big")
    leaves = [_hex(leaf) for number, leaf in given["leaves"] if number >= at]
    log, owner = _Log(_hex(given["log"])), _hex(given["owner"])
    account = _hex(log.head["account_id"])
    require(log.head["key_id"] == objects.head_key_id(account, owner).hex(), UNTRUSTWORTHY)
    try:
        ed25519_verify(owner, log.head["text"].encode(), _hex(log.head["signature"]))
        told = _grown(at, _roots(at, text[72:]), leaves)
        kinds = {objects.parse_leaf(leaf)["kind"] for leaf in leaves}
    except Refused:
        raise Refused(UNTRUSTWORTHY) from None
    require((log.head["size"], log.head["root"]) == (log.size, _folded(log.roots).hex()),
            UNTRUSTWORTHY)  # fmt: skip
    require(told == _grown(log.size, log.roots, log.tail), UNTRUSTWORTHY)
    require(at + len(leaves) == log.size + len(log.tail), UNTRUSTWORTHY)
    require(not kinds & _TELLING, UNTRUSTWORTHY)
    return {}


def states(given: Values) -> Values:
    """A MAC of the log's record and of the sum over where memories stand."""
    kept, log = _hex(given["states"]), _hex(given["log"])
    require(kept[:8] == u64(given["generation"]), UNTRUSTWORTHY)
    key = _kek(given, "states", given["generation"])
    total = 0
    for row in given["memories"]:
        total += int.from_bytes(hmac.digest(key, _pack(_row(row)), "sha256"), "big")
    told = _pack(["states", log, (total % (1 << 256)).to_bytes(32, "big")])
    require(kept[8:] == hmac.digest(key, told, "sha256"), UNTRUSTWORTHY)
    return {}


_TEXTS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "unsent": (5, (int, bytes, str, str, bytes, str, {}, [(str, str)], bool, bool)),
    "draft": (4, (bytes, bytes, bytes, bool)),
    "unkept": (2, (int, str, int, [bytes], [(bytes, bytes)])),
}
"""Of each note how many parts it has at least, and what they are."""
_LEFT_OUT = {
    "unsent": ["application/json", {}, [], False, False],
    "unkept": [0, [], []],
    "draft": [],
}


def _sharing(note: bytes) -> list[Any]:
    require(len(note) % 24 == 0)
    items = [note[at : at + 24] for at in range(0, len(note), 24)]
    return [[item[:16].hex(), int.from_bytes(item[16:], "big")] for item in items]


def _read_since(note: bytes) -> list[Any]:
    require(len(note) == 40)
    return [note[:32].hex(), int.from_bytes(note[32:], "big")]


def _places(note: bytes) -> Any:
    places = unpack(note)
    require(isinstance(places, Pairs))
    require(all(isinstance(side, str) for pair in places for side in pair))
    return places.mapping()


_PLAIN = {"sharing": _sharing, "read since": _read_since, "import places": _places}
"""Notes that are no arrays."""


def freshened(given: Values) -> Values:
    """Which grants were over, as a hash of their ids."""
    return {"note": sha256(b"".join(sorted(map(_hex, given["over"])))).hex()}


def text(given: Values) -> Values:
    """What stands in a note, with what it leaves out at its end, and without what nobody knows."""
    if given["kind"] in _PLAIN:
        return {"said": _PLAIN[given["kind"]](_hex(given["note"]))}
    said, kind = unpack(_hex(given["note"])), given["kind"]
    least, parts = _TEXTS[kind]
    require(type(said) is list and len(said) >= least)
    shown = [_part(part, wanted) for part, wanted in zip(said, parts, strict=False)]
    return {"said": shown + _LEFT_OUT[kind][len(shown) - least :]}


def _part(part: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict):
        require(isinstance(part, Pairs))
        require(all(isinstance(side, str) for pair in part for side in pair))
        return part.mapping()
    if isinstance(wanted, list):
        require(type(part) is list)
        return [_part(item, wanted[0]) for item in part]
    if isinstance(wanted, tuple):
        require(type(part) is list and len(part) == len(wanted))
        return [_part(item, one) for item, one in zip(part, wanted, strict=True)]
    require(type(part) is wanted)
    return part.hex() if wanted is bytes else part
