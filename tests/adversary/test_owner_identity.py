"""A server that puts its own keys in place of an owner's, towards an app."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from adversary.test_key_changes import change
from coffret.flows import creating
from coffret.flows.http import b64
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import CoffretError, OwnerKeyChangedError, TrustError, WordsError
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.layout import id_text
from coffret_vault.keyring.keyring import identity_from_seeds
from harness.network import Evil, Fabricating
from harness.world import ask

if TYPE_CHECKING:
    from coffret_vault.keyring.keyring import Identity
    from harness.world import World


def _forged_card(forger: Identity, answer: dict[str, Any]) -> None:
    """An owner's card under keys of the server, signed by those."""
    card = ACCOUNT_CARD.parse(base64.b64decode(answer["account_card"]))
    forged = ACCOUNT_CARD.serialize(
        msgspec.structs.replace(
            card, signing_public=forger.signing.public, sealing_public=forger.sealing.public
        )
    )
    signature = sign_statement(forger.signing, "account", forged)
    answer.update(account_card=b64(forged), card_signature=b64(signature))


@pytest.mark.attack(22)
def test_an_app_does_not_ask_another_owner_than_the_one_it_knows(world: World) -> None:
    """An owner's words at the first request, and the pin at later ones, refuse a forged card."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    forger = identity_from_seeds(os.urandom(64))
    path = f"/accounts/by-username/{owner.username}"

    def forge(answer: dict[str, Any]) -> None:
        _forged_card(forger, answer)

    evil.rewrite[path] = forge
    with pytest.raises(WordsError):
        ask(app, owner, owner_words=owner.vault.words)
    assert app.requests() == []
    evil.rewrite.clear()
    ask(app, owner)
    evil.rewrite[path] = forge
    with pytest.raises(OwnerKeyChangedError):
        ask(app, owner)
    assert len(app.requests()) == 1
    evil.rewrite.clear()
    ask(app, owner)


@pytest.mark.control(22)
def test_an_app_that_never_compares_asks_the_server_s_owner(world: World) -> None:
    """Control: at first sight and without words the forged card passes; the words tell later."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    forger = identity_from_seeds(os.urandom(64))
    evil.rewrite[f"/accounts/by-username/{owner.username}"] = lambda answer: _forged_card(
        forger, answer
    )
    with pytest.raises(CoffretError):  # the honest server behind knows the owner's real keys
        ask(app, owner)
    (request_id,) = app.requests()
    assert app._state.asked(request_id).parse().owner_keys_hash == forger.keys_hash
    with pytest.raises(WordsError):
        app.access(request_id, owner_words=owner.vault.words)
    evil.rewrite.clear()
    with pytest.raises(OwnerKeyChangedError):
        ask(app, owner)
    second = ask(app, owner, owner_words=owner.vault.words)
    with pytest.raises(OwnerKeyChangedError):
        app.access(request_id)
    owner.vault.requests()
    owner.vault.approve(second, words=app.words)
    assert app.access(second).memories() == []


def _signs_on(world: World) -> bool:
    """Whether an app writes under keys of before, which it was told by words are others now.

    The server says nothing of the key change to whoever took the grant up before it.
    """
    server = Fabricating()
    owner, app = world.owner(), world.app(transport=server)
    _, access = world.granted(owner, app)
    change(owner.vault)
    ask(app, owner, owner_words=owner.vault.words)
    path = f"/grants/{id_text(access._held.grant.grant_id)}/memory-blobs"
    server.invented[path] = httpx.Response(201, json={})
    try:
        access.remember("who has the keys of before can read this")
    except TrustError:
        return False
    return True


@pytest.mark.attack(57)
def test_an_app_that_knows_new_keys_writes_nothing_under_those_of_before(world: World) -> None:
    """By whichever process or request it came to know them: the grant has to be asked for anew."""
    assert not _signs_on(world)


@pytest.mark.control(57)
def test_an_app_that_goes_by_the_account_alone_writes_on(world: World) -> None:
    """Control: the account is the same after a key change, and the server takes it."""

    def by_account(_state: Any, _held: Any) -> None:
        return None

    with patch.object(creating, "check_live", by_account):
        assert _signs_on(world)
