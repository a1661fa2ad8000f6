"""An owner's word that their account is to be deleted. docs/spec/3-keys.md, Deletion."""

from __future__ import annotations

import msgspec

from coffret_vault.formats.account import MAX_ORIGIN
from coffret_vault.formats.layout import HASH, ID, KEY32, TIME, Layout, text


class Deletion(msgspec.Struct, frozen=True):
    """What the account's key and a keyslot's login key both sign.

    Attributes:
        origin: the server that is meant, and no other one.
        account_id: which account.
        slot_id: the keyslot whose login key signs as well.
        nonce: the server's, for that keyslot: it works once, and not for long.
        card: hash of the account card of now.
        created: microseconds, by the clock of the device that signed.
    """

    origin: str
    account_id: bytes
    slot_id: bytes
    nonce: bytes
    card: bytes
    created: int


DELETION: Layout[Deletion] = Layout(
    "account-deletion",
    Deletion,
    (
        ("origin", text(MAX_ORIGIN)),
        ("account_id", ID),
        ("slot_id", ID),
        ("nonce", KEY32),
        ("card", HASH),
        ("created", TIME),
    ),
)
