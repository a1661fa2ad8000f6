"""The newest head of each owner's log that an app has seen: its memory of what must not go back.

In a folder beside the app's file, because it changes with every read that brings news, and the
app's keys do not. What is in it is public, and signed by owners. A file's name says whose log and
how long it is, and a longer one never takes the place of another: so processes of one app that
read at the same time cannot make each other forget.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from coffret.flows.files import write_whole
from coffret_vault.errors import FormatError, StoreDamagedError, StoreError
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 8
_DIGITS = 20
_DAMAGED = "a head that this app has seen cannot be read"


class Heads:
    """Heads by the account whose log they are of; other processes of the app may write them too."""

    def __init__(self, app: Path) -> None:
        """Keep them beside the app's file."""
        self.folder = app.with_name(f"{app.name}.heads")

    def last(self, account_id: bytes) -> SignedHead | None:
        """The newest head of an account's log that was seen; None before the first.

        Raises:
            StoreDamagedError: the file is not one; without it, what was seen is forgotten.
        """
        for _ in range(_TRIES):
            files = self._files(account_id)
            if not files:
                return None
            try:
                return parse_head(files[-1].read_text("utf-8"))
            except FileNotFoundError:
                continue  # another process has just put a longer one beside it
            except (OSError, UnicodeDecodeError, FormatError):
                break
        raise StoreDamagedError(_DAMAGED)

    def keep(self, signed: SignedHead) -> None:
        """Remember a head that was verified, unless a newer one is there.

        Raises:
            StoreError: it cannot be written; the older one stays.
        """
        account_id, size = signed.head.account_id, signed.head.size
        known = self.last(account_id)
        if known is not None and known.head.size >= size:
            return
        path = self.folder / f"{id_text(account_id)}.{size:0{_DIGITS}d}"
        try:
            write_whole(path, signed.note.encode())
        except OSError:
            message = "the head that was seen cannot be kept"
            raise StoreError(message) from None
        for shorter in self._files(account_id):
            if shorter.name < path.name:
                with suppress(OSError):
                    shorter.unlink()

    def forget(self, account_id: bytes) -> None:
        """Forget what was seen of an account's log; the next head that is shown begins it anew.

        Raises:
            StoreError: it cannot be; what is left is as it was.
        """
        try:
            for path in self._files(account_id):
                path.unlink(missing_ok=True)
        except OSError:
            message = "the head that was seen cannot be removed"
            raise StoreError(message) from None

    def _files(self, account_id: bytes) -> list[Path]:
        """The files of one account, the one of the longest log last."""
        return sorted(self.folder.glob(f"{id_text(account_id)}.*"))
