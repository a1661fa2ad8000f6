"""A server, in league with one user of an app, that shows another user's account as theirs."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import proposing
from coffret.flows import ownersfile
from coffret.flows.http import b64
from coffret.flows.signup import make_card
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import OwnerKeyChangedError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.checkpoint import NO_HEAD, Head
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import parse_header
from coffret_vault.formats.sharing import GRANT, Grant, grant_approval, grant_key_info
from coffret_vault.grants.apps import messages_key
from coffret_vault.keyring import Keyring, generate_identity
from coffret_vault.primitives.identity import seal_to
from coffret_vault.primitives.symmetric import generate_key
from harness.network import Fabricating
from harness.world import ask

if TYPE_CHECKING:
    from coffret import Access, App
    from coffret_vault.primitives.secret import SecretBytes
    from harness.world import Owner, World

SAID = [
    {"role": "user", "content": "It came back positive."},
    {"role": "assistant", "content": "I am here for you."},
]
FAR = 10**9
"""Entries that the accomplice's log is said to have."""


class Accomplice:
    """A user of an app whose account card has somebody else's account id, and their server."""

    def __init__(self, world: World, server: Fabricating, victim: Owner) -> None:
        """Sign a card that says so."""
        self.owner, self.server = world.owner(), server
        state = self.owner.vault._state
        self.identity = state.keys.identity
        self.account_id: bytes = victim.vault._state.account_id
        card = msgspec.structs.replace(state.card, account_id=self.account_id)
        message = ACCOUNT_CARD.serialize(card)
        shown = {
            "account_id": id_text(self.account_id),
            "account_card": b64(message),
            "card_signature": b64(sign_statement(self.identity.signing, "account", message)),
        }
        path = f"/accounts/by-username/{self.owner.username}"
        self.server.invented[path] = httpx.Response(200, json=shown)

    def grants(self, app: App) -> Access:
        """Be asked by the app, and grant it everything, in a log that is very long."""
        self.server.invented["/access-requests"] = httpx.Response(201, json={})
        request_id = ask(app, self.owner)
        request = app._state.asked(request_id).parse()
        grant = Grant(
            account_id=self.account_id,
            grant_id=os.urandom(16),
            app_id=request.app_id,
            request_digest=hashlib.sha256(app._state.asked(request_id).request).digest(),
            owner_keys_hash=request.owner_keys_hash,
            manifest_digest=request.manifest_digest,
            scopes=request.scopes,
            selector=request.selector,
            standing=False,
            auto_accept=False,
            created=request.created,
            expires=request.created + request.seconds * 1_000_000,
        )
        message = GRANT.serialize(grant)
        key = generate_key(os.urandom)
        sealed = seal_to(app._state.identity.sealing.public, key, grant_key_info(message))
        approval = grant_approval(message, sealed)
        found = {
            "grant": b64(message),
            "sealed_key": b64(sealed),
            "signature": b64(sign_statement(self.identity.signing, "grant", approval)),
            "state": "active",
        }
        path = f"/access-requests/{request_id}/credentials"
        self.server.invented[path] = httpx.Response(200, json=found)
        head = Head(self.account_id, FAR, os.urandom(32), NO_HEAD, request.created)
        page: tuple[Any, ...] = (None, [], sign_head(self.identity.signing, head), [], [head.root])
        packed = {"content-type": "application/msgpack"}
        path = f"/grants/{id_text(grant.grant_id)}"
        self.server.invented[f"{path}/records"] = httpx.Response(
            200, content=msgspec.msgpack.encode(page), headers=packed
        )
        self.server.invented[f"{path}/memory-blobs"] = httpx.Response(201, json={})
        return app.access(request_id)

    def ids(self) -> set[str]:
        """Of the memories that the app wrote for the accomplice."""
        sent = [item for item in self.server.requests if "memory-blobs" in item.url.path]
        bodies = [msgspec.msgpack.decode(item.content) for item in sent]
        headers = [parse_header(part[0]) for body in bodies for part in body["records"]]
        return {id_text(header.memory_id) for header in headers}


def _guessed(world: World) -> bool:
    """Whether the ids tell that two users of one app said the same.

    The accomplice comes first: an app that knows the victim asks nobody else by that account.
    """
    server = Fabricating()
    victim, app = world.owner(), world.app(transport=server)
    accomplice = Accomplice(world, server, victim)
    accomplice.grants(app).remember_messages(SAID, session="chat")
    known = accomplice.ids()
    del server.invented["/access-requests"]
    _, access = world.granted(victim, app, owner_words=victim.vault.words)
    access.remember_messages(SAID, session="chat")
    victim.vault.sync()
    there = {item.memory_id for item in victim.vault.pending()}
    assert there
    assert known
    return bool(there & known)


@pytest.mark.attack(29)
def test_no_accomplice_tests_a_guess_at_what_another_user_said(world: World) -> None:
    """What one user of an app says has another id, though their card says it is another's account.

    Else the server, which sees ids, could have its accomplice say things until one is alike. Nor
    does a head that they signed for that account stand beside those of its owner.
    """
    assert not _guessed(world)


@pytest.mark.control(29)
def test_an_app_that_goes_by_the_account_alone_lets_it_test_guesses(world: World) -> None:
    """Control: with a key for each account, and not for each user, the same words have one id."""

    def by_account(seeds: bytes, account_id: bytes, _username: str) -> SecretBytes:
        return messages_key(seeds, account_id, "anybody")

    with patch.object(proposing, "messages_key", by_account):
        assert _guessed(world)


@pytest.mark.attack(29)
def test_an_app_signs_nothing_for_one_user_in_the_account_of_another(world: World) -> None:
    """Whom the app knows by it keeps the account; what it signed would pass for theirs."""
    server = Fabricating()
    victim, app = world.owner(), world.app(transport=server)
    world.granted(victim, app)
    accomplice = Accomplice(world, server, victim)
    with pytest.raises(TrustError, match="another one, whom this app knows"):
        accomplice.grants(app)
    assert len(app.requests()) == 1


@pytest.mark.attack(29)
def test_words_take_an_account_from_who_borrowed_it(world: World) -> None:
    """Where the accomplice came first, the owner is asked by words only; then the other is out."""
    server = Fabricating()
    victim, app = world.owner(), world.app(transport=server)
    accomplice = Accomplice(world, server, victim)
    borrowed = accomplice.grants(app)
    (first,) = app.requests()
    del server.invented["/access-requests"]
    with pytest.raises(TrustError, match="another one, whom this app knows"):
        ask(app, victim)
    _, access = world.granted(victim, app, owner_words=victim.vault.words)
    sent = len(server.requests)
    with pytest.raises(TrustError):
        borrowed.remember("in whose name?")
    with pytest.raises(TrustError):
        app.access(first)
    assert len(server.requests) == sent
    access.remember("in mine")


def _unpinned(world: World) -> bool:
    """Whether the app takes keys that a server made for those of an owner whom it knows.

    A user whose own words are right borrows that owner's account in between.
    """
    server = Fabricating()
    victim, app = world.owner(), world.app(transport=server)
    world.granted(victim, app)
    accomplice = Accomplice(world, server, victim)
    accomplice.server.invented["/access-requests"] = httpx.Response(201, json={})
    ask(app, accomplice.owner, owner_words=accomplice.owner.vault.words)
    made = generate_identity(
        Keyring(os.urandom(16), 1, generate_key(os.urandom)), random=os.urandom
    )[0]
    card, signature = make_card(made, os.urandom(16), victim.username, 1)
    path = f"/accounts/by-username/{victim.username}"
    shown = {
        "account_id": id_text(ACCOUNT_CARD.parse(card).account_id),
        "account_card": b64(card),
        "card_signature": b64(signature),
    }
    server.invented[path] = httpx.Response(200, json=shown)
    try:
        ask(app, victim)
    except OwnerKeyChangedError:
        del server.invented[path], server.invented["/access-requests"]
        world.granted(victim, app, owner_words=victim.vault.words)
        return False
    return True


@pytest.mark.attack(22)
def test_no_accomplice_makes_an_app_forget_an_owner_s_keys(world: World) -> None:
    """Who borrows an account takes it from whom the app knew by it, and not the keys: a pin."""
    assert not _unpinned(world)


@pytest.mark.control(22)
def test_an_app_that_forgets_whose_account_was_borrowed_takes_any_keys(world: World) -> None:
    """Control: then the keys that a server shows next for that name are the first ones again."""

    def forgets(database: Any, account_id: bytes, username: str) -> None:
        database.execute(
            "DELETE FROM owners WHERE account = ? AND username <> ?", (account_id, username)
        )

    with patch.object(ownersfile, "_disown", forgets):
        assert _unpinned(world)
