"""Log entries, leaves and heads (docs/spec/5-log.md)."""

import base64
import re
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from coffret_server.problems import malformed, refuse
from coffret_server.wire import pae

ENTRY: Final = pae.Layout("log-entry", 7)
KINDS: Final = frozenset(
    {
        "account", "keyslot", "keyslot-remove", "rotate", "put", "accept", "reject", "delete",
        "grant", "pause", "resume", "revoke",
    }
)  # fmt: skip
_KINDS: Final = {kind.encode(): kind for kind in KINDS}
_HEAD: Final = re.compile(
    r"(coffret/v1/vault/([0-9a-f-]{36})\n([1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n"
    r"prev ([A-Za-z0-9+/]{43}=)\ntime (0|[1-9][0-9]{0,17})\n)\n"
    r"\u2014 coffret/v1/vault/\2 ([A-Za-z0-9+/]{91}=)\n"
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
    """A signed head: what it says, the bytes that were signed, and the signature."""

    account: UUID
    size: int
    root: bytes
    prev: bytes
    time: int
    signed: bytes
    key_id: bytes
    signature: bytes


def parse_entry(data: bytes) -> Entry:
    """Read the PAE of an entry."""
    account, kind, subject, version, digest, author, time = ENTRY.split(data)
    name = _KINDS.get(kind)
    if name is None:
        refuse("malformed", "a log entry is of an unknown kind")
    if len(account) != pae.ID_SIZE or len(subject) != pae.ID_SIZE:
        refuse("malformed", "an id is not 16 bytes")
    number = pae.read_time(version)
    if number < 1:
        refuse("malformed", "a version is below 1")
    return Entry(
        account=account,
        kind=name,
        subject=subject,
        version=number,
        digest=pae.read_fixed(digest, pae.DIGEST_SIZE),
        author=pae.read_author(author),
        time=pae.read_time(time),
    )


def split_leaf(leaf: bytes) -> tuple[bytes, bytes]:
    """The entry and the signature of an app's leaf."""
    if len(leaf) <= pae.SIGNATURE_SIZE:
        refuse("malformed", "an app's leaf ends with a signature")
    return leaf[: -pae.SIGNATURE_SIZE], leaf[-pae.SIGNATURE_SIZE :]


def key_id(account: UUID, public_key: bytes) -> bytes:
    """The first four bytes by which a signed note names its key (C2SP signed-note)."""
    name = f"coffret/v1/vault/{account}".encode()
    return sha256(name + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_SIZE]


def parse_head(text: str) -> Head:
    """Read a head: exactly the published form, base64 without stray bits."""
    found = _HEAD.fullmatch(text) if len(text) <= HEAD_LIMIT else None
    if found is None:
        refuse("malformed", "the head is not in the published form")
    signed, account, size, root, prev, time, proof = found.groups()
    mark = _unbase64(proof)
    try:
        identity = UUID(account)
    except ValueError:
        msg = "the head names no account"
        raise malformed(msg) from None
    if str(identity) != account:
        refuse("malformed", "the head names no account")
    return Head(
        account=identity,
        size=int(size),
        root=_unbase64(root),
        prev=_unbase64(prev),
        time=int(time),
        signed=signed.encode(),
        key_id=mark[:_KEY_ID_SIZE],
        signature=mark[_KEY_ID_SIZE:],
    )


def _unbase64(text: str) -> bytes:
    data = base64.b64decode(text)
    if base64.b64encode(data).decode() != text:
        refuse("malformed", "the head's base64 has stray bits")
    return data
