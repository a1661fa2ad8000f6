"""Delete the account at the server. docs/spec/3-keys.md, Deletion."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.aside import aside
from coffret.flows.gone import check_kept, look
from coffret.flows.http import Request, b64, encode_json, succeed
from coffret.flows.session import own_challenge, send
from coffret.flows.signup import unlock_with_passphrase
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import AccountDeletedError, TrustError
from coffret_vault.formats.deletion import DELETION, Deletion
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from coffret.flows.gone import Gone
    from coffret.flows.http import Flow
    from coffret.flows.state import Unlocked, VaultState
    from coffret_vault.primitives.secret import SecretBytes

_LOOKS = 40
_PAUSE = 0.25
"""Seconds between two looks: a large vault takes a server longer than anybody waits here."""


class AccountDeleted(msgspec.Struct, frozen=True):
    """An account that was deleted.

    Attributes:
        account_id: which.
        erased: whether nothing of it is left at the server, as it says; else it erases the rest.
    """

    account_id: str
    erased: bool


def delete_account(
    state: VaultState, passphrase: str, secret_key: SecretBytes
) -> Flow[AccountDeleted]:
    """Delete the account, with its key and with the passphrase of now; this device stays as it is.

    Whoever finds a device unlocked, or has a session of it, cannot: the passphrase is stretched
    anew here, and the server wants the key that comes of it beside the account's.

    Raises:
        CredentialsError: passphrase and Secret Key are not this vault's; nothing was deleted.
        AccountDeletedError: it was deleted before.
        TrustError: the server does not show what it was told.
    """
    state.reload()  # another process of this device may have changed what opens it
    check_kept(state)
    unlock = partial(unlock_with_passphrase, state.account, passphrase, secret_key, state.ambient)
    keys = yield from aside(unlock)
    try:
        request = yield from _signed(state, keys)
    finally:
        keys.keyring.wipe()
    with suppress(AccountDeletedError):  # the answer was lost, or another device was quicker
        succeed((yield from send(state, request)))
    state.session = None
    found = yield from _erased(state)
    return AccountDeleted(id_text(state.account_id), found.erased)


def _signed(state: VaultState, keys: Unlocked) -> Flow[Request]:
    """The call, signed over a challenge for the passphrase's keyslot."""
    login, ambient = keys.login, state.ambient
    asked = yield from own_challenge(state, login)
    card = hashlib.sha256(state.account.card).digest()
    word = DELETION.serialize(
        Deletion(
            state.place.origin, state.account_id, login.slot_id, asked.nonce, card, ambient.now()
        )
    )
    body = {
        "deletion": b64(word),
        "signature": b64(sign_statement(keys.identity.signing, "account-deletion", word)),
        "login_signature": b64(sign_statement(login.key, "account-deletion", word)),
    }
    return Request("POST", "/accounts/me/deletion", encode_json(body))


def _erased(state: VaultState) -> Flow[Gone]:
    """Wait a while until nothing of the account is left there.

    Raises:
        TrustError: the server shows another word than the owner's, or none.
    """
    for _ in range(_LOOKS):
        found = yield from _shown(state)
        if found.erased:
            return found
        yield Request("", "", seconds=_PAUSE)
    return (yield from _shown(state))


def _shown(state: VaultState) -> Flow[Gone]:
    found = yield from look(state)
    if found is None or found.word is None:
        message = "the server says that it deleted the account, and does not show it"
        raise TrustError(message)
    return found
