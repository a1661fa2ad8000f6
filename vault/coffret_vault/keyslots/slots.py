"""Make and open keyslots. docs/spec/3-keys.md.

Both roots of a passphrase slot are needed at once: the stretched passphrase and the Secret Key go
into one HKDF, so a stolen server database gives nothing against which to test a passphrase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import unwrap_key, wrap_key
from coffret_vault.errors import CredentialsError, OpenError, TrustError
from coffret_vault.formats.account import (
    PASSPHRASE,
    RECOVERY,
    Kdf,
    Keyslot,
    account_key_wrap_header,
    write_kdf,
)
from coffret_vault.formats.layout import write_text
from coffret_vault.formats.pae import pae
from coffret_vault.keyslots.kdf import PUBLISHED, stretch
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import hkdf

if TYPE_CHECKING:
    from coffret_vault.keyslots.kdf import KdfLimits
    from coffret_vault.primitives.symmetric import Random

SECRET_KEY_BYTES = 20
RECOVERY_CODE_BYTES = 32
_NO_WRAP = bytes(113)


class Place(msgspec.Struct, frozen=True):
    """Where an account lives; part of every key derived from a person's secrets."""

    origin: str
    account_id: bytes


class SlotKeys(msgspec.Struct, frozen=True):
    """What one way of unlocking gives: a key that logs in and a key that unwraps."""

    kind: str
    kdf: Kdf | None
    login: SigningKey
    unlock: SecretBytes


def derive(key: bytes, purpose: str, *fields: bytes) -> SecretBytes:
    """``derive`` of the specification: 32 bytes of HKDF-SHA256 under a PAE."""
    return SecretBytes(hkdf(key, b"", pae(purpose, *fields), 32))


def derive_passphrase_keys(
    passphrase: str,
    secret_key: SecretBytes,
    place: Place,
    kdf: Kdf,
    *,
    limits: KdfLimits = PUBLISHED,
) -> SlotKeys:
    """The keys of a passphrase slot.

    Raises:
        WeakKdfError: the parameters are outside the limits; nothing was derived.
    """
    root = stretch(passphrase, kdf, limits) + secret_key.reveal()
    fields = (write_text(place.origin), place.account_id, write_kdf(kdf))
    login = SigningKey(derive(root, "login-seed", *fields))
    return SlotKeys(PASSPHRASE, kdf, login, derive(root, "unlock-key", *fields))


def derive_recovery_keys(recovery_code: SecretBytes, place: Place) -> SlotKeys:
    """The keys of a recovery slot."""
    root = recovery_code.reveal()
    fields = (write_text(place.origin), place.account_id)
    login = SigningKey(derive(root, "recovery-login-seed", *fields))
    return SlotKeys(RECOVERY, None, login, derive(root, "recovery-key", *fields))


def secret_key_mark(secret_key: SecretBytes, place: Place) -> bytes:
    """By which a device knows a Secret Key again, and nobody who has not got it learns anything."""
    fields = (write_text(place.origin), place.account_id)
    return derive(secret_key.reveal(), "secret-key-mark", *fields).reveal()


class SlotPlan(msgspec.Struct, frozen=True):
    """What a new keyslot is called: id, account key generation, time (microseconds)."""

    slot_id: bytes
    generation: int
    created: int


def make_keyslot(
    keys: SlotKeys, place: Place, plan: SlotPlan, account_key: SecretBytes, *, random: Random
) -> Keyslot:
    """Wrap the account key so that these slot keys unwrap it."""
    bare = Keyslot(
        account_id=place.account_id,
        slot_id=plan.slot_id,
        kind=keys.kind,
        generation=plan.generation,
        kdf=keys.kdf,
        login_public=keys.login.public,
        created=plan.created,
        wrap=_NO_WRAP,
    )
    header = account_key_wrap_header(bare, place.origin)
    wrap = wrap_key("account-key", keys.unlock, header, account_key, random=random)
    return msgspec.structs.replace(bare, wrap=wrap)


def open_keyslot(keys: SlotKeys, place: Place, slot: Keyslot) -> SecretBytes:
    """Unwrap the account key.

    Raises:
        TrustError: the slot is of another account.
        CredentialsError: these keys do not belong to the slot, or it was altered.
    """
    if slot.account_id != place.account_id:
        message = "a keyslot is of another account"
        raise TrustError(message)
    if slot.login_public != keys.login.public:
        raise CredentialsError
    try:
        header = account_key_wrap_header(slot, place.origin)
        return unwrap_key("account-key", keys.unlock, header, slot.wrap)
    except OpenError:
        raise CredentialsError from None
