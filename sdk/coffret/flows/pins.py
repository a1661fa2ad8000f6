"""Which apps this owner knows, and by which keys. docs/spec/6-grants.md, Who an app is.

An owner's own grants are the pins: each names the app's manifest under the owner's signature,
stands in the log, and so is on every device of the owner. No other list could say otherwise. Keys
alone would let whoever has them come back under any name, by the help of a server.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from coffret.sharing import quoted, shown
from coffret_vault.formats.account import keys_hash
from coffret_vault.grants.domain import homepage_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.state import VaultState
    from coffret_vault.formats.sharing import Manifest

_FILLERS = "\u115f\u1160"
"""Letters, by their category, that show nothing; others become these in NFKD."""
CHANGED_KEYS = (
    "this app's keys are not the ones it had when you last approved it; its grants were ended"
)


def app_keys(manifest: Manifest) -> bytes:
    """The hash over both public keys of an app."""
    return keys_hash(manifest.signing_public, manifest.sealing_public)


def pinned(state: VaultState) -> dict[bytes, Manifest]:
    """Every app that was ever approved, by its id, as its newest grant has it."""
    rows = sorted(state.store.grants.all(), key=lambda row: row.granted_at)
    return {app.app_id: app for app in (row.app() for row in rows)}


def is_pinned(state: VaultState, manifest: Manifest) -> bool:
    """Whether this app was approved before, last by this very manifest.

    A manifest has one encoding: equal fields are equal bytes.
    """
    return pinned(state).get(manifest.app_id) == manifest


def renamed(state: VaultState, manifest: Manifest) -> Manifest | None:
    """What was approved before, if it was these keys by another manifest.

    An app id is given once, with one manifest: a second one is the server's doing.
    """
    known = pinned(state).get(manifest.app_id)
    if known is None or known == manifest or app_keys(known) != app_keys(manifest):
        return None
    return known


def keys_changed(state: VaultState, manifest: Manifest) -> bool:
    """Whether this app was approved before, last with other keys."""
    known = pinned(state).get(manifest.app_id)
    return known is not None and app_keys(known) != app_keys(manifest)


def neighbours(state: VaultState, manifest: Manifest) -> Iterator[Manifest]:
    """The other apps that were approved before and are at the same host."""
    host = homepage_host(manifest.homepage)
    for app in pinned(state).values():
        if app.app_id != manifest.app_id and host and homepage_host(app.homepage) == host:
            yield app


def _sound(name: str) -> str:
    """What is left of a name without case, accents, spaces and signs, and what shows nothing."""
    text = unicodedata.normalize("NFKD", shown(name)).casefold()
    letters = "".join(sign for sign in text if sign.isalnum() and sign not in _FILLERS)
    return letters or text


def warnings_about(state: VaultState, manifest: Manifest) -> Iterator[str]:
    """What a person should know about an app, from the apps that were approved before."""
    if keys_changed(state, manifest):
        yield CHANGED_KEYS
    before = renamed(state, manifest)
    if before is not None:
        name = quoted(before.name)
        yield f"you approved this app as {name}: its name or homepage is another one now"
    others = [app for app in pinned(state).values() if app.app_id != manifest.app_id]
    sound = _sound(manifest.name)
    if any(_sound(app.name) == sound for app in others):
        yield "another app that you approved has this name"
    same = manifest.homepage and any(app.homepage == manifest.homepage for app in others)
    if same or any(neighbours(state, manifest)):
        yield "another app that you approved names this homepage"
