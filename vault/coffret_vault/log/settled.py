"""What the log's ``settings`` entries come to. docs/spec/5-log.md, Settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import TrustError
from coffret_vault.formats.entry import SETTINGS
from coffret_vault.formats.settings import Settings, parse_settings, serialize_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret_vault.formats.entry import Entry


class Settled(msgspec.Struct, frozen=True):
    """A vault's settings after some entries, and how often they were settled."""

    version: int = 0
    settings: Settings = Settings()


def settle(before: Settled, entries: Iterable[Entry]) -> Settled:
    """The settings after these entries, which were verified under a head.

    Raises:
        TrustError: they do not follow one another.
        UnknownSettingError: they say what this version does not know.
    """
    after = before
    for entry in entries:
        if entry.kind != SETTINGS:
            continue
        if entry.version != after.version + 1:
            message = "the settings in the log do not follow one another"
            raise TrustError(message)
        after = Settled(entry.version, parse_settings(entry.digest))
    return after


def pack_settled(settled: Settled) -> bytes:
    """As a device keeps them: the version as ``u64``, then the switches."""
    return settled.version.to_bytes(8, "big") + serialize_settings(settled.settings)


def unpack_settled(kept: bytes) -> Settled:
    """Undo :func:`pack_settled`.

    Raises:
        FormatError: it is not what was kept.
    """
    return Settled(int.from_bytes(kept[:8], "big"), parse_settings(kept[8:]))
