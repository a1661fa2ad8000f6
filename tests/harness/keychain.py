"""The passphrases and Secret Keys of a vault as they follow each other, and who had them stolen."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import pytest

from coffret import opening
from coffret.flows.keychange import key_name
from coffret_vault.errors import CredentialsError, KeysChangedError, OpenError
from coffret_vault.formats.memory import KEK
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.rewrap import KeyName, open_wrap
from coffret_vault.records.seal import Wrapping, open_version

if TYPE_CHECKING:
    from coffret import RecoveryKit, Vault
    from coffret_vault.formats.memory import Record


class Secrets(NamedTuple):
    """What opens a vault: it is entered with the passphrase and the kit's Secret Key."""

    passphrase: str
    kit: RecoveryKit
    generation: int

    def typed(self) -> tuple[str, str]:
        """As a person types them."""
        return self.passphrase, self.kit.secret_key_code()


class Loot(NamedTuple):
    """Keys that somebody kept: of memories, and those that wrap them."""

    keys: tuple[SecretBytes, ...]
    wrappings: tuple[Wrapping, ...] = ()

    def opens_nothing_of(self, account_id: bytes, record: Record) -> None:
        """Whoever has these keys opens neither the record nor its key."""
        for key in self.keys:
            with pytest.raises(OpenError):
                open_version(record.header, record.envelope, key)
        name = key_name(record)
        for wrapping in self.wrappings:
            for said in (wrapping.name, KEK.decode(record.kek)):
                tried = Wrapping(said, wrapping.key)
                with pytest.raises(OpenError):
                    open_wrap(account_id, name, record.wrap, tried)


def loot_of(vault: Vault) -> Loot:
    """All that wraps memory keys on an unlocked device, and every memory key that is there."""
    state = vault._state
    wrapping = state.owner_wrapping()
    rows = state.store.records_under(KEK.encode(wrapping.name))
    found: dict[KeyName, SecretBytes] = {}
    for row in rows:
        name = key_name(row.record)
        found[name] = open_wrap(state.account_id, name, row.record.wrap, wrapping)
    # A device wipes its own keys when they are replaced; a thief does not.
    kept = Wrapping(wrapping.name, SecretBytes(wrapping.key.reveal()))
    return Loot(tuple(found.values()), (kept,))


@dataclass
class Keychain:
    """What opened the vault, oldest first; and what may, if the server took it."""

    known: list[Secrets]
    offered: Secrets | None = None
    loot: Loot | None = field(default=None, repr=False)

    @property
    def now(self) -> Secrets:
        """What opens it now."""
        return self.known[-1]

    def offer(self, secrets: Secrets, loot: Loot | None = None) -> None:
        """Somebody is about to tell the server of new ones; ``loot`` is what a thief has then."""
        self.offered, self.loot = secrets, loot

    def taken(self, vault: Vault) -> tuple[Secrets, Loot | None] | None:
        """Whether the server took what was offered, by a device that has synced: what was before.

        What it did not take is forgotten.
        """
        offered, loot, self.offered, self.loot = self.offered, self.loot, None, None
        if offered is None or not _opens(vault, offered):
            return None
        before = self.now
        self.known.append(offered)
        return before, loot

    def unlock(self, vault: Vault) -> None:
        """Bring a device's keys back with whatever opens what it has."""
        for secrets in reversed(self._all()):
            with suppress(CredentialsError, KeysChangedError):
                vault.unlock(*secrets.typed())
                return
        pytest.fail("a device is opened by nothing that ever opened the vault")

    def enter_again(self, vault: Vault) -> None:
        """Have a device follow a change, with what was offered or with what there is.

        Raises:
            CoffretError: it cannot.
        """
        if self.offered is not None:
            with suppress(CredentialsError):
                vault.log_in_again(*self.offered.typed())
                return
        vault.log_in_again(*self.now.typed())

    def is_behind(self, vault: Vault) -> bool:
        """Whether a device has keys from before a key change."""
        return vault._state.account.generation < self.now.generation

    def _all(self) -> list[Secrets]:
        return [*self.known, *([self.offered] if self.offered else [])]


def _opens(vault: Vault, secrets: Secrets) -> bool:
    passphrase, code = secrets.typed()
    try:
        opening.check_secrets(vault._state, passphrase, opening.read_secret_key(code))
    except CredentialsError:
        return False
    return True
