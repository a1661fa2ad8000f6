"""A vault's log made by hand: entries, leaves by apps, and heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead, parse_head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCOUNT = b"a" * 16
APP = b"p" * 16
MEMORY = b"m" * 16
OWNER_KEY = SigningKey(SecretBytes(b"o" * 32))
APP_KEY = SigningKey(SecretBytes(b"k" * 32))


def digest(number: int) -> bytes:
    """A digest."""
    return number.to_bytes(32)


def entry(
    kind: str,
    version: int,
    named: int = 0,
    *,
    app: bytes | None = None,
    subject: bytes = MEMORY,
    account: bytes = ACCOUNT,
    time: int = 1_000,
) -> Entry:
    """An entry about a memory, naming ``digest(named)``."""
    author = OWNER if app is None else Author(app)
    return Entry(account, kind, subject, version, digest(named), author, time)


def leaf(made: Entry, key: SigningKey = APP_KEY) -> bytes:
    """The entry's leaf; an app's is signed."""
    message = ENTRY.serialize(made)
    if made.author.is_owner:
        return message
    return message + sign_statement(key, "app-entry", message)


def head(
    leaves: Iterable[bytes],
    *,
    key: SigningKey = OWNER_KEY,
    prev: bytes = NO_HEAD,
    account: bytes = ACCOUNT,
    time: int = 1_000,
) -> SignedHead:
    """The owner's head over these leaves."""
    frontier = Frontier()
    for data in leaves:
        frontier.append(data)
    made = Head(account, frontier.size, frontier.root(), prev, time)
    return parse_head(sign_head(key, made))


def beginning() -> Position:
    """The position of a device that has seen nothing."""
    return Position(ACCOUNT, OWNER_KEY.public, None, Frontier())
