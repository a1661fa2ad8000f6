"""Keyslots made and opened."""

import os
from typing import Any

import msgspec
import pytest

from coffret_vault.errors import CredentialsError, TrustError, WeakKdfError
from coffret_vault.formats.account import KEYSLOT, Kdf, Keyslot
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS
from coffret_vault.keyslots.slots import (
    Place,
    SlotKeys,
    SlotPlan,
    derive_passphrase_keys,
    derive_recovery_keys,
    make_keyslot,
    open_keyslot,
)
from coffret_vault.primitives.secret import SecretBytes

PLACE = Place("https://vault.example", b"a" * 16)
PLAN = SlotPlan(b"s" * 16, 1, 5)
KDF = CHEAPEST_FOR_TESTS.choose(b"salt" * 4)
ACCOUNT_KEY = SecretBytes(b"k" * 32)


def _by_passphrase(
    passphrase: str = "a passphrase",  # noqa: S107 - made up for the test
    secret_key: bytes = b"s" * 20,
    place: Place = PLACE,
    kdf: Kdf = KDF,
) -> SlotKeys:
    return derive_passphrase_keys(
        passphrase, SecretBytes(secret_key), place, kdf, limits=CHEAPEST_FOR_TESTS
    )


def _by_code(code: bytes = b"c" * 32, place: Place = PLACE) -> SlotKeys:
    return derive_recovery_keys(SecretBytes(code), place)


def _slot(keys: SlotKeys) -> Keyslot:
    return make_keyslot(keys, PLACE, PLAN, ACCOUNT_KEY, random=os.urandom)


@pytest.mark.parametrize("make", [_by_passphrase, _by_code])
def test_a_slot_opens_for_what_it_was_made_with(make: Any) -> None:
    """The slot survives the wire and gives the account key."""
    slot = KEYSLOT.parse(KEYSLOT.serialize(_slot(make())))
    assert open_keyslot(make(), PLACE, slot) == ACCOUNT_KEY


@pytest.mark.attack(21)
@pytest.mark.parametrize(
    "keys",
    [
        _by_passphrase("another"),
        _by_passphrase(secret_key=b"t" * 20),
        _by_passphrase(place=Place("https://other.example", PLACE.account_id)),
        _by_passphrase(place=Place(PLACE.origin, b"b" * 16)),
        _by_passphrase(kdf=CHEAPEST_FOR_TESTS.choose(b"tlas" * 4)),
        _by_code(),
    ],
)
def test_a_slot_opens_for_nothing_else(keys: SlotKeys) -> None:
    """Passphrase, Secret Key, origin, account and salt all have to be right, and look alike."""
    with pytest.raises(CredentialsError) as caught:
        open_keyslot(keys, PLACE, _slot(_by_passphrase()))
    assert str(caught.value) == CredentialsError.sentence()


@pytest.mark.attack(21)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slot_id", bytes(16)),
        ("generation", 2),
        ("kdf", CHEAPEST_FOR_TESTS.choose(bytes(16))),
        ("login_public", bytes(32)),
        ("wrap", bytes(113)),
    ],
)
def test_an_altered_slot_does_not_open(name: str, value: Any) -> None:
    """Whatever a server changes in a slot, its wrap does not open under it."""
    slot = msgspec.structs.replace(_slot(_by_passphrase()), **{name: value})
    with pytest.raises(CredentialsError):
        open_keyslot(_by_passphrase(), PLACE, slot)


def test_a_slot_with_another_login_key_is_not_used_though_it_would_open() -> None:
    """The login key is derived again and compared, before the wrap is touched."""
    mine, other = _by_passphrase(), _by_passphrase("another")
    mixed = msgspec.structs.replace(mine, login=other.login)
    with pytest.raises(CredentialsError):
        open_keyslot(mine, PLACE, _slot(mixed))


def test_a_slot_of_another_account_is_not_even_tried() -> None:
    """A server that serves someone else's slot is caught as such."""
    slot = msgspec.structs.replace(_slot(_by_passphrase()), account_id=bytes(16))
    with pytest.raises(TrustError):
        open_keyslot(_by_passphrase(), PLACE, slot)


def test_a_wrap_is_bound_to_the_origin() -> None:
    """A slot shown by another server does not open, though the keys were the same."""
    keys = _by_passphrase()
    with pytest.raises(CredentialsError):
        open_keyslot(keys, Place("https://other.example", PLACE.account_id), _slot(keys))


def test_weak_parameters_are_refused_by_default() -> None:
    """Without a say of the caller the published limits hold."""
    with pytest.raises(WeakKdfError):
        derive_passphrase_keys("a passphrase", SecretBytes(b"s" * 20), PLACE, KDF)


def test_login_and_unlock_keys_are_apart() -> None:
    """What signs a login is not what unwraps, and neither depends on the slot's id."""
    keys = [_by_passphrase(), _by_code()]
    publics = {key.login.public for key in keys}
    assert len(publics | {key.unlock.reveal() for key in keys}) == 4


@pytest.mark.attack(10)
def test_accounts_with_one_salt_have_different_keys() -> None:
    """A server that gives two accounts one salt gains nothing: the account is in the derivation."""
    one, other = _by_passphrase(), _by_passphrase(place=Place(PLACE.origin, b"b" * 16))
    assert one.login.public != other.login.public
    assert one.unlock != other.unlock


def test_one_account_key_in_two_slots_looks_different() -> None:
    """Nothing in two slots tells that they wrap the same key."""
    slots = [_slot(_by_passphrase()) for _ in range(2)]
    assert slots[0].wrap != slots[1].wrap
