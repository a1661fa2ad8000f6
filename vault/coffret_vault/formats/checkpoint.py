"""The head's text: a C2SP tlog-checkpoint in a C2SP signed-note. docs/spec/5-log.md."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from functools import lru_cache

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.layout import id_text, parse_id

NO_HEAD = bytes(32)
"""What the first head names as the one before it."""

_ED25519 = b"\x01"
_HASH_B64 = r"[A-Za-z0-9+/]{43}="
_NAME = r"coffret/v1/vault/([0-9a-f-]{36})"
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_NOTE = re.compile(
    rf"({_NAME}\n{_NUMBER}\n({_HASH_B64})\nprev ({_HASH_B64})\ntime {_NUMBER}\n)"
    rf"\n— {_NAME} ([A-Za-z0-9+/]{{91}}=)\n"
)
MAX_HEAD = 600


class Head(msgspec.Struct, frozen=True):
    """A log's state: ``size`` leaves under ``root``; ``prev`` is the digest of the head before."""

    account_id: bytes
    size: int
    root: bytes
    prev: bytes
    time: int


class SignedHead(msgspec.Struct, frozen=True):
    """A head with the exact text that was signed, the key id and signature, and the whole note."""

    head: Head
    text: bytes
    key_id: bytes
    signature: bytes
    note: str

    @property
    def digest(self) -> bytes:
        """What the next head calls ``prev``."""
        return hashlib.sha256(self.text).digest()


def head_name(account_id: bytes) -> str:
    """The checkpoint's origin line, which is also the name of the signing key."""
    return f"coffret/v1/vault/{id_text(account_id)}"


def head_text(head: Head) -> bytes:
    """The text that is signed."""
    lines = (
        head_name(head.account_id),
        str(head.size),
        b64encode(head.root).decode(),
        f"prev {b64encode(head.prev).decode()}",
        f"time {head.time}",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def note_key_id(name: str, public: bytes) -> bytes:
    """The 4 bytes by which a signed note hints at an Ed25519 key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def make_note(head: Head, text: bytes, public: bytes, signature: bytes) -> SignedHead:
    """A head, its text and its signature as one note: the same as is parsed from that."""
    name = head_name(head.account_id)
    key_id = note_key_id(name, public)
    blob = b64encode(key_id + signature).decode()
    return SignedHead(head, text, key_id, signature, f"{text.decode()}\n— {name} {blob}\n")


def join_note(head: Head, public: bytes, signature: bytes) -> str:
    """The signed note as it is stored and sent."""
    return make_note(head, head_text(head), public, signature).note


@lru_cache(maxsize=8)
def parse_head(note: str) -> SignedHead:
    """Read a head; its signature is not looked at. The newest are remembered: they come back.

    Raises:
        FormatError: not exactly the form of the specification.
    """
    found = _NOTE.fullmatch(note) if len(note) <= MAX_HEAD else None
    if found is None or found[2] != found[7]:
        message = "a head is not in the form that the specification describes"
        raise FormatError(message)
    head = Head(parse_id(found[2]), int(found[3]), _hash(found[4]), _hash(found[5]), int(found[6]))
    blob = b64decode(found[8])
    if head_text(head) != found[1].encode() or b64encode(blob).decode() != found[8]:
        message = "a head is not written in its one form"
        raise FormatError(message)
    return SignedHead(head, found[1].encode(), blob[:4], blob[4:], note)


def _hash(encoded: str) -> bytes:
    return b64decode(encoded, validate=True)
