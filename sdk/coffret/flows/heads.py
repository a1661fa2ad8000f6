"""The newest head of each owner's log that an app has seen: its memory of what must not go back.

In a file beside the app's own, because it changes with every read that brings news, and the app's
keys do not. What is in it is public, and signed by owners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.files import write_whole
from coffret_vault.errors import FormatError, StoreDamagedError, StoreError
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from pathlib import Path

_decode = msgspec.json.Decoder(dict[str, str]).decode
_DAMAGED = "the file of the heads that this app has seen cannot be read"


class Heads:
    """Heads by the account whose log they are of; other processes of the app may write them too."""

    def __init__(self, app: Path) -> None:
        """Keep them beside the app's file."""
        self.path = app.with_name(f"{app.name}.heads")

    def last(self, account_id: bytes) -> SignedHead | None:
        """The newest head of an account's log that was seen; None before the first.

        Raises:
            StoreDamagedError: the file is not one; without it, what was seen is forgotten.
        """
        note = self._read().get(id_text(account_id))
        try:
            return None if note is None else parse_head(note)
        except FormatError:
            raise StoreDamagedError(_DAMAGED) from None

    def keep(self, signed: SignedHead) -> None:
        """Remember a head that was verified, unless a newer one is there.

        Raises:
            StoreError: it cannot be written; the older one stays.
        """
        account_id = signed.head.account_id
        known = self.last(account_id)
        if known is not None and known.head.size >= signed.head.size:
            return
        whole = {**self._read(), id_text(account_id): signed.note}
        try:
            write_whole(self.path, msgspec.json.encode(whole, order="deterministic"))
        except OSError:
            message = "the head that was seen cannot be kept"
            raise StoreError(message) from None

    def _read(self) -> dict[str, str]:
        try:
            return _decode(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise StoreDamagedError(_DAMAGED) from None
