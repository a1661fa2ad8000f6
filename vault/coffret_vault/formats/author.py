"""Who wrote something: the owner, or an app. docs/spec/1-encoding.md."""

from __future__ import annotations

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.layout import ID, Codec

_APP_BYTES = 17


class Author(msgspec.Struct, frozen=True, gc=False):
    """The owner (``app_id`` is None), or the app with that id (16 bytes)."""

    app_id: bytes | None = None

    @property
    def is_owner(self) -> bool:
        """Whether the owner wrote it."""
        return self.app_id is None


OWNER = Author()


def _write(author: Author) -> bytes:
    return b"\0" if author.app_id is None else b"\1" + ID.encode(author.app_id)


def _read(data: bytes) -> Author:
    if data == b"\0":
        return OWNER
    if len(data) != _APP_BYTES or data[0] != 1:
        message = "an author is neither the owner nor an app"
        raise FormatError(message)
    return Author(data[1:])


AUTHOR: Codec[Author] = Codec(_write, _read)
