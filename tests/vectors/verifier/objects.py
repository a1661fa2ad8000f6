"""Every signed or authenticated object: its fields, and what the fields alone do not say."""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from vectors.verifier.encoding import (
    author,
    fixed,
    flag,
    id_text,
    number,
    one_of,
    option,
    read_id,
    read_list,
    read_pae,
    set_of,
    sha256,
    text,
)
from vectors.verifier.refusal import Refused, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectors.verifier.encoding import Reader

    Fields = dict[str, Any]

_ID, _KEY, _HASH = fixed(16), fixed(32), fixed(32)
_TIME = number()
_COUNT = number(least=1)
_MILLIONTHS = number(most=1_000_000)
_SCOPES = set_of(one_of("read", "create", "update", "delete"), 4)
_APP_KINDS = {"put", "delete"}
_ENTRY_KINDS = (
    "account keyslot keyslot-remove rotate put accept reject delete grant pause resume revoke "
    "settings"
)


def kdf(data: bytes) -> list[Any]:
    """Salt, KiB, passes, lanes; empty for a recovery code."""
    parts = read_list(data)
    if not parts:
        return []
    require(len(parts) == 5 and parts[0] == b"argon2id")
    return [fixed(16)(parts[1]), *(number()(part) for part in parts[2:])]


def selector(data: bytes) -> Fields:
    """An object inside an object: a PAE of its own."""
    return parse("selector", data)


_LAYOUTS: dict[str, dict[str, Reader]] = {
    "keyslot": {
        "account_id": _ID,
        "slot_id": _ID,
        "kind": one_of("passphrase", "recovery"),
        "generation": _COUNT,
        "kdf": kdf,
        "login_public": _KEY,
        "created": _TIME,
        "wrap": fixed(113),
    },
    "account": {
        "account_id": _ID,
        "username": text(64),
        "signing_public": _KEY,
        "sealing_public": fixed(1216),
        "created": _TIME,
    },
    "succession": {
        "account_id": _ID,
        "generation": number(least=2),
        "before": _HASH,
        "after": _HASH,
        "identity": _HASH,
        "created": _TIME,
    },
    "login": {
        "origin": text(300),
        "account_id": _ID,
        "slot_id": _ID,
        "nonce": _KEY,
        "session_public": _KEY,
    },
    "account-deletion": {
        "origin": text(300),
        "account_id": _ID,
        "slot_id": _ID,
        "nonce": _KEY,
        "card": _HASH,
        "created": _TIME,
    },
    "memory-header": {
        "account_id": _ID,
        "memory_id": _ID,
        "version": _COUNT,
        "key_number": _COUNT,
        "author": author,
        "created": _TIME,
        "updated": _TIME,
        "sealed": flag,
        "title": text(512),
        "importance": option(_MILLIONTHS),
        "tags": set_of(text(64), 64),
    },
    "log-entry": {
        "account_id": _ID,
        "kind": one_of(*_ENTRY_KINDS.split()),
        "subject": _ID,
        "version": _COUNT,
        "digest": _HASH,
        "author": author,
        "time": _TIME,
    },
    "app-manifest": {
        "app_id": _ID,
        "name": text(80),
        "homepage": text(200),
        "signing_public": _KEY,
        "sealing_public": fixed(1216),
        "created": _TIME,
    },
    "selector": {
        "everything": flag,
        "tags": set_of(text(64), 256),
        "types": set_of(text(64), 256),
        "ids": set_of(_ID, 65_536),
        "importance": option(_MILLIONTHS),
        "since": option(_TIME),
    },
    "access-request": {
        "request_id": _ID,
        "account_id": _ID,
        "app_id": _ID,
        "manifest_digest": _HASH,
        "owner_keys_hash": _HASH,
        "scopes": _SCOPES,
        "selector": selector,
        "purpose": text(1000),
        "retention": text(200),
        "seconds": number(3_600, 316_224_000),
        "standing": flag,
        "nonce": _HASH,
        "created": _TIME,
    },
    "grant": {
        "account_id": _ID,
        "grant_id": _ID,
        "app_id": _ID,
        "request_digest": _HASH,
        "owner_keys_hash": _HASH,
        "manifest_digest": _HASH,
        "scopes": _SCOPES,
        "selector": selector,
        "standing": flag,
        "auto_accept": flag,
        "created": _TIME,
        "expires": _TIME,
    },
}


def check_tags(tags: list[str]) -> None:
    """Not empty, no control characters."""
    for tag in tags:
        require(tag and not any(unicodedata.category(symbol) == "Cc" for symbol in tag))


def _keyslot(slot: Fields) -> None:
    require(bool(slot["kdf"]) == (slot["kind"] == "passphrase"))


def _account(card: Fields) -> None:
    require(re.fullmatch(r"[a-z0-9][a-z0-9._-]{2,63}", card["username"]))


def _succession(step: Fields) -> None:
    require(step["before"] != step["after"])


def _header(header: Fields) -> None:
    require(header["key_number"] <= header["version"])
    require(header["updated"] >= header["created"])
    check_tags(header["tags"])
    shown = header["title"] or header["tags"] or header["importance"] is not None
    require(not (header["sealed"] and shown))


def _entry(entry: Fields) -> None:
    require(entry["author"] is None or entry["kind"] in _APP_KINDS)
    require(entry["kind"] != "settings" or entry["subject"] == entry["account_id"])


def _manifest(manifest: Fields) -> None:
    require(manifest["name"].strip())


def _selector(value: Fields) -> None:
    dimensions = [value["tags"], value["types"], value["ids"]]
    named = any(dimensions) or value["importance"] is not None or value["since"] is not None
    require(named != value["everything"])


def _request(request: Fields) -> None:
    require(request["scopes"] and request["purpose"].strip())


def _grant(grant: Fields) -> None:
    require(grant["scopes"] and grant["expires"] > grant["created"])


_CHECKS: dict[str, Callable[[Fields], None]] = {
    "keyslot": _keyslot,
    "account": _account,
    "succession": _succession,
    "memory-header": _header,
    "log-entry": _entry,
    "app-manifest": _manifest,
    "selector": _selector,
    "access-request": _request,
    "grant": _grant,
}


def parse(purpose: str, data: bytes) -> Fields:
    """The fields of an object, with bytes in hex and sets as sorted lists."""
    layout = _LAYOUTS[purpose]
    raw = read_pae(purpose, len(layout), data)
    fields = {name: read(part) for (name, read), part in zip(layout.items(), raw, strict=True)}
    check = _CHECKS.get(purpose)
    if check:
        check(fields)
    return fields


def parse_leaf(data: bytes) -> Fields:
    """An owner's entry, or an app's entry and 64 bytes."""
    try:
        entry, signature = parse("log-entry", data), b""
    except Refused:
        entry, signature = parse("log-entry", data[:-64]), data[-64:]
    require((entry["author"] is None) == (not signature))
    return {**entry, "signature": signature.hex()}


_HEAD = re.compile(
    "(coffret/v1/vault/(.{36})\n(0|[1-9][0-9]{0,18})\n(.{44})\nprev (.{44})\n"
    "time (0|[1-9][0-9]{0,18})\n)\n\u2014 coffret/v1/vault/(.{36}) (.{92})\n"
)


def _base64(value: str, size: int) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        data = b""
    require(len(data) == size and base64.b64encode(data).decode() == value)
    return data


def parse_head(note: str) -> Fields:
    """A signed note of exactly the form of docs/spec/5-log.md."""
    found = _HEAD.fullmatch(note)
    if found is None or found[2] != found[7]:
        require(condition=False)
        raise AssertionError
    blob = _base64(found[8], 68)
    return {
        "account_id": read_id(found[2]).hex(),
        "size": int(found[3]),
        "root": _base64(found[4], 32).hex(),
        "prev": _base64(found[5], 32).hex(),
        "time": int(found[6]),
        "digest": sha256(found[1].encode()).hex(),
        "key_id": blob[:4].hex(),
        "signature": blob[4:].hex(),
        "text": found[1],
    }


def head_key_id(account_id: bytes, public: bytes) -> bytes:
    """The key id of the owner's key in a head."""
    name = f"coffret/v1/vault/{id_text(account_id)}".encode()
    return sha256(name + b"\x0a\x01" + public)[:4]
