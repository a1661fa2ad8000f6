"""Make sure who an app is before it is given anything. docs/spec/6-grants.md, Who an app is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.grantfeed import REVOKED
from coffret.flows.grants import move
from coffret.flows.http import Request
from coffret.flows.pins import app_keys, is_pinned, keys_changed, neighbours
from coffret.sharing import CONFIRMED, DIFFERS, AppCheck, shown
from coffret_vault.errors import (
    AppDomainError,
    AppKeyChangedError,
    AppUnconfirmedError,
    FormatError,
    GrantRevokedError,
    NetworkError,
    TrustError,
)
from coffret_vault.formats.layout import id_text
from coffret_vault.grants.domain import (
    WELL_KNOWN,
    homepage_host,
    is_on_the_internet,
    read_app_document,
)
from coffret_vault.grants.words import check_words

if TYPE_CHECKING:
    from coffret.flows.http import Flow, Response
    from coffret.flows.state import VaultState
    from coffret_vault.formats.sharing import Manifest
    from coffret_vault.grants.approve import CheckedRequest
    from coffret_vault.grants.apps import Signed

_OK = 200


class Confirmation(msgspec.Struct, frozen=True):
    """What the owner brings from outside the request: nothing of it may be copied from there.

    Attributes:
        words: the eight words, as the app itself shows them.
        website: the host name of the app's website, as the owner knows it.
        check_domain: whether the app's domain may be asked; it then learns this device's address.
        new_keys: whether keys that differ from those approved before may be confirmed now.
    """

    words: str | None = None
    website: str | None = None
    check_domain: bool = True
    new_keys: bool = False


def confirm_app(state: VaultState, asked: CheckedRequest, given: Confirmation) -> Flow[None]:
    """Go on only with an app that is pinned, or that the owner can tell by words or by its domain.

    Raises:
        WordsError: the words are of other keys.
        AppKeyChangedError: the app had other keys when it was approved before.
        AppDomainError: its own domain names others.
        AppUnconfirmedError: neither words nor domain say that it is the app that was meant.
    """
    manifest = asked.manifest
    if keys_changed(state, manifest) and not given.new_keys:
        yield from end_grants(state, manifest.app_id)
        raise AppKeyChangedError(hint="Make sure with its developer what happened.")
    if given.words is not None:
        check_words(given.words, app_keys(manifest))
    if is_pinned(state, manifest):
        return
    check = not_checked(asked)
    if given.check_domain:
        check = yield from look_at_domain(state, asked)
    if check.state == DIFFERS:
        raise AppDomainError
    if given.words is None:
        _check_website(check, given.website)


def _check_website(check: AppCheck, website: str | None) -> None:
    """Without words: the owner names the website, and that website names the app.

    That some domain names the app is not enough: a server could show an app of its own making
    whose homepage is at a domain of its own.
    """
    if website is None:
        raise AppUnconfirmedError(hint="Give the eight words that the app itself shows.")
    if _host(website) != check.host:
        message = "the app that asks names another website than that one"
        raise AppUnconfirmedError(message)
    if check.state != CONFIRMED:
        message = f"that website does not tell whether the app is its own ({check.state})"
        raise AppUnconfirmedError(message, hint="Give the eight words that the app itself shows.")


def _host(typed: str) -> str | None:
    """The host that a person means by a website's name or address."""
    text = typed.strip()
    return homepage_host(text if "://" in text else f"https://{text}")


def not_checked(asked: CheckedRequest) -> AppCheck:
    """What is known of an app whose domain was not asked."""
    return AppCheck("unchecked", homepage_host(asked.manifest.homepage) or "")


def look_at_domain(state: VaultState, asked: CheckedRequest) -> Flow[AppCheck]:
    """Ask the app's own domain about it, once a look; see ``AppCheck`` for what comes of it.

    The host is one that the app signed. What the domain says of apps that were approved before
    counts too: the grants of those that it names no longer, while it names this one, are ended.
    """
    digest = hashlib.sha256(asked.manifest_bytes).digest()
    known = state.checked.get(digest)
    if known is None:
        known = yield from _look(state, asked)
        state.checked[digest] = known
    return known


def _look(state: VaultState, asked: CheckedRequest) -> Flow[AppCheck]:
    host = homepage_host(asked.manifest.homepage)
    if host is None or not is_on_the_internet(host):
        return AppCheck("absent", host or "")
    try:
        named = _read((yield Request("GET", WELL_KNOWN, host=host)))
    except NetworkError:
        return AppCheck("unreachable", host)
    except (FormatError, TrustError):
        return AppCheck("absent", host)
    if asked.manifest_bytes not in {signed.message for signed, _ in named}:
        return AppCheck(DIFFERS, host)
    ended = yield from _end_replaced(state, asked.manifest, [manifest for _, manifest in named])
    return AppCheck(CONFIRMED, host, ended)


def _read(answer: Response) -> tuple[tuple[Signed, Manifest], ...]:
    if answer.status != _OK:
        message = "the website has no such file"
        raise FormatError(message)
    return read_app_document(answer.body)


def _end_replaced(
    state: VaultState, manifest: Manifest, named: list[Manifest]
) -> Flow[tuple[str, ...]]:
    """End the grants of apps of that host that it names no longer, and give the apps' names."""
    still = {(app.app_id, app_keys(app)) for app in named}
    ended: tuple[str, ...] = ()
    for app in neighbours(state, manifest):
        if (app.app_id, app_keys(app)) in still:
            continue
        if (yield from end_grants(state, app.app_id)):
            ended = (*ended, shown(app.name))
    return ended


def end_grants(state: VaultState, app_id: bytes) -> Flow[int]:
    """Revoke every grant of an app that is not over, and give how many there were."""
    now = state.ambient.now()
    rows = [
        row.statement()
        for row in state.store.grants.all()
        if row.state != REVOKED and row.statement().app_id == app_id
    ]
    over = [grant for grant in rows if grant.expires > now]
    for grant in over:
        try:
            yield from move(state, id_text(grant.grant_id), REVOKED)
        except GrantRevokedError:
            continue  # another device was quicker
    return len(over)
