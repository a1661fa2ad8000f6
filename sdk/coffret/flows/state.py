"""An unlocked vault's state: what the owner's flows work on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from coffret.flows.http import Response
from coffret_vault.errors import FormatError, LockedError, StoreDamagedError, StoreError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.memory import Kek
from coffret_vault.formats.pae import u64
from coffret_vault.keyring import Identity, Keyring
from coffret_vault.keyslots.kdf import PUBLISHED, KdfLimits
from coffret_vault.keyslots.slots import secret_key_mark
from coffret_vault.log.lineage import Reign
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import Random
from coffret_vault.records.seal import Wrapping
from coffret_vault.store import Sealing, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coffret.flows.proof import Session
    from coffret.sharing import AppCheck
    from coffret_vault.keyslots.slots import Place
    from coffret_vault.log.verify import Position
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.store import Store, StoredRecord


def _micros() -> int:
    return time.time_ns() // 1_000


def _device() -> str:
    """What this device is called: as its owner says, or else as it calls itself in a network."""
    return os.environ.get("COFFRET_DEVICE") or platform.node()


class Ambient(msgspec.Struct, frozen=True):
    """What the core never looks up itself: randomness, the clock, and limits on passphrases.

    ``web`` asks the domain of an app for the file of its apps; the real one when None. ``device``
    is what this device is called, for its owner's list of sessions.
    """

    random: Random = os.urandom
    now: Callable[[], int] = _micros
    limits: KdfLimits = PUBLISHED
    web: Callable[[str], Response] | None = None
    device: Callable[[], str] = _device

    def new_id(self) -> bytes:
        """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then randomness."""
        noise = bytearray((self.now() // 1_000).to_bytes(6, "big") + self.random(10))
        noise[6] = 0x70 | noise[6] & 0x0F
        noise[8] = 0x80 | noise[8] & 0x3F
        return bytes(noise)

    def random_id(self) -> bytes:
        """A UUIDv4, for what strangers are shown: accounts and keyslots.

        A server makes such ids up for users who do not exist, and has no time to make up with them
        that would pass for the time at which somebody signed up.
        """
        return UUID(bytes=self.random(16), version=4).bytes


class AccountFile(msgspec.Struct, frozen=True):
    """What a device keeps about its account. All of it is public or sealed.

    ``earlier`` are the account cards before a key change, oldest first.
    """

    origin: str
    username: str
    account_id: bytes
    card: bytes
    card_signature: bytes
    keyslots: tuple[bytes, ...]
    generation: int
    identity: bytes
    confirmed: bool = False
    earlier: tuple[Reign, ...] = ()

    def changed_at(self) -> int:
        """The index of the last ``rotate`` entry; -1 if the keys were never changed."""
        return self.earlier[-1].until if self.earlier else -1

    def signing_public(self, index: int) -> bytes:
        """The Ed25519 key that spoke for the owner at an index of the log."""
        for reign in self.earlier:
            if index < reign.until:
                return _card(reign.card).signing_public
        return _card(self.card).signing_public


_NAME = "account"
_CONFIRMED = "confirmed"
_ENTERED = "entered"
_COVERED = "covered"
WHOLE = 2**63 - 1
"""More entries than a log has."""
PLACES = "import places"
"""Under this name a device notes, sealed, from which folders it has imported."""
_INTENDED = "intended account"
_OPENED_BY = "opened by"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AccountFile).decode


def account_meta(account: AccountFile) -> dict[str, bytes]:
    """The account as the store's meta table keeps it.

    That it is confirmed stands beside it: this is noted without keys, and so is not sealed. It
    stays so: a process that has not heard of it does not undo it.
    """
    confirmed = {_CONFIRMED: b"\1"} if account.confirmed else {}
    return {_NAME: _encode(replace(account, confirmed=False)), **confirmed}


def load_account(store: Store) -> AccountFile | None:
    """The account of a device's store; None in a new one.

    Raises:
        StoreDamagedError: what is there is not an account.
    """
    account = _load(store, _NAME)
    if account is None or account.confirmed:
        return account
    return replace(account, confirmed=bool(store.meta(_CONFIRMED)))


def entered_note(size: int = WHOLE) -> tuple[str, bytes]:
    """The size of the head that a device was shown when it entered; not known yet if not said."""
    return _ENTERED, u64(size)


def covered_note(size: int) -> tuple[str, bytes]:
    """Up to which entry a head from elsewhere confirms what this device was shown."""
    return _COVERED, u64(size)


def covered(store: Store) -> int:
    """Up to which entry heads from elsewhere confirm what this device was shown when it entered.

    All of it where it did not enter the vault but made it.
    """
    return _size(store, _COVERED) if store.meta(_ENTERED) else WHOLE


def entered(store: Store) -> int:
    """The size of the head that a device was shown when it entered; 0 where it made the vault."""
    return _size(store, _ENTERED)


def confirmed_entries(state: VaultState) -> int:
    """A device whose beginning is confirmed has seen all that came after it by itself."""
    confirmed, size = covered(state.store), state.position().size
    return size if confirmed >= entered(state.store) else confirmed


def _size(store: Store, name: str) -> int:
    return int.from_bytes(store.meta(name) or b"", "big")


def intended_meta(account: AccountFile | None) -> dict[str, bytes]:
    """An account with keyslots that the server is about to be told of, as it is kept."""
    return {_INTENDED: b"" if account is None else _encode(account)}


def load_intended(store: Store) -> AccountFile | None:
    """An account with keyslots of which it is not known whether the server took them."""
    return _load(store, _INTENDED)


def _load(store: Store, name: str) -> AccountFile | None:
    kept = store.meta(name)
    return decoded(_decode, kept) if kept else None


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


def sealing(keys: Unlocked, ambient: Ambient) -> Sealing:
    """What seals that which this device knows."""
    return Sealing(keys.keyring, keys.identity.signing.public, ambient.random)


@lru_cache(maxsize=64)
def _card(card: bytes) -> AccountCard:
    try:
        return ACCOUNT_CARD.parse(card)
    except FormatError:
        raise StoreDamagedError from None


class Entering(NamedTuple):
    """What a device that enters again brings along from under the keys of before.

    Attributes:
        records: those that are here, with the wraps of now.
        withheld: the memories and versions that are here and of which the server showed no wrap.
        notes: gives what this device had noted down, as it is kept from now on.
    """

    records: list[StoredRecord]
    withheld: frozenset[tuple[bytes, int]]
    notes: Callable[[], Mapping[str, bytes]] = dict


def _nothing() -> None:
    """Nothing else is held."""


class Looked(NamedTuple):
    """What was shown of an access request: its digest, and the ids of what it covers, joined."""

    digest: bytes
    covered: bytes


class VaultState:
    """One vault on one device, unlocked or locked."""

    def __init__(self, store: Store, place: Place, account: AccountFile, ambient: Ambient) -> None:
        """Begin locked."""
        self.store = store
        self.place = place
        self.ambient = ambient
        self.account = account
        self.card = _card(account.card)
        self.session: Session | None = None
        self.locked: Callable[[], None] = _nothing
        """Called when the keys are forgotten: others may hold what was opened with them."""
        self.outdated: Callable[[], None] = _nothing
        """Called when the keys are changed: others may keep what is sealed with those of before."""
        self.asked: dict[bytes, Looked] = {}
        """What was shown of each access request that waits, by its id: that is approved."""
        self.checked: dict[bytes, AppCheck] = {}
        """What the domains of apps said since requests were looked at, by the manifest's hash."""
        self.looked = 0
        """When the log was last read to its end by this process, in microseconds."""
        self.is_covered = False
        """Whether heads confirm all that this device was shown when it entered; that stays so."""
        self.entering: Entering | None = None
        """What is kept with the log, once that is verified under keys that are new here."""
        self.locks = 0
        """Counts how often it was locked: what began before that is not to unlock it again."""
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
        self.store.hold(sealing(keys, self.ambient))

    def lock(self) -> None:
        """Forget the keys and the session."""
        self.locks += 1
        if self._unlocked is not None:
            self._unlocked.keyring.wipe()
        self._unlocked = None
        self.store.let_go()
        self.session = None
        self.locked()

    def know(self, secret_key: SecretBytes) -> None:
        """Note by which Secret Key the vault opens. docs/spec/3-keys.md, Key change.

        What cannot be noted now is at the next unlocking; no other check goes by it alone.
        """
        mark = secret_key_mark(secret_key, self.place)
        with suppress(StoreError):
            if self.store.meta(_OPENED_BY) != mark:
                self.store.set_meta(_OPENED_BY, mark)

    def knows(self, secret_key: SecretBytes) -> bool:
        """Whether that is the Secret Key by which the vault was last opened here."""
        return self.store.meta(_OPENED_BY) == secret_key_mark(secret_key, self.place)

    def position(self) -> Position:
        """How far this device has verified the log."""
        return self.store.position(self.account_id, self.card.signing_public)

    def owner_wrapping(self) -> Wrapping:
        """The owner's KEK for memory keys, of the newest generation."""
        keyring = self.keys.keyring
        return Wrapping(Kek(generation=keyring.generation), keyring.kek("memory"))

    def reload(self) -> None:
        """Take the account from the store, where a sync has changed it.

        Keys of before a key change, which another process of this device made, are let go.
        """
        self._take(load_account(self.store) or self.account)
        if self._unlocked and self._unlocked.keyring.generation != self.account.generation:
            self.lock()

    def refresh(self) -> None:
        """As :meth:`reload`, where the keys are those of before still; others are to be noticed."""
        kept = load_account(self.store)
        if kept is not None and kept.generation == self.account.generation:
            self._take(kept)

    def adopt(self, account: AccountFile, keys: Unlocked) -> None:
        """Work with an account after its keys were changed; nothing is kept."""
        self._take(account)
        self.unlock(keys)

    def _take(self, account: AccountFile) -> None:
        self.account, self.card = account, _card(account.card)

    def leave_keys_of_before(self) -> None:
        """Have nothing stand on this device that is still sealed with keys that were changed."""
        self.outdated()
        self.store.leave_nothing()

    def confirm(self) -> None:
        """Note that a head from elsewhere confirms what is here; nothing else of the account."""
        self.store.set_meta(_CONFIRMED, b"\1")
        self.account = replace(self.account, confirmed=True)
