"""Entries that no head of the owner covers: the tail of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import (
    BadSignatureError,
    NotFoundError,
    TrustError,
)
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import parse_id
from coffret_vault.log.verify import Verified, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret_vault.formats.checkpoint import SignedHead
    from harness.victim import Victim


Page = list[Any]


def _forged(victim: Victim, author: Author, *, version: int = 2) -> Entry:
    return Entry(
        account_id=victim.vault._state.account_id,
        kind="put",
        subject=parse_id(victim.seen.id),
        version=version,
        digest=bytes(32),
        author=author,
        time=victim.world.clock.now(),
    )


def _with_tail(leaf: bytes) -> Callable[[Page], Page]:
    """Show one more entry behind the head; once only, so that it is not repeated."""
    items = [[leaf, None]]

    def rewrite(page: Page) -> Page:
        shown = [*page[2], *items]
        items.clear()
        return [page[0] + 1, page[1], shown]

    return rewrite


@pytest.mark.attack(20)
def test_an_owner_s_entry_beyond_the_head_is_refused(victim: Victim) -> None:
    """What claims to be the owner's but is under no signature of theirs is not believed."""
    leaf = ENTRY.serialize(_forged(victim, OWNER))
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    victim.refuses(TrustError, "not under the owner's signature")


@pytest.mark.control(20)
def test_an_owner_s_entry_is_believed_by_a_client_that_does_not_look(victim: Victim) -> None:
    """Control: without the rule about the tail the forged entry hides the memory."""
    leaf = ENTRY.serialize(_forged(victim, OWNER))
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    with (
        patch("coffret.flows.sync.Verifier", _Trusting),
        patch("coffret.flows.sync._nothing_withheld"),
    ):
        victim.vault.sync()
    assert victim.vault.status().entries == victim.owner.vault.status().entries + 1
    with pytest.raises(NotFoundError):
        victim.vault.get(victim.seen.id)


class _Trusting(Verifier):
    """Does not look at entries beyond the head."""

    def _fold(self, signed: SignedHead) -> Verified:
        self._parsed.clear()
        return super()._fold(signed)


@pytest.mark.attack(40)
@pytest.mark.attack(20)
def test_an_app_s_entry_needs_a_grant(victim: Victim) -> None:
    """An entry signed by an app that was granted nothing is refused."""
    app = victim.world.app()
    entry = _forged(victim, Author(app._state.manifest.app_id))
    message = ENTRY.serialize(entry)
    leaf = message + sign_statement(app._state.identity.signing, "app-entry", message)
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    victim.refuses(TrustError, "not granted")


@pytest.mark.attack(40)
@pytest.mark.attack(20)
@pytest.mark.parametrize("scopes", [("read",), ("read", "create"), ("read", "delete")])
def test_an_app_s_entry_needs_the_scope(victim: Victim, scopes: tuple[str, ...]) -> None:
    """A change by an app whose grant does not include changing is refused."""
    app = victim.world.app()
    victim.world.granted(victim.owner, app, scopes=scopes)
    victim.vault.sync()
    message = ENTRY.serialize(_forged(victim, Author(app._state.manifest.app_id)))
    leaf = message + sign_statement(app._state.identity.signing, "app-entry", message)
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    victim.refuses(TrustError, "not granted")


@pytest.mark.attack(40)
@pytest.mark.attack(20)
def test_an_app_s_entry_needs_the_app_s_signature(victim: Victim) -> None:
    """An entry in the name of a granted app that another signed is refused."""
    app, other = victim.world.app(), victim.world.app("Other")
    victim.world.granted(victim.owner, app)
    victim.vault.sync()
    message = ENTRY.serialize(_forged(victim, Author(app._state.manifest.app_id)))
    leaf = message + sign_statement(other._state.identity.signing, "app-entry", message)
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    victim.refuses(BadSignatureError)
    message = ENTRY.serialize(_forged(victim, Author(app._state.manifest.app_id)))
    signature = sign_statement(app._state.identity.signing, "access-request", message)
    victim.evil.rewrite["/sync"] = _with_tail(message + signature)
    victim.refuses(BadSignatureError)


@pytest.mark.attack(38, 40)
@pytest.mark.attack(20)
def test_an_app_s_entry_after_its_revocation_is_refused(victim: Victim) -> None:
    """A revoked app's entry is not believed, though the server puts it into the log."""
    app = victim.world.app()
    grant_id, _ = victim.world.granted(victim.owner, app)
    victim.owner.vault.revoke(grant_id)
    victim.vault.sync()
    message = ENTRY.serialize(_forged(victim, Author(app._state.manifest.app_id)))
    leaf = message + sign_statement(app._state.identity.signing, "app-entry", message)
    victim.evil.rewrite["/sync"] = _with_tail(leaf)
    victim.refuses(TrustError, "not granted")


@pytest.mark.attack(20)
def test_an_entry_of_another_account_is_refused(victim: Victim) -> None:
    """Another vault's log, honest as it is, is not this one's."""
    other = victim.world.owner()
    other.vault.remember("another's")
    store = other.vault._state.store
    head = other.vault._state.position().head
    assert head is not None
    leaves = [[leaf, None] for _, leaf in store.leaves()]
    victim.evil.rewrite["/sync"] = lambda _: [len(leaves) * 2, head.note, leaves]
    victim.evil.rewrite["/log"] = lambda answer: answer.update(leaves=[])
    victim.refuses(TrustError)
