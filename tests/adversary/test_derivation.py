"""Passphrase parameters that a server chooses, and account keys that it would like to be used."""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.http import b64
from coffret.flows.signup import enter_with_passphrase
from coffret.flows.state import Ambient
from coffret.transport import SyncDriver
from coffret_vault.errors import CredentialsError, FormatError, TrustError, WeakKdfError
from coffret_vault.formats.account import KEYSLOT, Kdf
from coffret_vault.keyslots import kdf
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS, KdfLimits
from coffret_vault.keyslots.slots import (
    Place,
    SlotPlan,
    derive,
    derive_passphrase_keys,
    make_keyslot,
)
from coffret_vault.primitives.identity import seal_to
from coffret_vault.primitives.secret import SecretBytes
from harness.network import Evil, updating
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.world import Owner, World

MEMORY = (
    -1,
    0,
    1,
    64,
    1_024,
    65_535,
    65_536,
    1 << 20,
    (1 << 20) + 1,
    1 << 26,
    (1 << 63) - 1,
    1 << 64,
)
PASSES = (-1, 0, 1, 2, 3, 10, 11, 1 << 32)
LANES = (-1, 0, 1, 4, 5, 255, 1 << 24)
ALGORITHMS = (
    "", "argon2", "argon2d", "argon2i", "Argon2id", "argon2id ", "argon2id\0", "pbkdf2", "scrypt",
    "bcrypt", "sha256", "none", "null",
)  # fmt: skip


class Door:
    """Logins of new devices at a server that chooses how the passphrase is stretched."""

    def __init__(self, world: World) -> None:
        """Make an owner to log in as."""
        self.owner = world.owner()
        self.evil = Evil()
        self._driver = world.closing(SyncDriver(world.url, transport=self.evil))
        self._origin = world.url

    def refuses(self, changed: dict[str, Any], ambient: Ambient) -> list[str]:
        """The paths that were asked for in a login that fails."""
        strong = {"m": 65_536, "t": 3, "p": 4}
        self.evil.rewrite["/auth/challenge"] = lambda answer: answer["kdf"].update(strong | changed)
        self.evil.requests.clear()
        secret_key = self.owner.kit.secret_key
        login = enter_with_passphrase(
            self._origin, self.owner.username, PASSPHRASE, secret_key, ambient
        )
        with pytest.raises((WeakKdfError, FormatError, CredentialsError)):
            self._driver.run(login)
        return self.evil.paths


@pytest.mark.attack(8, 9)
def test_every_parameter_out_of_bounds_is_refused_unused(world: World) -> None:
    """Every mix of memory, passes and lanes beyond the limits: nothing derived, no proof sent."""
    door, tried = Door(world), 0
    with patch.object(kdf, "argon2id") as derived:
        for memory, passes, lanes in product(MEMORY, PASSES, LANES):
            if 65_536 <= memory <= 1 << 20 and 3 <= passes <= 10 and 1 <= lanes <= 4:
                continue
            chosen = {"m": memory, "t": passes, "p": lanes}
            assert door.refuses(chosen, Ambient()) == ["/auth/challenge"]
            tried += 1
    assert not derived.called
    assert tried == len(MEMORY) * len(PASSES) * len(LANES) - 8


@pytest.mark.attack(8, 12)
def test_every_other_algorithm_and_salt_is_refused_unused(world: World) -> None:
    """There is one algorithm and one length of salt."""
    door = Door(world)
    salts = [b64(bytes(size)) for size in range(65) if size != 16] + ["", "=", "AAAA\n"]
    changes = [{"algorithm": name} for name in ALGORITHMS] + [{"salt": salt} for salt in salts]
    with patch.object(kdf, "argon2id") as derived:
        for changed in changes:
            assert door.refuses(changed, Ambient()) == ["/auth/challenge"]
    assert not derived.called


@pytest.mark.control(9)
def test_a_client_without_a_ceiling_would_take_all_memory(world: World) -> None:
    """Control: with limits that are none, 64 GiB are asked of the derivation."""
    endless = KdfLimits(64, 1 << 40, 1, 1 << 40, 1 << 40, memory=64, passes=1, lanes=1)
    with patch.object(kdf, "argon2id", return_value=bytes(32)) as derived:
        paths = Door(world).refuses({"m": 64 << 20}, Ambient(limits=endless))
    assert paths == ["/auth/challenge", "/auth/login"]
    assert derived.call_args.args[2:] == (64 << 20, 3, 4)


# -- one salt for everybody ---------------------------------------------------------------------

SALT = Kdf(bytes(16), 64, 1, 1)
SECRET_KEY = SecretBytes(b"k" * 20)


@pytest.mark.attack(10)
def test_one_salt_gives_every_account_and_server_other_keys() -> None:
    """Even with one passphrase and one Secret Key: account and origin are in every key."""
    places = [
        Place(o, a * 16) for o in ("https://a.example", "https://b.example") for a in (b"1", b"2")
    ]
    found = [
        derive_passphrase_keys(PASSPHRASE, SECRET_KEY, place, SALT, limits=CHEAPEST_FOR_TESTS)
        for place in places
    ]
    assert len({keys.login.public for keys in found}) == len(places)
    assert len({keys.unlock.reveal() for keys in found}) == len(places)


@pytest.mark.control(10)
def test_one_salt_gives_everybody_one_key_where_nothing_else_goes_in() -> None:
    """Control: derived from passphrase and salt alone, equal passphrases are equal keys."""
    stretched = [kdf.stretch(PASSPHRASE, SALT, CHEAPEST_FOR_TESTS) for _ in ("ana", "ben")]
    first, second = (derive(root, "login-seed").reveal() for root in stretched)
    assert first == second


# -- account keys of the server's ---------------------------------------------------------------


def _servers_slots(owner: Owner, key: SecretBytes) -> list[list[bytes]]:
    """Keyslots with which a server would have its own account key taken for the owner's."""
    state = owner.vault._state
    slot = next(s for s in map(KEYSLOT.parse, state.account.keyslots) if s.kdf is not None)
    place = Place(state.place.origin, state.account_id)
    plan = SlotPlan(slot.slot_id, slot.generation, slot.created)
    keys = derive_passphrase_keys("guess", SECRET_KEY, place, SALT, limits=CHEAPEST_FOR_TESTS)
    own = make_keyslot(keys, place, plan, key, random=os.urandom)
    public = msgspec.structs.replace(own, login_public=slot.login_public, kdf=slot.kdf)
    sealed = seal_to(state.card.sealing_public, key, b"")
    short = msgspec.structs.replace(public, wrap=sealed[:113])
    return [[KEYSLOT.serialize(item)] for item in (own, public, short)] + [[sealed]]


@pytest.mark.attack(21)
def test_no_account_key_of_the_server_s_is_taken(world: World) -> None:
    """Wrapped under another key, or sealed to the owner's public one: it opens nothing."""
    owner, key = world.owner(), SecretBytes(os.urandom(32))
    for slots in _servers_slots(owner, key):
        evil = Evil()
        evil.rewrite["/accounts/me"] = updating({"keyslots": list(map(b64, slots))})
        with pytest.raises((CredentialsError, FormatError, TrustError)):
            world.device(owner, transport=evil)
        assert "/sync" not in evil.paths


@pytest.mark.control(21)
def test_a_key_that_is_sealed_to_the_owner_is_taken_by_whoever_takes_such(world: World) -> None:
    """Control: anyone can seal to a public key, so a client that takes what opens is deceived."""
    owner, key = world.owner(), SecretBytes(os.urandom(32))
    *_, (sealed,) = _servers_slots(owner, key)
    assert owner.vault._state.keys.identity.sealing.open(sealed, b"") == key
