"""What is written down: layouts, leaves, heads, payloads, codes, tokens and files."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from coffret.kit import RecoveryKit, read_kit
from coffret_server import tokens
from coffret_server.wire import apps, identity, log, records
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import FormatError
from coffret_vault.formats.author import Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code, write_code
from coffret_vault.formats.entry import SETTINGS, parse_leaf
from coffret_vault.formats.memory import Payload, parse_payload, serialize_payload
from coffret_vault.formats.pae import pae, u64
from coffret_vault.formats.settings import Settings, parse_settings, serialize_settings
from coffret_vault.formats.sharing import grant_approval
from coffret_vault.grants.apps import sign_manifest
from coffret_vault.grants.domain import app_document, read_app_document
from coffret_vault.log.judging import verify_evidence
from coffret_vault.primitives.secret import SecretBytes
from harness.kinds.table import MANIFEST, OBJECTS, ONE, Reader, Table, reader
from vectors.making.evidence import evidence_book
from vectors.making.samples import ACCOUNT_ID, APP_ID, LAYOUTS, ORIGIN, UPDATED

if TYPE_CHECKING:
    from collections.abc import Callable

_NOW = UPDATED // 1_000_000
_SIGNING = b"the server's own key for tokens!"


def encoded(purpose: str) -> bytes:
    """The object of a layout."""
    return LAYOUTS[purpose].serialize(OBJECTS[purpose])


def head_note() -> str:
    """A head."""
    return sign_head(ONE.signing, Head(ACCOUNT_ID, 3, bytes(32), NO_HEAD, UPDATED))


def evidence() -> dict[str, bytes]:
    """A file of evidence of each kind, from the test vectors."""
    cases = json.loads(evidence_book().text())["cases"]
    good = [case for case in cases if case["outcome"] == "accept"]
    return {case["gives"]["kind"]: case["given"]["file"].encode() for case in good}


def _app_entry() -> bytes:
    entry = msgspec.structs.replace(OBJECTS["log-entry"], author=Author(APP_ID))
    return LAYOUTS["log-entry"].serialize(entry)


def _settings_entry() -> bytes:
    entry = msgspec.structs.replace(
        OBJECTS["log-entry"],
        kind=SETTINGS,
        subject=ACCOUNT_ID,
        digest=serialize_settings(Settings(sealed=True)),
    )
    return LAYOUTS["log-entry"].serialize(entry)


def _objects() -> dict[str, bytes]:
    entry = _app_entry()
    return {
        **{purpose: encoded(purpose) for purpose in LAYOUTS},
        "app entry": entry,
        "settings entry": _settings_entry(),
        "settings": serialize_settings(Settings(sealed=True)),
        "app leaf": entry + sign_statement(ONE.signing, "app-entry", entry),
        "grant-approval": grant_approval(encoded("grant"), bytes(1168)),
        "identity-keys": pae("identity-keys", ONE.signing.public, ONE.sealing.public),
        "record": pae("record", bytes(32), bytes(32)),
        "code-check": pae("code-check", b"secret-key", bytes(20)),
        "kek": b"\0" + u64(1),
        "head": head_note().encode(),
        "payload": serialize_payload(Payload(format=1, content="Café", tags=("a",))),
        "app document": app_document([sign_manifest(ONE, MANIFEST)]),
        "kit": _kit().text().encode(),
        SECRET_KEY: write_code(SECRET_KEY, bytes(20)).encode(),
        RECOVERY_CODE: write_code(RECOVERY_CODE, bytes(32)).encode(),
        **evidence(),
        **{kind: tokens.write(_SIGNING, kind, bytes(16), bytes(32)).encode() for kind in _OPAQUE},
        "app token": tokens.sign_app_token(_SIGNING, _TOKEN, _NOW).encode(),
    }


_OPAQUE = (tokens.SESSION, tokens.DEVELOPER, tokens.API_KEY)
_TOKEN = tokens.AppToken(UUID(bytes=APP_ID), UUID(bytes=APP_ID), "key", _NOW + 60)


def _kit() -> RecoveryKit:
    secrets = SecretBytes(bytes(20)), SecretBytes(bytes(32))
    return RecoveryKit(ORIGIN, "ada", ACCOUNT_ID, *secrets, "eight words", head_note())


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of texts: what is not UTF-8 is no text, before it gets there."""

    def decoded(data: bytes) -> object:
        try:
            return read(data.decode())
        except UnicodeDecodeError:
            raise FormatError from None

    return decoded


def _readers() -> dict[str, Reader]:
    layouts = {
        purpose: reader(layout.parse, purpose)
        for purpose, layout in LAYOUTS.items()
        if purpose != "log-entry"
    }
    return layouts | {
        "log-entry": reader(LAYOUTS["log-entry"].parse, "log-entry", "app entry", "settings entry"),
        "leaf": reader(parse_leaf, "log-entry", "app leaf", "settings entry"),
        "settings": reader(parse_settings, "settings"),
        "head": reader(_text(parse_head), "head"),
        "payload": reader(parse_payload, "payload"),
        "app document": reader(read_app_document, "app document"),
        "kit": reader(_text(read_kit), "kit"),
        "evidence": reader(verify_evidence, *evidence()),
        **{
            kind: reader(_text(partial(read_code, kind)), kind)
            for kind in (SECRET_KEY, RECOVERY_CODE)
        },
        **{kind: reader(_text(partial(tokens.read, _SIGNING, kind)), kind) for kind in _OPAQUE},
        "app token": reader(_text(partial(tokens.read_app_token, _SIGNING)), "app token"),
    }


SERVER: dict[str, Any] = {
    "account": identity.parse_card,
    "keyslot": identity.parse_keyslot,
    "login": identity.LOGIN.split,
    "succession": identity.parse_succession,
    "account-deletion": identity.parse_deletion,
    "identity-keys": identity.KEYS.split,
    "memory-header": records.parse_header,
    "record": records.RECORD.split,
    "log-entry": log.parse_entry,
    "app-manifest": apps.parse_manifest,
    "access-request": apps.parse_request,
    "selector": apps.check_selector,
    "grant": apps.parse_grant,
    "grant-approval": apps.APPROVAL.split,
}
"""The server's readers of layouts, which are its own."""


def stated() -> Table:
    """Everything of this module."""
    served = {f"server: {kind}": reader(read, kind) for kind, read in SERVER.items()}
    served["server: log-entry"] = reader(
        log.parse_entry, "log-entry", "app entry", "settings entry"
    )
    served["server: head"] = reader(_text(log.parse_head), "head")
    return Table(_objects(), _readers() | served)
