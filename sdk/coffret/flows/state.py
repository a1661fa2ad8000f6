"""An unlocked vault's state: what the owner's flows work on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import FormatError, LockedError, StoreDamagedError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.memory import Kek
from coffret_vault.keyring import Identity, Keyring
from coffret_vault.keyslots.kdf import PUBLISHED, KdfLimits
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import Random
from coffret_vault.records.seal import Wrapping

if TYPE_CHECKING:
    from coffret_vault.keyslots.slots import Place
    from coffret_vault.log.verify import Position
    from coffret_vault.store import Store


def _micros() -> int:
    return time.time_ns() // 1_000


class Ambient(msgspec.Struct, frozen=True):
    """What the core never looks up itself: randomness, the clock, and limits on passphrases."""

    random: Random = os.urandom
    now: Callable[[], int] = _micros
    limits: KdfLimits = PUBLISHED

    def new_id(self) -> bytes:
        """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then randomness."""
        noise = bytearray((self.now() // 1_000).to_bytes(6, "big") + self.random(10))
        noise[6] = 0x70 | noise[6] & 0x0F
        noise[8] = 0x80 | noise[8] & 0x3F
        return bytes(noise)


class AccountFile(msgspec.Struct, frozen=True):
    """What a device keeps about its account. All of it is public or sealed."""

    origin: str
    username: str
    account_id: bytes
    card: bytes
    card_signature: bytes
    keyslots: tuple[bytes, ...]
    generation: int
    identity: bytes
    confirmed: bool = False


_NAME = "account"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AccountFile).decode


def save_account(store: Store, account: AccountFile) -> None:
    """Keep the account in the device's store."""
    for name, value in account_meta(account).items():
        store.set_meta(name, value)


def account_meta(account: AccountFile) -> dict[str, bytes]:
    """The account as the store's meta table keeps it."""
    return {_NAME: _encode(account)}


def load_account(store: Store) -> AccountFile | None:
    """The account of a device's store; None in a new one.

    Raises:
        StoreDamagedError: what is there is not an account.
    """
    kept = store.meta(_NAME)
    if kept is None:
        return None
    try:
        return _decode(kept)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StoreDamagedError from None


class Login(msgspec.Struct, frozen=True):
    """What logs this device in: a slot's id, its kind and its signing key."""

    slot_id: bytes
    kind: str
    key: SigningKey


class Unlocked(msgspec.Struct, frozen=True):
    """Keys in memory."""

    keyring: Keyring
    identity: Identity
    login: Login


def _card(account: AccountFile) -> AccountCard:
    try:
        return ACCOUNT_CARD.parse(account.card)
    except FormatError:
        raise StoreDamagedError from None


class VaultState:
    """One vault on one device, unlocked or locked."""

    def __init__(self, store: Store, place: Place, account: AccountFile, ambient: Ambient) -> None:
        """Begin locked."""
        self.store = store
        self.place = place
        self.ambient = ambient
        self.account = account
        self.card = _card(account)
        self.token = ""
        self.asked: dict[bytes, bytes] = {}
        """The digest of each access request that was shown, by its id: that one is approved."""
        self._unlocked: Unlocked | None = None

    def __repr__(self) -> str:
        return f"<VaultState {self.account.username}>"

    @property
    def account_id(self) -> bytes:
        """Whose vault."""
        return self.place.account_id

    @property
    def keys(self) -> Unlocked:
        """The keys.

        Raises:
            LockedError: the vault is locked.
        """
        if self._unlocked is None:
            raise LockedError
        return self._unlocked

    @property
    def is_locked(self) -> bool:
        """Whether the keys are gone."""
        return self._unlocked is None

    def unlock(self, keys: Unlocked) -> None:
        """Hold the keys."""
        self._unlocked = keys

    def lock(self) -> None:
        """Forget the keys and the session's token."""
        if self._unlocked is not None:
            self._unlocked.keyring.wipe()
        self._unlocked = None
        self.token = ""

    def position(self) -> Position:
        """How far this device has verified the log."""
        return self.store.position(self.account_id, self.card.signing_public)

    def owner_wrapping(self) -> Wrapping:
        """The owner's KEK for memory keys, of the newest generation."""
        keyring = self.keys.keyring
        return Wrapping(Kek(generation=keyring.generation), keyring.kek("memory"))

    def reload(self) -> None:
        """Take the account from the store, where a sync has changed it."""
        self.account = load_account(self.store) or self.account

    def update_account(self, account: AccountFile) -> None:
        """Keep a changed account."""
        save_account(self.store, account)
        self.account = account
