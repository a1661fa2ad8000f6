"""Keys derived from the account key, and the identity that it protects. docs/spec/3-keys.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import open_envelope, seal
from coffret_vault.errors import CredentialsError, LockedError, OpenError, TrustError
from coffret_vault.formats.account import identity_seeds_header, keys_hash
from coffret_vault.formats.pae import pae, u64
from coffret_vault.primitives.identity import SealingKey, SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import hkdf

if TYPE_CHECKING:
    from coffret_vault.formats.account import AccountCard
    from coffret_vault.primitives.symmetric import Random

_SEED = 32


class Identity(msgspec.Struct, frozen=True):
    """An owner's or an app's pair of private keys."""

    signing: SigningKey
    sealing: SealingKey

    @property
    def keys_hash(self) -> bytes:
        """The hash that stands for both public keys."""
        return keys_hash(self.signing.public, self.sealing.public)


class Keyring:
    """The account keys by generation, and the KEKs that follow from them.

    A KEK is used for one purpose only. :meth:`wipe` forgets everything; after it, every use is
    :class:`LockedError`.
    """

    def __init__(self, account_id: bytes, generation: int, account_key: SecretBytes) -> None:
        """Hold the account key of the newest generation."""
        self.account_id = account_id
        self.generation = generation
        self._account_keys = {generation: account_key}
        self._keks: dict[tuple[str, int], SecretBytes] = {}

    def __repr__(self) -> str:
        return f"<Keyring generation {self.generation}>"

    def add(self, generation: int, account_key: SecretBytes) -> None:
        """Hold an older generation's key too, while memory keys are still wrapped under it."""
        self._account_keys[generation] = account_key

    def kek(self, purpose: str, generation: int | None = None) -> SecretBytes:
        """The KEK for ``memory``, ``grant``, ``identity``, ``local``; the MAC key for the others.

        These are ``given``, ``states``, and ``messages``, from which the ids of exchanges follow.

        Raises:
            LockedError: the keys were wiped.
            OpenError: there is no account key of that generation here.
        """
        number = self.generation if generation is None else generation
        found = self._keks.get((purpose, number))
        if found is None:
            found = self._keks[purpose, number] = self._derive(purpose, number)
            if not self._account_keys:  # wiped by another thread in between
                self._keks.clear()
                raise LockedError
        return found

    def _derive(self, purpose: str, generation: int) -> SecretBytes:
        account_keys = self._account_keys
        if not account_keys:
            raise LockedError
        account_key = account_keys.get(generation)
        if account_key is None:
            raise OpenError
        info = pae(f"kek/{purpose}", self.account_id, u64(generation))
        return SecretBytes(hkdf(account_key.reveal(), b"", info, _SEED))

    def account_key(self) -> SecretBytes:
        """The newest account key, to be wrapped into a keyslot and for nothing else."""
        if not self._account_keys:
            raise LockedError
        return self._account_keys[self.generation]

    def wipe(self) -> None:
        """Forget every key."""
        self._account_keys = {}  # in one step, for who is deriving from them now
        self._keks.clear()


def generate_identity(keyring: Keyring, *, random: Random) -> tuple[Identity, bytes]:
    """A new identity, and the envelope in which its seeds are kept."""
    seeds = random(2 * _SEED)
    identity = identity_from_seeds(seeds)
    return identity, seal_identity(keyring, identity, seeds, random=random)


def identity_from_seeds(seeds: bytes) -> Identity:
    """The identity of an Ed25519 seed followed by an X-Wing seed (64 bytes).

    Raises:
        TrustError: they have another length.
    """
    if len(seeds) != 2 * _SEED:
        message = "an identity has two seeds of 32 bytes"
        raise TrustError(message)
    return Identity(SigningKey(SecretBytes(seeds[:_SEED])), SealingKey(SecretBytes(seeds[_SEED:])))


def seal_identity(keyring: Keyring, identity: Identity, seeds: bytes, *, random: Random) -> bytes:
    """Seal an identity's seeds under the KEK for identity of the newest generation."""
    header = identity_seeds_header(
        keyring.account_id,
        keyring.generation,
        identity.signing.public,
        identity.sealing.public,
    )
    return seal("identity", keyring.kek("identity"), header, seeds, random=random)


def open_identity(keyring: Keyring, card: AccountCard, envelope: bytes) -> Identity:
    """Open the seeds and check that they are the card's, before anything is signed with them.

    Raises:
        CredentialsError: the envelope does not open under this account key with that card.
        TrustError: the seeds are of other keys than the card's.
    """
    header = identity_seeds_header(
        keyring.account_id, keyring.generation, card.signing_public, card.sealing_public
    )
    try:
        seeds = open_envelope("identity", keyring.kek("identity"), header, envelope)
    except OpenError:
        raise CredentialsError from None
    identity = identity_from_seeds(seeds)
    public = (identity.signing.public, identity.sealing.public)
    if public != (card.signing_public, card.sealing_public):
        message = "the identity's seeds do not belong to its public keys"
        raise TrustError(message)
    return identity
