"""Make every key of a vault anew, for when someone may know the old ones. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.signup import SALT, make_card, make_slot
from coffret.flows.state import AccountFile, Login, Unlocked
from coffret.kit import RecoveryKit
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.formats.account import KEYSLOT, Keyslot
from coffret_vault.formats.succession import SUCCESSION, Succession
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring import Identity, Keyring, generate_identity
from coffret_vault.keyslots.kdf import check_passphrase
from coffret_vault.keyslots.slots import (
    RECOVERY_CODE_BYTES,
    SECRET_KEY_BYTES,
    derive_passphrase_keys,
    derive_recovery_keys,
)
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret_vault.keyslots.slots import SlotKeys


class NewKeys(Unshown, msgspec.Struct, frozen=True):
    """A generation of keys that no server knows yet.

    Attributes:
        change_id: under which wraps are staged.
        account: as it will be; public or sealed.
        keys: what it opens to.
        kit: what the owner prints.
        slots: the keyslots, the passphrase's first.
        succession: what the keys before sign.
        signature: theirs.
    """

    change_id: bytes
    account: AccountFile
    keys: Unlocked
    kit: RecoveryKit
    slots: tuple[Keyslot, ...]
    succession: bytes
    signature: bytes


def make_keys(state: VaultState, passphrase: str) -> NewKeys:
    """A new account key, Secret Key, recovery code and identity; nothing is sent or kept."""
    check_passphrase(passphrase)
    ambient, before = state.ambient, state.account
    secret_key = SecretBytes(ambient.random(SECRET_KEY_BYTES))
    recovery_code = SecretBytes(ambient.random(RECOVERY_CODE_BYTES))
    keyring = Keyring(state.account_id, before.generation + 1, generate_key(ambient.random))
    identity, sealed = generate_identity(keyring, random=ambient.random)
    kdf = ambient.limits.choose(ambient.random(SALT))
    by_passphrase = derive_passphrase_keys(
        passphrase, secret_key, state.place, kdf, limits=ambient.limits
    )
    by_code = derive_recovery_keys(recovery_code, state.place)
    slots = tuple(_slot(state, keyring, keys) for keys in (by_passphrase, by_code))
    account = _account(state, keyring, identity, sealed, slots)
    succession = _succession(state, account)
    return NewKeys(
        ambient.new_id(),
        account,
        Unlocked(keyring, identity, Login(slots[0].slot_id, slots[0].kind, by_passphrase.login)),
        _kit(state, secret_key, recovery_code, identity),
        slots,
        succession,
        sign_statement(state.keys.identity.signing, "succession", succession),
    )


def _slot(state: VaultState, keyring: Keyring, keys: SlotKeys) -> Keyslot:
    return make_slot(keys, state.place, keyring, state.ambient)


def _account(
    state: VaultState,
    keyring: Keyring,
    identity: Identity,
    sealed: bytes,
    slots: tuple[Keyslot, ...],
) -> AccountFile:
    now = state.ambient.now()
    card, signature = make_card(identity, state.account_id, state.account.username, now)
    return msgspec.structs.replace(
        state.account,
        card=card,
        card_signature=signature,
        keyslots=tuple(map(KEYSLOT.serialize, slots)),
        generation=keyring.generation,
        identity=sealed,
    )


def _succession(state: VaultState, after: AccountFile) -> bytes:
    return SUCCESSION.serialize(
        Succession(
            account_id=state.account_id,
            generation=after.generation,
            before=_hash(state.account.card),
            after=_hash(after.card),
            identity=_hash(after.identity),
            created=state.ambient.now(),
        )
    )


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _kit(
    state: VaultState, secret_key: SecretBytes, recovery_code: SecretBytes, identity: Identity
) -> RecoveryKit:
    """The new kit, with the head of now: it is printed before the server hears of the change."""
    head = state.position().head
    return RecoveryKit(
        origin=state.account.origin,
        username=state.account.username,
        account_id=state.account_id,
        secret_key=secret_key,
        recovery_code=recovery_code,
        fingerprint=fingerprint(identity.keys_hash),
        head=head.note if head else "",
    )
