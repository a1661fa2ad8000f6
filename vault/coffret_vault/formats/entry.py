"""Entries and leaves of the log. docs/spec/5-log.md."""

from __future__ import annotations

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.author import AUTHOR, OWNER, Author
from coffret_vault.formats.layout import HASH, ID, SIGNATURE_BYTES, TIME, U64, Layout, text
from coffret_vault.formats.pae import u64
from coffret_vault.formats.template import Template

ACCOUNT = "account"
KEYSLOT = "keyslot"
KEYSLOT_REMOVE = "keyslot-remove"
ROTATE = "rotate"
PUT = "put"
ACCEPT = "accept"
REJECT = "reject"
DELETE = "delete"
GRANT = "grant"
PAUSE = "pause"
RESUME = "resume"
REVOKE = "revoke"
SETTINGS = "settings"
KINDS = frozenset(
    (ACCOUNT, KEYSLOT, KEYSLOT_REMOVE, ROTATE, PUT, ACCEPT, REJECT, DELETE, GRANT, PAUSE, RESUME)
) | {REVOKE, SETTINGS}
APP_KINDS = frozenset((PUT, DELETE))


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a vault's history. ``subject`` is an id, ``digest`` names what it is about.

    Of ``settings`` the digest is none: it is the switches themselves.
    """

    account_id: bytes
    kind: str
    subject: bytes
    version: int
    digest: bytes
    author: Author
    time: int


def _check(entry: Entry) -> None:
    if entry.version < 1:
        message = "versions count from 1"
        raise FormatError(message)
    if entry.kind not in KINDS:
        message = "a log entry is of no known kind"
        raise FormatError(message)
    if not entry.author.is_owner and entry.kind not in APP_KINDS:
        message = "an app cannot make a log entry of this kind"
        raise FormatError(message)
    if entry.kind == SETTINGS and entry.subject != entry.account_id:
        message = "settings are those of the account"
        raise FormatError(message)


def scope_of(entry: Entry) -> str:
    """The scope that an app's grant has to have for this entry. docs/spec/6-grants.md."""
    if entry.kind == DELETE:
        return "delete"
    return "create" if entry.version == 1 else "update"


ENTRY: Layout[Entry] = Layout(
    "log-entry",
    Entry,
    (
        ("account_id", ID),
        ("kind", text(32)),
        ("subject", ID),
        ("version", U64),
        ("digest", HASH),
        ("author", AUTHOR),
        ("time", TIME),
    ),
    _check,
)


_OWN_PUT = Template("log-entry", (16, PUT.encode(), 16, 8, 32, b"\0", 8))
"""An owner's ``put``, which is most of any log."""


def _own_put(data: bytes) -> Entry | None:
    found = _OWN_PUT.read(data)
    if found is None:
        return None
    account_id, subject, version, digest, time = found
    number = int.from_bytes(version, "big")
    if number < 1:
        return None
    return Entry(account_id, PUT, subject, number, digest, OWNER, int.from_bytes(time, "big"))


def serialize_entry(entry: Entry) -> bytes:
    """``ENTRY.serialize(entry)``, sooner for an owner's ``put``. Errors are the same."""
    if entry.kind != PUT or entry.author.app_id is not None or entry.version < 1:
        return ENTRY.serialize(entry)
    return _OWN_PUT.write(
        (entry.account_id, entry.subject, u64(entry.version), entry.digest, u64(entry.time))
    )


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """An entry with its bytes and, when an app made it, the app's signature over them."""

    entry: Entry
    message: bytes
    signature: bytes


def parse_leaf(data: bytes) -> Leaf:
    """Read a leaf.

    An owner's leaf is the entry alone. An app's ends with 64 bytes of signature. Which of the two
    it is follows from the entry's author, whose field lies at the same distance from the front.

    Raises:
        FormatError: neither of the two.
        UnknownSuiteError: a suite that is not ours.
    """
    own = _own_put(data)
    if own is not None:
        return Leaf(own, data, b"")
    try:
        entry = ENTRY.parse(data)
    except FormatError:
        entry = ENTRY.parse(data[:-SIGNATURE_BYTES])
        if entry.author.is_owner:
            message = "an owner's entry carries no signature of its own"
            raise FormatError(message) from None
        return Leaf(entry, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])
    if not entry.author.is_owner:
        message = "an app's entry is not signed"
        raise FormatError(message)
    return Leaf(entry, data, b"")
