"""By which keys an app knows an owner: by typed words, or met first. docs/spec/6-grants.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.ownersfile import ASK_FOR_WORDS
from coffret_vault.errors import OwnerKeyChangedError
from coffret_vault.formats.account import keys_hash
from coffret_vault.grants.apps import Signed, verify_account_card
from coffret_vault.grants.words import check_words

if TYPE_CHECKING:
    from coffret.flows.appstate import AppState
    from coffret.flows.ownersfile import Asked
    from coffret_vault.formats.account import AccountCard


def check_owner(state: AppState, card: AccountCard, words: str | None) -> None:
    """Go on only with the keys that this app knows of an owner, or that the owner's words are of.

    Without words the keys that the server shows first are kept: from then on no others pass. With
    words nothing depends on the server, now or earlier: they also replace what was kept.

    Raises:
        WordsError: the words are of other keys; what was kept stays.
        OwnerKeyChangedError: they are not the keys that this app knows.
    """
    shown = keys_hash(card.signing_public, card.sealing_public)
    known = state.owners.keys_of(card.username)  # by whichever process of the app
    if words is not None:
        check_words(words, shown)
    elif known is not None and known != shown:
        raise OwnerKeyChangedError(hint=ASK_FOR_WORDS)
    if known != shown:
        state.owners.meet(card.username, shown, known, sure=words is not None)


def check_asked(state: AppState, asked: Asked, words: str | None) -> AccountCard:
    """The card of the owner whom a request was made to, as :func:`check_owner` passes it."""
    card = verify_account_card(Signed(asked.card, asked.card_signature))
    check_owner(state, card, words)
    return card
