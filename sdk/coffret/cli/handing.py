"""Give an owner what opens their vault and is nowhere else, and keep the Secret Key here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.cli.private import write_private
from coffret.cli.secret_key import keep_secret_key
from coffret_vault.errors import CoffretError, StoreError
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from pathlib import Path

    from coffret.cli.desk import Desk
    from coffret.cli.secret_key import Kept
    from coffret.kit import RecoveryKit
    from coffret.vault import Vault


class Handing:
    """Gives a new vault's kit to its owner, and keeps its key, each whatever becomes of the other.

    As JSON both are one document.
    """

    def __init__(self, desk: Desk, path: Path | None, wanted: Kept | None) -> None:
        """Give it in this file, if one is named, and keep the key where that is wanted."""
        self._desk, self._path, self._wanted = desk, path, wanted
        self._kept: Kept | None = None
        self._failure: CoffretError | None = None

    def give(self, recovery: RecoveryKit) -> None:
        """Hand it out. That the key cannot be kept is said afterwards: the kit has it.

        Raises:
            CoffretError: the kit got nowhere.
        """
        try:
            shown = _hand_out(self._desk, recovery, self._path)
        finally:
            self._keep(recovery)
        if self._desk.out.as_json:
            secret = {"recovery_kit": recovery.text() if shown else None}
            self._desk.out.deliver("", {**self._about(recovery), **secret})

    def _keep(self, recovery: RecoveryKit) -> None:
        desk, account, code = self._desk, id_text(recovery.account_id), recovery.secret_key_code()
        try:
            self._kept = keep_secret_key(desk.places, desk.name, account, code, self._wanted)
        except CoffretError as failure:
            self._failure = failure

    def _about(self, recovery: RecoveryKit) -> dict[str, object]:
        return {
            "username": recovery.username,
            "account_id": id_text(recovery.account_id),
            "fingerprint": recovery.fingerprint,
            "memories": 0,
            "folder": str(self._desk.folder),
            "secret_key_store": self._kept,
        }

    def kept(self) -> Kept:
        """Where the key is kept.

        Raises:
            CoffretError: it could not be.
        """
        if self._kept is None:
            raise self._failure or StoreError
        return self._kept


def _hand_out(desk: Desk, recovery: RecoveryKit, path: Path | None) -> bool:
    """Write the kit to its file, or else print it; whether it is still to be shown, or was."""
    if path is not None:
        try:
            deliver_kit(desk, recovery, path)
        except CoffretError as error:
            desk.out.error(error)
        else:
            return False
    if not desk.out.as_json:
        deliver_kit(desk, recovery, None)
    return True


def deliver_kit(desk: Desk, recovery: RecoveryKit, path: Path | None) -> None:
    """Write the kit to its file, or print it where none was named.

    Raises:
        CoffretError: it did not get there.
    """
    if path is None:
        desk.out.deliver(recovery.text())
        return
    write_private(path, [recovery.text().encode()], replace=False)
    desk.out.note(f"The recovery kit is in {path}: print it, then delete the file.")


def keep_key(desk: Desk, vault: Vault, code: str, wanted: Kept | None) -> Kept:
    """Keep the Secret Key on this device, and say where."""
    account = vault.status().account_id
    return keep_secret_key(desk.places, desk.name, account, code, wanted)
