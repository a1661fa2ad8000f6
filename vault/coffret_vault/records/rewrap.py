"""Wrap memory keys anew, for the generation that a key change begins. docs/spec/3-keys.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coffret_vault.envelope import unwrap_key, wrap_key
from coffret_vault.formats.memory import KEK, memory_key_wrap_header

if TYPE_CHECKING:
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.primitives.symmetric import Random
    from coffret_vault.records.seal import Wrapping


class KeyName(NamedTuple):
    """Which memory key: of which memory, and the how manyth of it."""

    memory_id: bytes
    key_number: int


def _header(account_id: bytes, name: KeyName, wrapping: Wrapping) -> bytes:
    kek = KEK.encode(wrapping.name)
    return memory_key_wrap_header(account_id, name.memory_id, name.key_number, kek)


def open_wrap(account_id: bytes, name: KeyName, wrap: bytes, wrapping: Wrapping) -> SecretBytes:
    """The memory key of that name.

    Raises:
        OpenError: whatever the cause.
    """
    return unwrap_key("memory-key", wrapping.key, _header(account_id, name, wrapping), wrap)


def rewrap(
    account_id: bytes, name: KeyName, wrap: bytes, under: tuple[Wrapping, Wrapping], random: Random
) -> bytes:
    """The same memory key, unwrapped under the first of two and wrapped under the second.

    Raises:
        OpenError: it does not open under the first.
    """
    before, after = under
    key = open_wrap(account_id, name, wrap, before)
    return wrap_key("memory-key", after.key, _header(account_id, name, after), key, random=random)
