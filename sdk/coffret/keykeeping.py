"""Passphrase and keys over time: the part of ``Vault`` that changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret import opening
from coffret.flows.deletion import delete_account
from coffret.flows.keychange import change_keys
from coffret.flows.passphrase import replace_passphrase
from coffret.flows.reentry import log_in_again
from coffret.flows.sync import silent
from coffret.local import LocalVault

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.deletion import AccountDeleted
    from coffret.flows.keychange import KeyChange
    from coffret.flows.sync import Progress, SyncReport
    from coffret.kit import RecoveryKit
    from coffret.transport import SyncDriver


class KeyKeeping(LocalVault):
    """What :class:`coffret.Vault` does with its own keys."""

    _driver: SyncDriver

    def unlock(self, passphrase: str, secret_key: str) -> None:
        """Bring the keys back into memory.

        Args:
            passphrase: the owner's.
            secret_key: the Secret Key's code, ``CF1-…``.

        Raises:
            CodeTypoError: the Secret Key was mistyped.
            CredentialsError: they do not open this vault.
        """
        opening.unlock(self._state, passphrase, opening.read_secret_key(secret_key))

    def change_passphrase(self, passphrase: str, new_passphrase: str, secret_key: str) -> None:
        """Put a new passphrase in the place of the old one; the Secret Key stays.

        Other devices go on until they next log in, and ask for the new one then. Whoever may know
        more than the passphrase is shut out by :meth:`change_keys` only.

        Raises:
            CodeTypoError: the Secret Key was mistyped.
            CredentialsError: passphrase and Secret Key are not this vault's; nothing was changed.
            ConflictError: another device changed the keyslots at the same time.
            InputError: the new passphrase is blank.
        """
        key = opening.read_secret_key(secret_key)
        opening.check_secrets(self._state, passphrase, key)
        self._driver.run(replace_passphrase(self._state, new_passphrase, key))

    def change_keys(
        self,
        passphrase: str,
        hand_out: Callable[[RecoveryKit], None],
        progress: Progress = silent,
    ) -> KeyChange:
        """Make every key anew, because someone may know the old ones.

        Ends every grant and every other session; other devices log in again with the new
        passphrase and Secret Key. Memories get fresh keys as they are next written, or all at once
        with :meth:`rotate`. What somebody has read or copied already cannot be unread.

        Args:
            passphrase: the new one.
            hand_out: gives the new recovery kit to the owner, before anything is sent. The old kit
                opens nothing afterwards.
            progress: told how many memory keys are wrapped anew.

        Raises:
            KeysChangedError: another device was quicker.
            TrustError: the server shows something that cannot be true.
        """
        flow = change_keys(self._state, passphrase, hand_out, progress)
        return self._driver.run(flow)

    def log_in_again(
        self,
        passphrase: str,
        secret_key: str,
        progress: Progress = silent,
        *,
        give_up: bool = False,
    ) -> SyncReport:
        """Enter with the passphrase and Secret Key of now, after they were changed elsewhere.

        Everything on this device stays. The vault is unlocked afterwards. A change that waited here
        under the keys of before is in ``unkept()`` then, with its words.

        Args:
            passphrase: of now.
            secret_key: of now, ``CF1-…``.
            progress: told how much is done.
            give_up: where the vault is locked, let go of what such a change said.

        Raises:
            AccountDeletedError: the account was deleted, as its keys or the server say.
            CodeTypoError: the Secret Key was mistyped.
            ConflictError: the keys were changed, and a change waits here that only those of before
                open, or was given up: unlock with these first, or give it up.
            CredentialsError: they do not open the vault as it is now.
            TrustError: the server shows something that cannot be true.
        """
        key = opening.read_secret_key(secret_key)
        flow = log_in_again(self._state, passphrase, key, progress, give_up=give_up)
        return self._driver.run(flow)

    def delete_account(self, passphrase: str, secret_key: str) -> AccountDeleted:
        """Delete the account at the server, with all that it keeps of it, for good.

        All sessions and grants end when this returns; the server erases the rest right after, and
        then lets anybody have the username. What is on this device stays, to be read and exported
        without the server; so it is with the owner's other devices, which are told when they next
        ask the server. What apps have read stays with them. :meth:`export` first.

        Args:
            passphrase: the owner's, though the vault is unlocked: whoever finds it so does not
                know it.
            secret_key: the Secret Key's code.

        Raises:
            CodeTypoError: the Secret Key was mistyped.
            CredentialsError: passphrase and Secret Key are not this vault's; nothing was deleted.
            LockedError: the vault is locked.
            KeysChangedError: they were changed on another device; nothing was deleted.
            AccountDeletedError: it was deleted before.
            TrustError: the server says that it did, and does not show the owner's word for it.
        """
        key = opening.read_secret_key(secret_key)
        return self._driver.run(delete_account(self._state, passphrase, key))
