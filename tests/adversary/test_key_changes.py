"""A thief with everything of before a key change, and a server that helps."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import Vault
from coffret.flows import newkeys
from coffret.flows.grantfeed import grant_wrapping
from coffret.flows.session import get
from coffret_vault.envelope.signature import sign_head
from coffret_vault.errors import (
    BadSignatureError,
    CoffretError,
    CredentialsError,
    KeysChangedError,
    OpenError,
    TrustError,
)
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER, Kek
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.rewrap import KeyName, open_wrap
from coffret_vault.records.seal import Wrapping, open_version
from harness.canary import files, traces
from harness.keeping import keeping_keys
from harness.network import Evil
from harness.world import PASSPHRASE as OLD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret import RecoveryKit
    from harness.world import Owner, World

NEW = "another passphrase"


def change(vault: Vault, passphrase: str = NEW) -> RecoveryKit:
    """Change every key, and give the new kit."""
    kits: list[RecoveryKit] = []
    vault.change_keys(passphrase, kits.append)
    return kits[0]


def rows(vault: Vault, table: str) -> list[dict[str, Any]]:
    """A table of the server's database, as far as it is about this account."""
    flow = get(vault._state, "/accounts/me/server-view", ("limit", "500"))
    found = msgspec.json.decode(vault._driver.run(flow).body)["tables"]
    kept = next(item for item in found if item["table"] == table)
    return [dict(zip(kept["columns"], row, strict=True)) for row in kept["rows"]]


class Thief:
    """Somebody who has every secret of now, and copies of the server's database at any time."""

    def __init__(self, vault: Vault) -> None:
        """Take the account key, every grant's key and every memory's key."""
        state = vault._state
        self.account = state.account_id
        ring = Keyring(
            self.account,
            state.keys.keyring.generation,
            SecretBytes(state.keys.keyring.account_key().reveal()),
        )
        self.wrappings = [Wrapping(Kek(generation=ring.generation), ring.kek("memory"))]
        self.wrappings += [grant_wrapping(state, row) for row in state.store.grants.all()]
        self.keys: list[SecretBytes] = []
        self.copy(vault)

    def copy(self, vault: Vault) -> list[str]:
        """Copy the server's database, and give what of it opens with all that was taken before."""
        wraps = [
            (b64decode(row["memory_id"]), row["key_number"], b64decode(row["wrap"]))
            for row in [*rows(vault, "grant_wraps"), *rows(vault, "rewraps")]
        ]
        records = [
            msgspec.msgpack.decode(b64decode(row["record"]))
            for row in rows(vault, "entries")
            if row["record"] is not None
        ]
        for raw, _, _, wrap in records:
            header = HEADER.parse(raw)
            wraps.append((header.memory_id, header.key_number, wrap))
        for memory_id, number, wrap in wraps:
            self.keys += self._unwrapped(KeyName(memory_id, number), wrap)
        return [text for raw, envelope, _, _ in records for text in self._read(raw, envelope)]

    def _unwrapped(self, name: KeyName, wrap: bytes) -> Iterator[SecretBytes]:
        for wrapping in self.wrappings:
            for named in (wrapping.name, Kek(generation=2)):
                try:
                    yield open_wrap(self.account, name, wrap, Wrapping(named, wrapping.key))
                except OpenError:
                    continue

    def _read(self, raw: bytes, envelope: bytes) -> Iterator[str]:
        for key in self.keys:
            try:
                yield open_version(raw, envelope, key).content
            except OpenError:
                continue
            return


def robbed(world: World) -> tuple[Owner, Thief, str]:
    """An owner with memories and an app, a thief who has it all, and a memory's id."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("before")
    _, access = world.granted(owner, app, standing=True, approve_standing=True)
    access.remember("proposed before")
    owner.vault.sync()
    thief = Thief(owner.vault)
    assert {"before", "proposed before"} <= set(thief.copy(owner.vault))
    return owner, thief, memory.id


@pytest.mark.attack(57)
@pytest.mark.parametrize("now", [False, True], ids=["lazy", "at once"])
def test_nothing_written_after_opens(world: World, now: bool) -> None:  # noqa: FBT001 - a parameter
    """Old secrets and every copy of the database open what was written before, and no more."""
    owner, thief, memory_id = robbed(world)
    change(owner.vault)
    if now:
        assert owner.vault.rotate() == 1
    owner.vault.update(memory_id, content="after, changed")
    owner.vault.remember("after, new")
    owner.vault.accept(owner.vault.pending()[0].memory_id)
    owner.vault.update(owner.vault.remember("after, new again").id, content="after, twice")
    app = world.app("Another")
    _, access = world.granted(owner, app, standing=True, approve_standing=True)
    access.remember("after, by an app")
    owner.vault.remember("after, for the app")
    found = thief.copy(owner.vault)
    assert {"before", "proposed before"} == set(found)
    assert len(rows(owner.vault, "entries")) > 15


@pytest.mark.attack(57)
def test_keys_are_fresh_where_there_never_was_an_app(world: World) -> None:
    """The key change alone makes every memory key stale, with no grant that ended beside it."""
    owner = world.owner()
    memory = owner.vault.remember("before")
    thief = Thief(owner.vault)
    change(owner.vault)
    owner.vault.update(memory.id, content="after, changed")
    assert thief.copy(owner.vault) == ["before"]


@pytest.mark.control(55, 57)
def test_a_client_that_keeps_memory_keys_would_be_read(world: World) -> None:
    """Control: wrapped anew, but written to under the keys of before, memories open as before."""
    owner, thief, memory_id = robbed(world)
    change(owner.vault)
    with keeping_keys():
        owner.vault.update(memory_id, content="after, changed")
    assert "after, changed" in thief.copy(owner.vault)


@pytest.mark.attack(57)
def test_old_secrets_enter_no_more(world: World) -> None:
    """Passphrase and Secret Key, recovery code, and a session of before: refused, all of them."""
    owner, _, _ = robbed(world)
    stolen = world.device(owner)
    change(owner.vault)
    with pytest.raises(KeysChangedError):
        stolen.sync()
    with pytest.raises(CredentialsError):
        world.device(owner)
    code, place = owner.kit.recovery_code_text(), world.place()
    with pytest.raises(CredentialsError):
        Vault.recover(world.url, owner.username, code, "mine now", place, **world.around())


@pytest.mark.attack(57)
def test_a_passphrase_of_before_opens_nothing_at_the_server(world: World) -> None:
    """After a new passphrase the old one, with the same Secret Key, is refused."""
    owner = world.owner()
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    with pytest.raises(CredentialsError):
        world.device(owner)
    assert [row["kind"] for row in rows(owner.vault, "keyslots")].count("passphrase") == 1


@pytest.mark.attack(57)
def test_the_old_identity_speaks_for_nobody(world: World) -> None:
    """A thief's own key change, which a server passes off for the owner's, enters no device.

    The thief signs a succession with the owner's old key, and the server shows that vault to the
    owner's other device: it stops, and the owner's secrets do not open what the thief made.
    """
    owner, _, _ = robbed(world)
    other = world.device(owner)
    other.lock()
    change(owner.vault, "the thief's passphrase")  # with all that the owner has, by the thief
    other.unlock(OLD, owner.secret_key)
    before = list(other._state.store._database.iterdump())
    with pytest.raises(KeysChangedError):
        other.sync()
    for passphrase in (OLD, NEW):
        with pytest.raises(CredentialsError):
            other.log_in_again(passphrase, owner.secret_key)
    assert list(other._state.store._database.iterdump()) == before
    assert "before" in {memory.content for memory in other.list()}


@pytest.mark.attack(55, 57)
def test_a_hidden_key_change_stops_the_next_write(world: World) -> None:
    """A server that keeps a session and hides the key change: nothing is written under old keys."""
    owner = world.owner()
    memory = owner.vault.remember("before")
    evil = Evil()
    other = world.device(owner, transport=evil)
    size, head = other._state.position().size, other.status().head
    with patch("coffret_server.control.keys._end_the_rest"):
        change(owner.vault)
    evil.rewrite["/sync"] = lambda _: [size, head, []]
    with pytest.raises((TrustError, KeysChangedError)):
        other.update(memory.id, content="under an old key")
    evil.rewrite.clear()
    with pytest.raises(KeysChangedError):
        other.update(memory.id, content="under an old key")
    owner.vault.sync()
    assert owner.vault.get(memory.id).content == "before"


@pytest.mark.attack(55, 57)
def test_the_old_key_signs_no_head(world: World) -> None:
    """A log that goes on under the old key is refused by the device that changed it."""
    evil = Evil()
    owner = world.owner(transport=evil)
    old = owner.vault._state.keys.identity.signing
    change(owner.vault)
    state = owner.vault._state
    position = state.position()
    assert position.head is not None

    forged = sign_head(old, msgspec.structs.replace(position.head.head, time=1))

    def forge(answer: list[Any]) -> None:
        answer[1] = forged

    evil.rewrite["/sync"] = forge
    with pytest.raises(BadSignatureError):
        owner.vault.sync()


SWAPS = {
    "two wraps": lambda keys: keys.__setitem__(slice(0, 2), [_wrap_of(keys, 0, 1), keys[1]]),
    "a wrap of the server's own": lambda keys: keys[0].__setitem__(3, b"\x01" + os.urandom(112)),
    "no keys": lambda keys: keys.clear(),
}


def _wrap_of(keys: list[Any], at: int, other: int) -> list[Any]:
    return [*keys[at][:3], keys[other][3]]


@pytest.mark.attack(2)
@pytest.mark.parametrize("name", SWAPS)
def test_a_server_names_no_target(world: World, name: str) -> None:
    """Whatever a server shows as memory keys, what is wrapped is what this device has."""
    evil = Evil()
    owner = world.owner(transport=evil)
    memory = owner.vault.remember("first")
    owner.vault.remember("second")

    def swap(answer: list[Any]) -> None:
        SWAPS[name](answer[1])

    evil.rewrite["/accounts/me/memory-keys"] = swap
    evil.rewrite["/accounts/me"] = lambda answer: answer.update(recovery_pk="x", devices=["y"])
    change(owner.vault)
    evil.rewrite.clear()
    assert owner.vault.get(memory.id).content == "first"
    owner.vault.update(memory.id, content="changed")
    kit = change(owner.vault, "third")
    code, place = kit.secret_key_code(), world.place()
    fresh = Vault.login(world.url, owner.username, "third", code, place, **world.around())
    world.closing(fresh)
    assert {found.content for found in fresh.list()} == {"changed", "second"}


@pytest.mark.attack(2)
def test_an_older_key_that_does_not_open_stops_the_change(world: World) -> None:
    """Of a key that only older versions need, a false wrap is noticed, and nothing changes."""
    evil = Evil()
    owner = world.owner(transport=evil)
    memory, other = owner.vault.remember("first"), owner.vault.remember("second")
    grant_id, _ = world.granted(owner, world.app())
    owner.vault.revoke(grant_id)
    owner.vault.update(memory.id, content="changed")
    owner.vault.update(other.id, content="changed")

    def swap(answer: list[Any]) -> None:
        answer[1][:2] = [_wrap_of(answer[1], 0, 1), _wrap_of(answer[1], 1, 0)]

    evil.rewrite["/accounts/me/memory-keys"] = swap
    before = owner.vault.status().head
    with pytest.raises(TrustError):
        change(owner.vault)
    assert owner.vault.status().head == before
    assert not [path for path in evil.paths if path.endswith(("/rewraps", "/me/keys"))]


def opened_by(key: SecretBytes, evil: Evil, account: bytes) -> int:
    """How many of the wraps that went out open with an account key."""
    ring = Keyring(account, 2, key)
    wrapping = Wrapping(Kek(generation=2), ring.kek("memory"))
    found = 0
    for request in evil.requests:
        if not request.url.path.endswith("/rewraps"):
            continue
        for memory_id, number, wrap in msgspec.msgpack.decode(request.content)["wraps"]:
            try:
                open_wrap(account, KeyName(memory_id, number), wrap, wrapping)
            except OpenError:
                continue
            found += 1
    return found


@pytest.mark.attack(2)
@pytest.mark.control(2)
@pytest.mark.parametrize("weak", [False, True], ids=["ours", "control"])
def test_no_key_of_the_servers_opens_a_wrap(world: World, weak: bool) -> None:  # noqa: FBT001 - a parameter
    """A server that names the new account key reads nothing; to a client that took it, all."""
    evil = Evil()
    owner = world.owner(transport=evil)
    owner.vault.remember("first")
    named = SecretBytes(os.urandom(32))

    def name(answer: Any) -> None:
        answer["account_key"] = answer["target"] = named.reveal().hex()

    for path in ("/accounts/me", "/auth/challenge", "/auth/login"):
        evil.rewrite[path] = name
    make = (lambda _random: named) if weak else generate_key
    with patch.object(newkeys, "generate_key", make):
        change(owner.vault)
    assert opened_by(named, evil, parse_id(owner.vault.status().account_id)) == int(weak)


@pytest.mark.attack(57)
def test_new_secrets_go_to_the_owner_and_nowhere_else(world: World) -> None:
    """Nothing of the new generation is on the network or in the device's files, in any form."""
    evil = Evil()
    owner = world.owner(transport=evil)
    owner.vault.remember("before")
    kit = change(owner.vault)
    owner.vault.rotate()
    keys = owner.vault._state.keys
    secrets = {
        "the passphrase": NEW.encode(),
        "the Secret Key": kit.secret_key.reveal(),
        "the recovery code": kit.recovery_code.reveal(),
        "the account key": keys.keyring.account_key().reveal(),
        "the signing seed": keys.identity.signing.seed().reveal(),
        "the KEK": keys.keyring.kek("memory").reveal(),
    }
    assert traces(secrets, {"sent": evil.sent(), **files(owner.vault.folder)}) == []
    found = traces({"a card": owner.vault._state.account.card}, {"sent": evil.sent()})
    assert found == ["a card in sent"]


@pytest.mark.attack(2)
def test_cards_that_the_log_does_not_name_are_refused(world: World) -> None:
    """A new device is shown another history of the owner's keys: it is compared with the log."""
    owner = world.owner()
    other = world.owner()
    kit = change(owner.vault)
    change(other.vault)
    theirs = rows(other.vault, "successions")[0]
    lies = [
        lambda answer: answer.clear(),
        lambda answer: answer.append(dict(answer[0])),
        lambda answer: answer[0].update(card=theirs["card"]),
        lambda answer: answer[0].update(succession=theirs["succession"]),
        lambda answer: answer[0].update(signature=theirs["signature"]),
    ]
    for lie in lies:
        evil = Evil()
        evil.rewrite["/accounts/me/successions"] = lie
        code, place = kit.secret_key_code(), world.place()
        with pytest.raises(CoffretError) as refused:
            Vault.login(world.url, owner.username, NEW, code, place, **world.around(transport=evil))
        assert isinstance(refused.value, TrustError)
