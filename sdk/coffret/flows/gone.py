"""What a device knows of its account's being deleted. docs/spec/3-keys.md, Deletion.

A server can say so whenever it likes. What it says takes nothing from a device: not its keys, nor
what is on it. What the account's own keys signed is kept, so that it is known without the server.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Request, decode_json, succeed, unb64
from coffret_vault.envelope.signature import verify_statement
from coffret_vault.errors import (
    AccountDeletedError,
    FormatError,
    NotFoundError,
    StoreError,
    TrustError,
)
from coffret_vault.formats.deletion import DELETION, Deletion
from coffret_vault.formats.layout import id_text
from coffret_vault.records.memory import from_micros

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState

_NAME = "deletion"
_SIGNATURE = 64
_BY_ITS_KEYS = (
    "This account was deleted at the server, with its own keys, on {day:%Y-%m-%d} by the clock of "
    "the device that did it; what is on this device stays."
)
_BY_THE_SERVER = (
    "The server says that this account was deleted, and shows nothing that this device's keys "
    "signed: its operator did it, or a device of yours that had changed the keys, or it lies. "
    "What is on this device stays."
)
_EXPORT = (
    "Take everything out of this device with coffret export, which needs no server; a change that "
    "waited to be sent is shown by coffret unkept."
)


class Gone(msgspec.Struct, frozen=True):
    """What a server says of an account that was deleted.

    Attributes:
        word: the owner's, if it is signed by the keys that this device has.
        erased: whether nothing of the account is left there, as it says.
    """

    word: Deletion | None
    erased: bool


class _Answer(msgspec.Struct, frozen=True):
    account_id: str
    erased: bool
    deletion: str | None = None
    signature: str | None = None


def look(state: VaultState) -> Flow[Gone | None]:
    """Ask whether the account was deleted, and keep it if that is the owner's word."""
    response = yield Request("GET", f"/accounts/{id_text(state.account_id)}/deletion")
    if response.status == NotFoundError.http_status:
        return None
    answer = decode_json(succeed(response), _Answer)
    raw, signature = unb64(answer.deletion or ""), unb64(answer.signature or "")
    word = _verified(state, raw, signature)
    if word is not None:
        with suppress(StoreError):  # the server says it again
            state.store.set_meta(_NAME, raw + signature)
    return Gone(word, answer.erased)


def _verified(state: VaultState, raw: bytes, signature: bytes) -> Deletion | None:
    """What was signed, if this account's key of now signed it, for this server; else None."""
    try:
        word = DELETION.parse(raw)
        verify_statement(state.card.signing_public, "account-deletion", raw, signature)
    except (FormatError, TrustError):
        return None
    is_ours = (word.account_id, word.origin) == (state.account_id, state.place.origin)
    is_of_now = word.card == hashlib.sha256(state.account.card).digest()
    return word if is_ours and is_of_now else None


def kept(state: VaultState) -> Deletion | None:
    """The owner's word that this device has seen; verified, since files can be changed."""
    data = state.store.meta(_NAME)
    return _verified(state, data[:-_SIGNATURE], data[-_SIGNATURE:]) if data else None


def check_kept(state: VaultState) -> None:
    """Ask nothing of a server at which the owner deleted the account.

    Raises:
        AccountDeletedError: so it is.
    """
    word = kept(state)
    if word is not None:
        raise deleted(word)


def check_gone(state: VaultState) -> Flow[None]:
    """See whether the account was deleted, where the server answers for none or for another.

    Raises:
        AccountDeletedError: it was, or the server says so.
    """
    found = yield from look(state)
    if found is not None:
        raise deleted(found.word)


def deleted(word: Deletion | None) -> AccountDeletedError:
    """What a person is told."""
    if word is None:
        return AccountDeletedError(_BY_THE_SERVER, hint=_EXPORT)
    text = _BY_ITS_KEYS.format(day=from_micros(word.created))
    return AccountDeletedError(text, hint=_EXPORT, signed=True)
