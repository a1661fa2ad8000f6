"""By which keys an app knows an owner: by typed words, or met first. docs/spec/6-grants.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.ownersfile import ASK_FOR_WORDS, Met
from coffret_vault.errors import GrantExpiredError, OwnerKeyChangedError, TrustError
from coffret_vault.formats.account import keys_hash
from coffret_vault.grants.apps import Signed, verify_account_card
from coffret_vault.grants.words import check_words

if TYPE_CHECKING:
    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.ownersfile import Asked
    from coffret_vault.formats.account import AccountCard


def check_owner(state: AppState, card: AccountCard, words: str | None) -> None:
    """Go on only with the keys that this app knows of an owner, or that the owner's words are of.

    Without words the keys that the server shows first are kept, and the account: from then on no
    others pass, nor another owner by that account. With words nothing depends on the server, now or
    earlier: they also replace what was kept.

    Raises:
        WordsError: the words are of other keys; what was kept stays.
        OwnerKeyChangedError: they are not the keys that this app knows.
        TrustError: the account is one of an owner whom this app knows by another name.
    """
    shown = Met(card.account_id, keys_hash(card.signing_public, card.sealing_public))
    known = state.owners.met(card.username)  # by whichever process of the app
    if words is not None:
        check_words(words, shown.keys)
    elif known is not None and known != shown:
        raise OwnerKeyChangedError(hint=ASK_FOR_WORDS)
    if known != shown:
        state.owners.meet(card.username, shown, known, sure=words is not None)


def check_live(state: AppState, held: Held) -> None:
    """Ask and sign nothing under a grant that is over, or of an owner whom this app knows by else.

    By this device's clock, and by what this app knows now: other processes of it may have met the
    owner's new keys, and who has those of before has the key of what they granted.

    Raises:
        GrantExpiredError: it is over.
        TrustError: since it was taken up, words told this app whose the account is, or other keys.
    """
    if held.grant.expires <= state.ambient.now():
        raise GrantExpiredError
    granted = Met(held.grant.account_id, held.grant.owner_keys_hash)
    if state.owners.met(held.username) != granted:
        message = "this owner is not known by this account and its keys any more; ask them again"
        raise TrustError(message)


def check_asked(state: AppState, asked: Asked, words: str | None) -> AccountCard:
    """The card of the owner whom a request was made to, as :func:`check_owner` passes it."""
    card = verify_account_card(Signed(asked.card, asked.card_signature))
    check_owner(state, card, words)
    return card
