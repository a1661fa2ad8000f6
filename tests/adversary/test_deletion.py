"""Who would delete an account that is not theirs to delete, or say that it was deleted."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coffret import Vault
from coffret.flows import gone
from coffret.testing import Server
from coffret_server import cli as operator
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import AccountDeletedError, CredentialsError, TrustError
from coffret_vault.formats.deletion import DELETION, Deletion
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Store
from harness import thief
from harness.flipping import flipped
from harness.network import BASE, Fabricating, Recorder
from harness.world import PASSPHRASE, World
from server import forge

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Owner

ASKED = "/auth/challenge"
SAID = "/accounts/me/deletion"


def shown_at(owner: Owner) -> str:
    """Where a server says that an owner's account was deleted."""
    return f"/accounts/{owner.vault.status().account_id}/deletion"


def said(owner: Owner, word: bytes | None, signature: bytes | None) -> httpx.Response:
    """What it says there."""
    return httpx.Response(
        200,
        json={
            "account_id": owner.vault.status().account_id,
            "deletion": word and b64encode(word).decode(),
            "signature": signature and b64encode(signature).decode(),
            "erased": True,
        },
    )


def nobody() -> httpx.Response:
    """The challenge for a name that nobody has."""
    slot = {"algorithm": "argon2id", "salt": b64encode(bytes(16)).decode(), "m": 65536, "t": 3}
    found = {
        "account_id": str(uuid.uuid4()),
        "slot_id": str(uuid.uuid4()),
        "nonce": b64encode(bytes(32)).decode(),
        "kdf": {**slot, "p": 4},
        "expires_at": 0,
    }
    return httpx.Response(200, json=found)


def ended() -> httpx.Response:
    """What ends a session."""
    problem = {"code": "session-ended", "status": 401}
    return httpx.Response(401, json=problem)


@pytest.mark.attack(45)
def test_a_stolen_session_deletes_nothing(world: World) -> None:
    """Its token and its very key, with every signature that its thief can make, are refused."""
    owner = world.owner()
    owner.vault.remember("precious")
    token, key = thief.session_of(owner.vault)
    with httpx.Client() as client:
        name = {"username": owner.username, "kind": "passphrase"}
        asked = client.post(world.url + BASE + ASKED, json=name).json()
        account = owner.vault._state.account
        word = DELETION.serialize(
            Deletion(
                world.url,
                account.account_id,
                uuid.UUID(asked["slot_id"]).bytes,
                b64decode(asked["nonce"]),
                hashlib.sha256(account.card).digest(),
                0,
            )
        )
        for signer in (key, Ed25519PrivateKey.generate()):
            made = b64encode(forge.sign(signer, "account-deletion", word)).decode()
            body = {"deletion": b64encode(word).decode(), "signature": made}
            raw = json.dumps({**body, "login_signature": made}).encode()
            url = f"{world.url}{BASE}{SAID}"
            shown = forge.bound("POST", url, raw, token=token, at=int(time.time()), key=key)
            headers = {**shown, "Content-Type": "application/json"}
            answer = client.post(url, content=raw, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "bad-signature")
    owner.vault.sync()
    assert world.device(owner).status().memories == 1


@pytest.mark.attack(45)
def test_an_unlocked_device_deletes_nothing_after_the_passphrase_was_changed(world: World) -> None:
    """Keys that are still in memory, and the passphrase of before, are not the owner of now."""
    owner = world.owner()
    other = world.device(owner)
    owner.vault.change_passphrase(PASSPHRASE, "another passphrase", owner.secret_key)
    with pytest.raises(CredentialsError):
        other.delete_account(PASSPHRASE, owner.secret_key)
    with patch("coffret.flows.session._check_slot"), pytest.raises(CredentialsError):
        other.delete_account(PASSPHRASE, owner.secret_key)
    owner.vault.sync()


@pytest.mark.attack(44)
def test_what_was_recorded_deletes_no_other_account(world: World) -> None:
    """A deletion that was heard, said again to whoever has the name now, deletes nothing."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    heard = next(item for item in network.requests if item.url.path.endswith(SAID))
    around = world.around()
    vault, kit = Vault.create(world.url, owner.username, PASSPHRASE, world.place(), **around)
    world.closing(vault)
    vault.sync()
    token, key = thief.session_of(vault)
    with httpx.Client() as client:
        headers = thief.proved_again(heard, token, key)
        answer = client.post(str(heard.url), content=heard.content, headers=headers)
    assert answer.json()["code"] == "invalid-input"
    vault.lock()
    vault.unlock(PASSPHRASE, kit.secret_key_code())
    assert not vault.status().deleted
    vault.sync()


def _made(owner: Owner, key: SigningKey, **changed: Any) -> tuple[bytes, bytes]:
    state = owner.vault._state
    fields = {
        "origin": state.place.origin,
        "account_id": state.account_id,
        "slot_id": bytes(16),
        "nonce": bytes(32),
        "card": hashlib.sha256(state.account.card).digest(),
        "created": 1_735_689_600_000_000,
    }
    word = DELETION.serialize(Deletion(**{**fields, **changed}))
    return word, sign_statement(key, "account-deletion", word)


def _claims(owner: Owner) -> dict[str, tuple[bytes | None, bytes | None]]:
    """What a server may show that its owner never said, beside nothing."""
    own = owner.vault._state.keys.identity.signing
    other = SigningKey(SecretBytes(os.urandom(32)))
    word, signature = _made(owner, own)
    return {
        "nothing": (None, None),
        "no signature": (word, None),
        "another's signature": _made(owner, other),
        "a signature of another kind": (word, sign_statement(own, "account", word)),
        "one altered": (word, flipped(signature)),
        "what was said of another account": _made(owner, own, account_id=bytes(16)),
        "what was said to another server": _made(owner, own, origin="https://elsewhere.example"),
        "what was said with other keys": _made(owner, own, card=bytes(32)),
        "no statement": (b"deleted", signature),
    }


def test_a_server_that_says_it_was_deleted_takes_nothing(world: World) -> None:
    """The device says whose word it is, keeps keys and memories, and goes on when that is over."""
    server = Fabricating()
    owner = world.owner(transport=server)
    owner.vault.remember("octopus in Lisbon")
    for word, signature in _claims(owner).values():
        server.invented = {
            ASKED: nobody(),
            "/sync": ended(),
            shown_at(owner): said(owner, word, signature),
        }
        with pytest.raises(
            AccountDeletedError, match=r"its operator did it, .* or it lies"
        ) as caught:
            owner.vault.sync()
        assert not caught.value.signed
        assert not owner.vault.is_locked
        assert not owner.vault.status().deleted
        assert b"octopus" in b"".join(owner.vault.export())
    server.invented = {}
    owner.vault.sync()
    owner.vault.remember("and more")


@pytest.mark.control(45)
def test_a_device_that_believes_the_server_loses_its_vault_to_a_word(world: World) -> None:
    """A weaker one, which looks at no signature, would write to its server never again."""
    server = Fabricating()
    owner = world.owner(transport=server)
    owner.vault.remember("octopus")
    word, signature = _claims(owner)["another's signature"]
    server.invented = {
        ASKED: nobody(),
        "/sync": ended(),
        shown_at(owner): said(owner, word, signature),
    }
    with (
        patch.object(gone, "_verified", lambda _state, raw, _sig: DELETION.parse(raw)),
        pytest.raises(AccountDeletedError) as caught,
    ):
        owner.vault.sync()
    assert caught.value.signed


def test_a_server_that_did_nothing_is_noticed(world: World) -> None:
    """One that takes the word and shows none, or another's, is not believed to have deleted."""
    server = Fabricating()
    owner = world.owner(transport=server)
    server.invented = {SAID: httpx.Response(204)}
    with pytest.raises(TrustError, match="does not show it"):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    server.invented[shown_at(owner)] = said(owner, None, None)
    with pytest.raises(TrustError, match="does not show it"):
        owner.vault.delete_account(PASSPHRASE, owner.secret_key)
    assert not owner.vault.status().deleted
    server.invented = {}
    owner.vault.remember("still here")
    assert owner.vault.delete_account(PASSPHRASE, owner.secret_key).erased


def test_what_somebody_writes_into_the_folder_deletes_nothing(world: World) -> None:
    """A planted word that the account's keys did not sign stops no device."""
    owner = world.owner()
    for word, signature in list(_claims(owner).values())[2:]:
        store = Store(owner.vault.folder / "store.db")
        store.set_meta(gone._NAME, (word or b"") + (signature or b""))
        store.close()
        assert not owner.vault.status().deleted
        owner.vault.sync()


def test_an_operators_deletion_is_told_as_that(tmp_path: Path) -> None:
    """What nobody signed is the server's word, and a device that hears it keeps everything."""
    database = f"sqlite:///{tmp_path / 'server.db'}"
    with Server(database) as server, World(server.url, tmp_path) as world:
        owner = world.owner()
        owner.vault.remember("octopus")
        words = ["delete-account", owner.username, "--yes", "--database", database]
        assert operator.main(words) == 0
        with pytest.raises(AccountDeletedError) as caught:
            owner.vault.sync()
        assert not caught.value.signed
        assert b"octopus" in b"".join(owner.vault.export())
