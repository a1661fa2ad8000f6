"""Log entries, leaves and heads (docs/spec/5-log.md)."""

import re
from binascii import a2b_base64
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from coffret_server.problems import refuse
from coffret_server.wire import pae

ENTRY: Final = pae.Layout("log-entry", 7)
KINDS: Final = frozenset(
    {
        "account", "keyslot", "keyslot-remove", "rotate", "put", "accept", "reject", "delete",
        "grant", "pause", "resume", "revoke", "settings",
    }
)  # fmt: skip
APP_KINDS: Final = frozenset({"put", "delete"})
_KINDS: Final = {kind.encode(): kind for kind in KINDS}
_word: Final = pae.u64
# An owner's `put`, which is what most logs are made of.
_OWN_PUT: Final = pae.Places(
    (ENTRY.prefix + _word(16), "16s"),
    (_word(3) + b"put" + _word(16), "16s"),
    (_word(8), "Q"),
    (_word(32), "32s"),
    (_word(1) + pae.OWNER + _word(8), "Q"),
)
# A base64 text of 32 or 68 bytes ends with a symbol whose last two bits are zero: with that and the
# alphabet, each value has one form, and nothing is left for the decoder to judge.
_LAST: Final = "[AEIMQUYcgkosw048]="
_NUMBER: Final = "0|[1-9][0-9]{0,18}"
_HEAD: Final = re.compile(
    rf"((coffret/v1/vault/[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})\n({_NUMBER})\n"
    rf"([A-Za-z0-9+/]{{42}}{_LAST})\n"
    rf"prev ([A-Za-z0-9+/]{{42}}{_LAST})\ntime (?:{_NUMBER})\n)\n"
    rf"\u2014 \2 ([A-Za-z0-9+/]{{90}}{_LAST})\n"
)
HEAD_LIMIT: Final = 512
_KEY_ID_SIZE: Final = 4
_ED25519: Final = b"\x01"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One log entry. `author` is an app's id, or None for the owner; ids are 16 bytes."""

    account: bytes
    kind: str
    subject: bytes
    version: int
    digest: bytes
    author: bytes | None
    time: int


class Head(msgspec.Struct, frozen=True, gc=False):
    """A signed head: what the server judges of it, the bytes that were signed, the signature."""

    vault: str
    size: int
    root: bytes
    signed: bytes
    key_id: bytes
    signature: bytes


def parse_entry(data: bytes) -> Entry:
    """Read the PAE of an entry."""
    return _read_own_put(data) or _read_any(data)


def _read_own_put(data: bytes) -> Entry | None:
    """An owner's `put` by the places of its fields; None where it is anything else, or wrong."""
    found = _OWN_PUT.read(data)
    if found is None or len(data) != _OWN_PUT.size:
        return None
    account, subject, version, digest, time = found
    if version < 1 or max(version, time) >> 63:
        return None
    return Entry(account, "put", subject, version, digest, None, time)


def _read_any(data: bytes) -> Entry:
    account, kind, subject, version, digest, author, time = ENTRY.split(data)
    name = _KINDS.get(kind)
    if name is None:
        refuse("malformed", "a log entry is of an unknown kind")
    if len(account) != pae.ID_SIZE or len(subject) != pae.ID_SIZE:
        refuse("malformed", "an id is not 16 bytes")
    if name == "settings" and subject != account:
        refuse("malformed", "settings are those of the account")
    number = pae.read_time(version)
    if number < 1:
        refuse("malformed", "a version is below 1")
    by = pae.read_author(author)
    if by is not None and name not in APP_KINDS:
        refuse("malformed", "an app cannot make an entry of this kind")
    return Entry(
        account=account,
        kind=name,
        subject=subject,
        version=number,
        digest=pae.read_fixed(digest, pae.DIGEST_SIZE),
        author=by,
        time=pae.read_time(time),
    )


def split_leaf(leaf: bytes) -> tuple[bytes, bytes]:
    """The entry and the signature of an app's leaf."""
    if len(leaf) <= pae.SIGNATURE_SIZE:
        refuse("malformed", "an app's leaf ends with a signature")
    return leaf[: -pae.SIGNATURE_SIZE], leaf[-pae.SIGNATURE_SIZE :]


def vault_name(account: UUID) -> str:
    """How a head names the vault it is of."""
    return f"coffret/v1/vault/{account}"


def key_id(name: str, public_key: bytes) -> bytes:
    """The first four bytes by which a signed note names its key (C2SP signed-note)."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_SIZE]


def parse_head(text: str) -> Head:
    """Read a head: exactly the published form."""
    found = _HEAD.fullmatch(text) if len(text) <= HEAD_LIMIT else None
    if found is None:
        refuse("malformed", "the head is not in the published form")
    signed, vault, size, root, _, proof = found.groups()
    mark = a2b_base64(proof)
    return Head(
        vault=vault,
        size=int(size),
        root=a2b_base64(root),
        signed=signed.encode(),
        key_id=mark[:_KEY_ID_SIZE],
        signature=mark[_KEY_ID_SIZE:],
    )
