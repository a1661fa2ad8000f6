"""What an owner has settled for a whole vault. docs/spec/5-log.md, Settings.

Thirty-two bytes of switches, which stand in the log's entry itself: there is nothing beside the
entry that a server could leave out or exchange.
"""

from __future__ import annotations

import msgspec

from coffret_vault.errors import FormatError, UnknownSettingError

SIZE = 32
_OPTIONAL = 16
"""From this byte on stand switches that a device may not know."""
_SEALED = 1


class Settings(msgspec.Struct, frozen=True):
    """The switches of a vault.

    Attributes:
        sealed: new memories keep title, tags and importance from the server too.
        others: the 16 bytes of switches that may be unknown, kept by whoever changes another.
    """

    sealed: bool = False
    others: bytes = bytes(SIZE - _OPTIONAL)


def parse_settings(value: bytes) -> Settings:
    """Read the switches of a ``settings`` entry.

    Raises:
        FormatError: not 32 bytes.
        UnknownSettingError: one is on that has to be known, and is not.
    """
    if len(value) != SIZE:
        message = "the settings of a vault are 32 bytes"
        raise FormatError(message)
    known, *unknown = value[:_OPTIONAL]
    if known & ~_SEALED or any(unknown):
        raise UnknownSettingError
    return Settings(bool(known & _SEALED), value[_OPTIONAL:])


def serialize_settings(settings: Settings) -> bytes:
    """The 32 bytes of switches.

    Raises:
        FormatError: ``others`` are not 16 bytes.
    """
    if len(settings.others) != SIZE - _OPTIONAL:
        message = "the switches that may be unknown are 16 bytes"
        raise FormatError(message)
    known = _SEALED if settings.sealed else 0
    return bytes((known,)) + bytes(_OPTIONAL - 1) + settings.others
