"""What an app writes and reads under a grant: docs/spec/7-http.md, Grants, and 6-grants.md."""

from __future__ import annotations

import unicodedata
from typing import Any

from vectors.verifier import keys, objects, tree
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae, sha256, u64
from vectors.verifier.msgpack import Pairs, unpack
from vectors.verifier.refusal import INVALID_INPUT, UNTRUSTWORTHY, Refused, require
from vectors.verifier.wire import Form, check_distinct, check_head, digest_of, record_of, stored

Values = dict[str, Any]
_hex = bytes.fromhex
_LISTS = {"leaves": ("binary", 1_000), "records": (("binary",) * 4, 1_000)}
_PICTOGRAPHS = range(0x1F000, 0x1FB00)


def check_writing(given: Values) -> Values:
    """What can be said of an app's writing by its bytes, whatever its grant allows."""
    app, public, grant = (_hex(given[name]) for name in ("app_id", "public", "grant_id"))
    form = Form(given, _LISTS)
    require({"leaves"} <= form.body.keys() <= _LISTS.keys())
    leaves, found = form.many("leaves"), form.many("records")
    require(leaves, INVALID_INPUT)
    entries = [_app_entry(leaf, app, public) for leaf in leaves]
    account = entries[0]["account_id"]
    require(all(entry["account_id"] == account for entry in entries), INVALID_INPUT)
    records = []
    for item in found:
        record, named, header = record_of(item, _hex(account), app)
        require(named.get("grant_id") == grant.hex(), INVALID_INPUT)
        require(all(map(_is_assigned, (header["title"], *header["tags"]))), INVALID_INPUT)
        records.append(record)
    check_distinct(records)
    puts = [[e["subject"], e["version"], e["digest"]] for e in entries if e["kind"] == "put"]
    require(sorted(puts) == sorted(records), INVALID_INPUT)
    hashes = [sha256(leaf).hex() for leaf in leaves]
    return {"account_id": account, "leaves": hashes, "records": sorted(records)}


def _app_entry(leaf: bytes, app: bytes, public: bytes) -> Values:
    """A ``put`` or ``delete`` by the app, which ends with its signature."""
    require(len(leaf) > 64)
    entry = stored("log-entry", leaf[:-64])
    is_own = entry["author"] == app.hex() and entry["kind"] in {"put", "delete"}
    require(is_own, INVALID_INPUT)
    ed25519_verify(public, pae("sign/app-entry", leaf[:-64]), leaf[-64:])
    return entry


def _is_assigned(text: str) -> bool:
    return all(unicodedata.category(c) != "Cn" or ord(c) in _PICTOGRAPHS for c in text)


def grant_head(given: Values) -> Values:
    """The answer to ``GET /grants/{id}/head``: a head that continues the one that is known."""
    found = unpack(_hex(given["bytes"]))
    require(isinstance(found, Pairs))
    answer = found.mapping()
    require({"head", "continues"} <= answer.keys())
    _check_continues(answer["head"], answer["continues"])
    return {"size": _witnessed(given, answer["head"], answer["continues"])["size"]}


def grant_page(given: Values) -> Values:
    """A page of ``GET /grants/{id}/records``, verified and opened."""
    page = unpack(_hex(given["bytes"]))
    require(type(page) is list and len(page) >= 5)
    following, items, note, continues, nodes = page[:5]
    require(following is None or isinstance(following, str))
    require(type(items) is list)
    for item in items:
        _check_item(item)
    _check_continues(note, continues)
    _check_continues(note, nodes)
    head = _witnessed(given, note, continues)
    leaves: dict[int, bytes] = {}
    for *_, status, index, leaf in items:
        if status != "pending":
            require(leaves.setdefault(index, leaf) == leaf, UNTRUSTWORTHY)
    tree.verify_many(leaves, head["size"], nodes, _hex(head["root"]))
    return {"next": following, "size": head["size"], "items": [_read(given, it) for it in items]}


def _check_continues(note: object, parts: object) -> None:
    require(isinstance(note, str) and type(parts) is list)
    require(all(isinstance(part, bytes) for part in parts))  # type: ignore[attr-defined]


def _check_item(item: Any) -> None:
    require(type(item) is list and len(item) == 7)
    header, envelope, number, wrap, status, index, leaf = item
    require(all(isinstance(part, bytes) for part in (header, envelope, wrap, leaf)))
    require(all(type(n) is int and 0 <= n < 1 << 63 for n in (number, index)))
    require(status in {"accepted", "pending", "rejected"})


def _witnessed(given: Values, note: str, continues: list[bytes]) -> Values:
    head, public = objects.parse_head(note), _hex(given["owner"])
    check_head(head, _hex(head["account_id"]), public)
    require(head["account_id"] == given["account_id"], UNTRUSTWORTHY)
    if given["known"] is not None:
        known = objects.parse_head(given["known"])
        same = known["size"] == head["size"] and given["known"] != note
        require(known["size"] <= head["size"] and not same, UNTRUSTWORTHY)
        roots = _hex(known["root"]), _hex(head["root"])
        tree.verify_consistency(known["size"], roots[0], head["size"], roots[1], continues)
    return head


def _read(given: Values, item: list[Any]) -> list[Any]:
    """Memory, version, status and content."""
    raw, envelope, number, wrap, status, _, leaf = item
    if status == "rejected":
        require(envelope == wrap == b"", UNTRUSTWORTHY)
        entry = _own(given, raw)
        require(1 <= number <= entry["version"], UNTRUSTWORTHY)
        about = entry["subject"], entry["version"], entry["digest"]
        _check_about(_leaf(leaf), "reject", entry["account_id"], about)
        return [entry["subject"], entry["version"], status, None]
    header = objects.parse("memory-header", raw)
    account = header["account_id"]
    about = header["memory_id"], header["version"], digest_of(raw, envelope).hex()
    if status == "accepted":
        kind = "put" if header["author"] is None else "accept"
        _check_about(_leaf(leaf), kind, account, about)
    else:
        require(header["author"] == given["app_id"], UNTRUSTWORTHY)
        entry = _own(given, leaf)
        named = entry["subject"], entry["version"], entry["digest"]
        require((entry["account_id"], named) == (account, about), UNTRUSTWORTHY)
    require(account == given["account_id"] and header["key_number"] == number, UNTRUSTWORTHY)
    content = _opened(given, header, (raw, envelope, wrap))
    return [header["memory_id"], header["version"], status, content]


def _leaf(data: bytes) -> Values:
    try:
        return objects.parse_leaf(data)
    except Refused:
        raise Refused(UNTRUSTWORTHY) from None


def _own(given: Values, data: bytes) -> Values:
    """A ``put`` of this app's own, which it signed."""
    entry = _leaf(data)
    is_own = entry["author"] == given["app_id"] and entry["kind"] == "put"
    require(is_own, UNTRUSTWORTHY)
    ed25519_verify(_hex(given["public"]), pae("sign/app-entry", data[:-64]), data[-64:])
    return entry


def _check_about(entry: Values, kind: str, account: str, about: tuple[str, int, str]) -> None:
    """An entry by the owner, of that kind, about that version."""
    named = entry["subject"], entry["version"], entry["digest"]
    is_owners = entry["author"] is None and entry["kind"] == kind
    require(is_owners and (entry["account_id"], named) == (account, about), UNTRUSTWORTHY)


def _opened(given: Values, header: Values, parts: tuple[bytes, bytes, bytes]) -> str:
    raw, envelope, wrap = parts
    name = b"\1" + _hex(given["grant_id"])
    subject = _hex(header["account_id"]), _hex(header["memory_id"])
    aad = pae("memory-key-wrap", *subject, u64(header["key_number"]), name)
    try:
        key = keys.unwrap("memory-key", _hex(given["grant_key"]), aad, wrap)
        frame = keys.unpad(keys.open_envelope("memory", key, raw, envelope))
        require(len(frame) <= keys.MAX_PAYLOADS["owner" if header["author"] is None else "app"])
        return str(keys.parse_payload(frame)["content"])
    except Refused:
        raise Refused(UNTRUSTWORTHY) from None
