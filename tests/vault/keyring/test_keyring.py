"""The keyring: KEKs apart from each other, generations, wiping, identity."""

import os
from itertools import product
from typing import Any

import msgspec
import pytest

from coffret_vault.errors import CredentialsError, LockedError, OpenError, TrustError
from coffret_vault.formats.account import AccountCard
from coffret_vault.keyring import Identity, Keyring, generate_identity, open_identity
from coffret_vault.keyring.keyring import identity_from_seeds, seal_identity
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import hkdf

ACCOUNT_ID = b"a" * 16
PURPOSES = ("memory", "grant", "identity", "local", "given", "messages", "states")


def _keyring(
    account_id: bytes = ACCOUNT_ID, generation: int = 1, key: bytes = b"k" * 32
) -> Keyring:
    return Keyring(account_id, generation, SecretBytes(key))


def _card(identity: Identity) -> AccountCard:
    signing, sealing = identity.signing.public, identity.sealing.public
    return AccountCard(ACCOUNT_ID, "ada", signing, sealing, 5)


def test_every_kek_is_another() -> None:
    """Purpose, generation, account and account key each make another KEK."""
    keyrings = [
        _keyring(account, generation, key)
        for account, generation, key in product(
            (ACCOUNT_ID, b"b" * 16), (1, 2), (b"k" * 32, b"l" * 32)
        )
    ]
    keks = {keyring.kek(purpose).reveal() for keyring in keyrings for purpose in PURPOSES}
    assert len(keks) == 8 * len(PURPOSES)
    assert all(len(kek) == 32 for kek in keks)


def test_an_older_generation_can_be_held_beside() -> None:
    """After a rotation both generations' KEKs are there, and the newest is the default."""
    keyring = _keyring(generation=2, key=b"l" * 32)
    with pytest.raises(OpenError):
        keyring.kek("memory", 1)
    keyring.add(1, SecretBytes(b"k" * 32))
    assert keyring.kek("memory", 1) == _keyring().kek("memory")
    assert keyring.kek("memory") == keyring.kek("memory", 2)
    assert keyring.account_key().reveal() == b"l" * 32


def test_a_wiped_keyring_is_locked() -> None:
    """After wiping, KEKs that were used before are gone as well."""
    keyring = _keyring()
    keyring.kek("memory")
    keyring.wipe()
    with pytest.raises(LockedError):
        keyring.kek("memory")
    with pytest.raises(LockedError):
        keyring.account_key()


def test_a_keyring_wiped_while_a_key_is_derived_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever derives one in another thread is told that it is locked, and none stays behind."""
    keyring = _keyring()

    def wiped(*given: Any) -> bytes:
        keyring.wipe()
        return hkdf(*given)

    monkeypatch.setattr("coffret_vault.keyring.keyring.hkdf", wiped)
    for _ in range(2):
        with pytest.raises(LockedError):
            keyring.kek("memory")


def test_a_keyring_shows_no_key() -> None:
    """What is printed is the generation."""
    assert repr(_keyring(generation=3)) == "<Keyring generation 3>"


def test_an_identity_is_kept_and_opened() -> None:
    """A new identity's envelope opens to the same keys."""
    identity, envelope = generate_identity(_keyring(), random=os.urandom)
    opened = open_identity(_keyring(), _card(identity), envelope)
    assert opened.keys_hash == identity.keys_hash
    assert opened.signing.public == identity.signing.public


@pytest.mark.parametrize(
    "keyring", [_keyring(key=b"l" * 32), _keyring(generation=2), _keyring(account_id=b"b" * 16)]
)
def test_an_identity_opens_under_its_account_key_alone(keyring: Keyring) -> None:
    """Another account key, generation or account does not open the seeds."""
    identity, envelope = generate_identity(_keyring(), random=os.urandom)
    with pytest.raises(CredentialsError):
        open_identity(keyring, _card(identity), envelope)


@pytest.mark.attack(15)
@pytest.mark.parametrize("half", ["signing_public", "sealing_public"])
def test_a_card_with_another_key_opens_nothing(half: str) -> None:
    """A server that swaps either public key gets no signature and no decapsulation out of it."""
    identity, envelope = generate_identity(_keyring(), random=os.urandom)
    other, _ = generate_identity(_keyring(), random=os.urandom)
    swapped = msgspec.structs.replace(_card(identity), **{half: getattr(_card(other), half)})
    with pytest.raises(CredentialsError):
        open_identity(_keyring(), swapped, envelope)


@pytest.mark.attack(15)
@pytest.mark.parametrize("seeds", [b"2" * 64, b"1" * 32 + b"2" * 32, b"2" * 32 + b"1" * 32])
def test_seeds_that_are_not_the_cards_are_refused(seeds: bytes) -> None:
    """Seeds sealed under the right header but of other keys are caught before any use."""
    identity = identity_from_seeds(b"1" * 64)
    envelope = seal_identity(_keyring(), identity, seeds, random=os.urandom)
    with pytest.raises(TrustError):
        open_identity(_keyring(), _card(identity), envelope)


@pytest.mark.parametrize("size", [0, 31, 63, 65, 96])
def test_seeds_of_another_length_are_refused(size: int) -> None:
    """An identity has exactly two seeds of 32 bytes; others, though sealed, are not used."""
    identity = identity_from_seeds(b"1" * 64)
    envelope = seal_identity(_keyring(), identity, b"1" * size, random=os.urandom)
    with pytest.raises(TrustError):
        open_identity(_keyring(), _card(identity), envelope)
