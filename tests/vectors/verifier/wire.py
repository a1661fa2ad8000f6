"""What a device and a server send each other: docs/spec/7-http.md, and records of 4-records.md."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from vectors.verifier import keys, objects
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae, read_id, sha256, u64
from vectors.verifier.kept import read_kek
from vectors.verifier.msgpack import Pairs, unpack
from vectors.verifier.refusal import (
    BAD_SIGNATURE,
    CANNOT_OPEN,
    INVALID_INPUT,
    MALFORMED,
    TOO_LARGE,
    UNKNOWN_SUITE,
    Refused,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Values = dict[str, Any]
_hex = bytes.fromhex
_LISTS = {
    "leaves": ("binary", 5_000),
    "records": (("binary", "binary", "binary", "binary"), 1_000),
    "accepts": (("id", "count", "binary", "binary"), 5_000),
    "wraps": (("id", "id", "count", "binary"), 50_000),
    "unwraps": (("id", "id"), 50_000),
}


class Form:
    """How the values of a body stand there: MessagePack, or JSON."""

    def __init__(self, given: Values, lists: dict[str, Any]) -> None:
        self._lists = lists
        self.is_json = "json" in given
        body = json_of(given["json"]) if self.is_json else unpack(_hex(given["bytes"]))
        require(isinstance(body, Pairs))
        self.body: Values = body.mapping()

    def binary(self, value: object) -> bytes:
        """Bytes."""
        if not self.is_json:
            require(isinstance(value, bytes))
            return bytes(value)  # type: ignore[call-overload, no-any-return]
        require(isinstance(value, str))
        try:
            data = base64.b64decode(str(value), validate=True)
        except ValueError:
            raise Refused(MALFORMED) from None
        require(base64.b64encode(data).decode() == value)
        return data

    def id(self, value: object) -> bytes:
        """An id."""
        if self.is_json:
            require(isinstance(value, str))
            return read_id(str(value))
        require(isinstance(value, bytes) and len(value) == 16)
        return self.binary(value)

    @staticmethod
    def count(value: object) -> int:
        """A version, or the number of a key."""
        require(type(value) is int and 1 <= value < 1 << 63)
        return int(value)  # type: ignore[call-overload, no-any-return]

    def many(self, name: str) -> list[Any]:
        """One of the lists of a body, which may be left out."""
        kind, most = self._lists[name]
        items = self.body.get(name, [])
        require(type(items) is list)
        require(len(items) <= most, TOO_LARGE)
        return [self.parts(kind, item) for item in items]

    def parts(self, kind: Any, item: Any) -> Any:
        """A value of this kind, or an array of just such values."""
        if isinstance(kind, str):
            read: Callable[[object], Any] = getattr(self, kind)
            return read(item)
        require(type(item) is list and len(item) == len(kind))
        return [self.parts(one, part) for one, part in zip(kind, item, strict=True)]


def json_of(text: str) -> Any:
    """JSON, of which a map is a list of pairs."""

    def no_constant(_: str) -> None:
        raise ValueError

    try:
        return json.loads(text, object_pairs_hook=Pairs, parse_constant=no_constant)
    except ValueError:
        raise Refused(MALFORMED) from None


def stored(kind: str, data: bytes) -> Values:
    """The fields of an object whose numbers a server can store (docs/spec/7-http.md, Limits)."""
    fields = objects.parse(kind, data)
    require(all(value < 1 << 63 for value in fields.values() if isinstance(value, int)))
    return fields


def check_append(given: Values) -> Values:
    """What can be said of an append by its bytes, before the log that it is for is looked at."""
    account, public = _hex(given["account_id"]), _hex(given["public"])
    form = Form(given, _LISTS)
    require({"base", "head"} <= form.body.keys() <= {"base", "head", *_LISTS})
    base, note = form.body["base"], form.body["head"]
    require(type(base) is int)
    lists = {name: form.many(name) for name in _LISTS}
    require(isinstance(note, str))
    head = objects.parse_head(note)
    ours = head["account_id"] == account.hex() and base >= 0
    require(ours and head["size"] == base + len(lists["leaves"]), INVALID_INPUT)
    puts = []
    for leaf in lists["leaves"]:
        entry = stored("log-entry", leaf)
        require(entry["account_id"] == account.hex() and entry["author"] is None, INVALID_INPUT)
        if entry["kind"] == "put":
            puts.append([entry["subject"], entry["version"], entry["digest"]])
    records = []
    for item in lists["records"]:
        record, named, _ = record_of(item, account, None)
        require("generation" in named, INVALID_INPUT)
        records.append(record)
    check_distinct(records)
    require(sorted(puts) == sorted(records), INVALID_INPUT)
    check_head(head, account, public)
    accepts = [_accept(*item) for item in lists["accepts"]]
    check_distinct(accepts)
    for *_, wrap in lists["wraps"]:
        check_wrap(wrap)
    return {
        "base": base,
        "size": head["size"],
        "leaves": [sha256(leaf).hex() for leaf in lists["leaves"]],
        "records": sorted(records),
        "accepts": accepts,
        "wraps": [[grant.hex(), memory.hex(), n] for grant, memory, n, _ in lists["wraps"]],
        "unwraps": [[grant.hex(), memory.hex()] for grant, memory in lists["unwraps"]],
    }


def check_distinct(items: list[Any]) -> None:
    """No version of a memory comes twice."""
    require(len({(memory, version) for memory, version, _ in items}) == len(items), INVALID_INPUT)


def check_head(head: Values, account: bytes, public: bytes) -> None:
    """A head is signed by this key of the account."""
    require(head["key_id"] == objects.head_key_id(account, public).hex(), BAD_SIGNATURE)
    ed25519_verify(public, head["text"].encode(), _hex(head["signature"]))


def record_of(
    record: list[bytes], account: bytes, app: bytes | None
) -> tuple[list[Any], Values, Values]:
    """A record as a server sees it: memory, version, digest; whose key it is under; its header."""
    raw, envelope, kek, wrap = record
    header = stored("memory-header", raw)
    require(len(envelope) <= 2_228_224, TOO_LARGE)
    keys.envelope_shape(envelope)
    frame = len(envelope) - 81
    require(frame >= 256 and keys.frame_size(frame - 8) == frame)
    check_wrap(wrap)
    named = read_kek({"bytes": kek.hex()})
    author = None if app is None else app.hex()
    require(header["account_id"] == account.hex() and header["author"] == author, INVALID_INPUT)
    digest = digest_of(raw, envelope).hex()
    return [header["memory_id"], header["version"], digest], named, header


def digest_of(header: bytes, envelope: bytes) -> bytes:
    """What an entry names a record by."""
    return sha256(pae("record", sha256(header), sha256(envelope)))


def check_wrap(wrap: bytes) -> None:
    """The form of a wrapped key."""
    require(len(wrap) == 113)
    require(wrap[0] == 1, UNKNOWN_SUITE)


def _accept(memory: bytes, version: int, kek: bytes, wrap: bytes) -> list[Any]:
    check_wrap(wrap)
    named = read_kek({"bytes": kek.hex()})
    require("generation" in named, INVALID_INPUT)
    return [memory.hex(), version, named["generation"]]


def sync_page(given: Values) -> Values:
    """Size, head and items of a page; what may stand behind these three is ignored."""
    page = unpack(_hex(given["bytes"]))
    require(type(page) is list and len(page) >= 3)
    size, head, items = page[:3]
    require(type(size) is int and isinstance(head, str) and type(items) is list)
    return {"size": size, "head": head, "items": [_item(item) for item in items]}


def _item(item: Any) -> list[Any]:
    require(type(item) is list and len(item) == 2)
    leaf, record = item
    require(isinstance(leaf, bytes))
    if record is None:
        return [leaf.hex(), None]
    require(_is_record(record))
    return [leaf.hex(), digest_of(record[0], record[1]).hex()]


def _is_record(record: Any) -> bool:
    is_four = type(record) is list and len(record) == 4
    return is_four and all(isinstance(part, bytes) for part in record)


def open_record(given: Values) -> Values:
    """The content of a record, for its owner or for whoever holds a grant's key."""
    record = unpack(_hex(given["bytes"]))
    require(_is_record(record))
    raw, envelope, kek, wrap = record
    try:
        header = objects.parse("memory-header", raw)
        named = read_kek({"bytes": kek.hex()})
        key = _wrapping_key(given, named)
        subject = _hex(header["account_id"]), _hex(header["memory_id"])
        aad = pae("memory-key-wrap", *subject, u64(header["key_number"]), kek)
        memory_key = keys.unwrap("memory-key", key, aad, wrap)
        frame = keys.unpad(keys.open_envelope("memory", memory_key, raw, envelope))
        most = keys.MAX_PAYLOADS["owner" if header["author"] is None else "app"]
        require(len(frame) <= most)
        payload = keys.parse_payload(frame)
    except Refused:
        raise Refused(CANNOT_OPEN) from None
    return {"content": payload["content"], "digest": digest_of(raw, envelope).hex()}


def _wrapping_key(given: Values, named: Values) -> bytes:
    if "generation" in named:
        account, secret = _hex(given["account_id"]), _hex(given["account_key"])
        return keys.kek(secret, "memory", account, named["generation"])
    require(named["grant_id"] == given["grant_id"], CANNOT_OPEN)
    return _hex(given["grant_key"])
