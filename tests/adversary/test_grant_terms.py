"""Grants and requests with one field changed, whichever it is, and grants that nobody made."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret.flows.http import b64
from coffret.testing import Server
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import CoffretError, ConflictError, OpenError, TrustError
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    GRANT,
    Grant,
    Selector,
    grant_approval,
    grant_key_info,
)
from coffret_vault.grants.approve import make_grant
from coffret_vault.grants.apps import SignedGrant, open_grant
from coffret_vault.keyring.keyring import identity_from_seeds
from coffret_vault.primitives.identity import seal_to
from coffret_vault.primitives.symmetric import generate_key
from harness.network import Evil, Fabricating, updating
from harness.world import World, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret import Access, App
    from coffret_vault.formats.account import AccountCard
    from coffret_vault.formats.sharing import AccessRequest
    from coffret_vault.keyring.keyring import Identity
    from coffret_vault.primitives.secret import SecretBytes
    from harness.world import Owner

EVERY = frozenset(("read", "create", "update", "delete"))
WIDER: dict[str, Any] = {
    "scopes": EVERY,
    "selector": Selector(everything=True),
    "standing": True,
    "auto_accept": True,
}


@dataclass
class Party:
    """An owner, an app whose server is hostile, and what the one granted to the other."""

    owner: Owner
    app: App
    evil: Evil
    request_id: str
    access: Access

    @property
    def grant(self) -> Grant:
        """The statement."""
        return self.access._held.grant

    @property
    def request(self) -> AccessRequest:
        """What the app asked for."""
        return self.app._state.asked(self.request_id).parse()

    def answers(self, **fields: str) -> None:
        """Let the server answer with these fields where the app takes its grant up."""
        self.evil.rewrite[f"/access-requests/{self.request_id}/credentials"] = updating(fields)

    def real(self) -> dict[str, str]:
        """What the honest server answers."""
        seen: list[dict[str, str]] = []
        path = f"/access-requests/{self.request_id}/credentials"
        self.evil.rewrite[path] = seen.append
        self.app.access(self.request_id)
        del self.evil.rewrite[path]
        return dict(seen[0])


def party(world: World, tag: str = "t") -> Party:
    """Somebody who granted an app little: to read what has one tag, for a month."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    owner.vault.remember("shared", tags=[tag])
    request_id = ask(app, owner, scopes=["read"], tags=[tag])
    owner.vault.requests(None)
    owner.vault.approve(request_id, words=app.words)
    return Party(owner, app, evil, request_id, app.access(request_id))


def edits(mine: Any, theirs: Any) -> Iterator[tuple[str, Any]]:
    """An object with each field of another object in turn, and with each that can be wider so."""
    for name in mine.__struct_fields__:
        for value in (getattr(theirs, name), WIDER.get(name)):
            if value is not None and value != getattr(mine, name):
                yield name, msgspec.structs.replace(mine, **{name: value})
    for name in {"expires", "seconds"} & set(mine.__struct_fields__):
        yield name, msgspec.structs.replace(mine, **{name: getattr(mine, name) + 1})


@pytest.mark.attack(33)
@pytest.mark.attack(34)
def test_no_field_of_a_grant_can_be_another(world: World) -> None:
    """With any one field exchanged or widened the app takes nothing up, whoever signed it."""
    mine, theirs = party(world), party(world, "p")
    sealed, forger = os.urandom(1168), identity_from_seeds(os.urandom(64))
    names = set()
    for name, grant in edits(mine.grant, theirs.grant):
        names.add(name)
        statement = GRANT.serialize(grant)
        by_server = sign_statement(forger.signing, "grant", grant_approval(statement, sealed))
        for fields in (
            {"grant": b64(statement)},
            {"grant": b64(statement), "sealed_key": b64(sealed), "signature": b64(by_server)},
        ):
            mine.answers(**fields)
            with pytest.raises(TrustError):
                mine.app.access(mine.request_id)
    assert names == set(Grant.__struct_fields__) - {"standing", "auto_accept"} | set(WIDER)


@pytest.mark.attack(33)
def test_a_grant_is_for_one_request_of_one_app_by_one_owner(world: World) -> None:
    """A genuine grant, its key or its signature does not answer another request, app or owner."""
    mine, theirs = party(world), party(world, "p")
    second = ask(mine.app, mine.owner, scopes=["read"], tags=["t"])
    mine.owner.vault.requests(None)
    mine.owner.vault.approve(second)
    sibling = Party(mine.owner, mine.app, mine.evil, second, mine.app.access(second))
    parts = ("grant", "sealed_key", "signature")
    for other in (theirs.real(), sibling.real()):
        for count in (1, 2, 3):
            for chosen in combinations(parts, count):
                mine.answers(**{part: other[part] for part in chosen})
                with pytest.raises(TrustError):
                    mine.app.access(mine.request_id)


def signed_by(owner: Owner, grant: Grant, sealed: bytes) -> SignedGrant:
    """A statement under the owner's own signature, as a careless device would make it."""
    statement = GRANT.serialize(grant)
    key = owner.vault._state.keys.identity.signing
    signature = sign_statement(key, "grant", grant_approval(statement, sealed))
    return SignedGrant(statement, sealed, signature)


@pytest.mark.attack(33)
@pytest.mark.attack(34)
def test_even_signed_a_grant_is_no_wider_than_asked_and_its_key_is_bound(world: World) -> None:
    """An app refuses what it did not ask for though the owner signs it; a key fits one grant."""
    mine, theirs = party(world), party(world, "p")
    card = mine.owner.vault._state.card
    real = mine.access._held
    free = {"grant_id", "auto_accept", "created"}  # the owner's to choose
    for name, grant in edits(mine.grant, theirs.grant):
        identity = mine.app._state.identity
        old, fresh = (
            seal_to(identity.sealing.public, real.key, grant_key_info(GRANT.serialize(one)))
            for one in (real.grant, grant)
        )
        with pytest.raises((TrustError, OpenError)):
            open_grant(identity, mine.request, card, signed_by(mine.owner, grant, old))
        if name not in free:
            with pytest.raises(TrustError):
                open_grant(identity, mine.request, card, signed_by(mine.owner, grant, fresh))


def believing(
    identity: Identity, _request: AccessRequest, _card: AccountCard, signed: SignedGrant
) -> tuple[Grant, SecretBytes]:
    """Takes up whatever it is shown, its key from an envelope that binds nothing."""
    return GRANT.parse(signed.message), identity.sealing.open(signed.sealed_key, b"")


@pytest.mark.control(33)
@pytest.mark.control(34)
def test_an_app_that_believes_its_server_takes_anything_up(world: World) -> None:
    """Control: without signature and bound key, another's grant and a wider one are taken up."""
    with (
        patch("coffret_vault.grants.approve.grant_key_info", return_value=b""),
        patch("coffret.flows.apps.open_grant", believing),
    ):
        mine = party(world)
        second = ask(mine.app, mine.owner, scopes=["read"], tags=["other"])
        mine.owner.vault.requests(None)
        mine.owner.vault.approve(second)
        other = Party(mine.owner, mine.app, mine.evil, second, mine.app.access(second))
        mine.answers(**other.real())
        assert mine.app.access(mine.request_id)._held.grant == other.grant
        for _, grant in edits(mine.grant, mine.grant):
            mine.answers(grant=b64(GRANT.serialize(grant)))
            assert mine.app.access(mine.request_id)._held.grant == grant


@pytest.mark.attack(33)
@pytest.mark.attack(34)
def test_no_field_of_a_request_can_be_another(world: World) -> None:
    """A request with any one field exchanged or widened on its way is not shown to the owner."""
    mine, theirs = party(world), party(world, "p")
    evil = Evil()
    victim = world.device(mine.owner, transport=evil)
    names = set()
    for name, request in edits(mine.request, theirs.request):
        names.add(name)
        changed = {"request": b64(ACCESS_REQUEST.serialize(request))}
        evil.rewrite["/access-requests"] = partial(_first, changed)
        with pytest.raises(TrustError):
            victim.requests(None)
    same = {"purpose", "retention", "seconds", "scopes", "standing"}
    assert names == set(mine.request.__struct_fields__) - same | {"scopes", "standing", "seconds"}


def _first(changed: dict[str, str], answer: list[Any]) -> None:
    answer[0].update(changed)


@pytest.mark.control(34)
def test_a_device_that_does_not_verify_grants_more_than_was_asked(world: World) -> None:
    """Control: without the app's signature the owner approves scopes that nobody asked for."""
    evil = Evil()
    owner, app = world.owner(transport=evil), world.app()
    request_id = ask(app, owner, scopes=["read"], tags=["t"])
    request = msgspec.structs.replace(app._state.asked(request_id).parse(), scopes=EVERY)
    changed = {"request": b64(ACCESS_REQUEST.serialize(request))}
    evil.rewrite["/access-requests"] = partial(_first, changed)
    evil.rewrite[f"/access-requests/{request_id}"] = updating(changed)
    made = []

    def keeping(*args: Any, **kwargs: Any) -> Any:
        made.append(make_grant(*args, **kwargs))
        return made[0]

    with (
        patch("coffret_vault.grants.approve.verify_statement"),
        patch("coffret.flows.approval.make_grant", keeping),
    ):
        assert owner.vault.requests()[0].scopes == EVERY
        with pytest.raises(CoffretError):  # the honest server knows what was asked
            owner.vault.approve(request_id, words=app.words)
    assert made[0].grant.scopes == EVERY


# -- a request that the server calls approved ---------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[World, Callable[[str, bytes], None]]]:
    """People at a server whose database can be written to."""
    path = tmp_path / "server.db"
    with Server(f"sqlite:///{path}") as server, World(server.url, tmp_path) as world:

        def write(statement: str, *values: Any) -> None:
            with closing(sqlite3.connect(path)) as database, database:
                assert database.execute(statement, values).rowcount == 1

        yield world, write


@pytest.mark.attack(35)
def test_a_server_that_says_approved_has_nothing_to_give(
    stored: tuple[World, Callable[..., None]],
) -> None:
    """A request that is approved in the database alone gives no access, nor under any grant."""
    world, write = stored
    owner, app = world.owner(), world.app()
    owner.vault.remember("secret")
    _, elsewhere = world.granted(owner, world.app("Other"))
    request_id = ask(app, owner)
    row = app._state.asked(request_id).parse().request_id
    write("UPDATE access_requests SET state = 'approved' WHERE request_id = ?", row)
    assert app.status(request_id) == "approved"
    with pytest.raises(ConflictError):
        app.access(request_id)
    borrowed = elsewhere._held.grant.grant_id
    write("UPDATE access_requests SET grant_id = ? WHERE request_id = ?", borrowed, row)
    with pytest.raises(TrustError):
        app.access(request_id)
    assert [grant.app.name for grant in owner.vault.grants()] == ["Other"]


def forged_answer(app: App, request_id: str) -> dict[str, str]:
    """Everything that an approval has, made by a server under a key of its own."""
    asked = app._state.asked(request_id)
    request, forger = asked.parse(), identity_from_seeds(os.urandom(64))
    grant = Grant(
        account_id=request.account_id,
        grant_id=os.urandom(16),
        app_id=request.app_id,
        request_digest=hashlib.sha256(asked.request).digest(),
        owner_keys_hash=request.owner_keys_hash,
        manifest_digest=request.manifest_digest,
        scopes=request.scopes,
        selector=request.selector,
        standing=False,
        auto_accept=False,
        created=request.created,
        expires=request.created + 10**9,
    )
    statement = GRANT.serialize(grant)
    key = generate_key(os.urandom)
    sealed = seal_to(app._state.identity.sealing.public, key, grant_key_info(statement))
    signature = sign_statement(forger.signing, "grant", grant_approval(statement, sealed))
    parts = {"grant": statement, "sealed_key": sealed, "signature": signature}
    return {name: b64(part) for name, part in parts.items()} | {"state": "active"}


def fabricated(world: World) -> tuple[App, str]:
    """An app whose pending request is answered with a grant that the server made."""
    network = Fabricating()
    owner, app = world.owner(), world.app(transport=network)
    request_id = ask(app, owner)
    answer = httpx.Response(200, json=forged_answer(app, request_id))
    network.invented[f"/access-requests/{request_id}/credentials"] = answer
    return app, request_id


@pytest.mark.attack(35)
def test_a_grant_of_the_server_s_making_is_not_taken_up(world: World) -> None:
    """A whole approval under a key that is not the owner's is refused."""
    app, request_id = fabricated(world)
    with pytest.raises(TrustError):
        app.access(request_id)


@pytest.mark.control(35)
def test_an_app_that_does_not_verify_takes_the_server_s_grant_up(world: World) -> None:
    """Control: without the owner's signature the app writes under a key that the server has."""
    app, request_id = fabricated(world)
    with patch("coffret_vault.grants.apps.verify_statement"):
        assert app.access(request_id).scopes == EVERY
