"""An owner's step from one pair of keys to the next. docs/spec/3-keys.md, Succession."""

from __future__ import annotations

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.layout import HASH, ID, TIME, U64, Layout


class Succession(msgspec.Struct, frozen=True):
    """What the keys before sign: the generation that begins, and the hashes of what it is.

    Attributes:
        account_id: whose keys.
        generation: of the new account key, from 2.
        before: hash of the account card before.
        after: hash of the new account card.
        identity: hash of the new identity envelope.
        created: microseconds.
    """

    account_id: bytes
    generation: int
    before: bytes
    after: bytes
    identity: bytes
    created: int


def _check(succession: Succession) -> None:
    if succession.generation < 2:  # noqa: PLR2004 - the first generation follows no other
        message = "a succession begins with generation 2"
        raise FormatError(message)
    if succession.before == succession.after:
        message = "a succession changes no key"
        raise FormatError(message)


SUCCESSION: Layout[Succession] = Layout(
    "succession",
    Succession,
    (
        ("account_id", ID),
        ("generation", U64),
        ("before", HASH),
        ("after", HASH),
        ("identity", HASH),
        ("created", TIME),
    ),
    _check,
)
