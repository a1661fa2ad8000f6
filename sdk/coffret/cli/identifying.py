"""Have the owner say which app is meant: typed, and shown nowhere here, or it would be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coffret.flows.pins import CHANGED_KEYS
from coffret.sharing import CONFIRMED, DIFFERS
from coffret_vault.errors import AppDomainError, AppKeyChangedError

if TYPE_CHECKING:
    from coffret.cli.desk import Desk
    from coffret.sharing import AccessRequestInfo
    from coffret.vault import Vault

_SAYS = {
    "confirmed": "The website that this app names says that the app is its own.",
    "absent": "The website that this app names does not say whether the app is its own.",
    "unreachable": "The website that this app names could not be asked whether the app is its own.",
    "unchecked": "No website was asked whether the app is its own.",
}
_BY_WORDS = "Open the app itself and type the eight words that it shows"
_BY_EITHER = "Type the address of the app's website, or the eight words that the app itself shows"


class Told(NamedTuple):
    """What the owner says of the app, from elsewhere than this screen; as ``Vault.approve``."""

    words: str | None = None
    website: str | None = None
    check_domain: bool = True
    new_keys: bool = False


def ask_which_app(desk: Desk, vault: Vault, asked: AccessRequestInfo, said: Told) -> Told:
    """What the owner says of the app that asks; asked for unless it is known or was said.

    Raises:
        AppKeyChangedError: the app was approved before, with other keys.
        AppDomainError: its own website names other apps.
        WordsError: the words are of another app.
    """
    if CHANGED_KEYS in asked.warnings and not said.new_keys:
        raise AppKeyChangedError(hint="Make sure why, then approve it with --new-keys.")
    if asked.app.fingerprint:
        return said
    check = vault.check_app(asked.request_id, check_domain=said.check_domain)
    if check.state == DIFFERS:
        raise AppDomainError
    desk.out.note(_SAYS[check.state])
    for name in check.ended:
        desk.out.note(f"That website no longer names {name}: its grants were ended.")
    told = said
    if not said.words and not said.website and desk.asker.interactive:
        answer = desk.asker.text(_BY_EITHER if check.state == CONFIRMED else _BY_WORDS)
        is_address = check.state == CONFIRMED and len(answer.split()) == 1 and "." in answer
        told = said._replace(website=answer) if is_address else said._replace(words=answer)
    if told.words is not None:
        vault.check_app(asked.request_id, words=told.words, check_domain=said.check_domain)
    return told
