"""What a device notes down to go on with later, sealed so that it acts on its own notes only.

docs/spec/2-envelope.md, purpose ``note``. A store lies in a folder that others may be able to write
to while the vault is locked: a synced or backed-up folder, another program. What stands in it of
the log is the server's to show again, but what the device *intends* to do is its own word alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope import open_envelope, seal
from coffret_vault.errors import OpenError, StoreAlteredError
from coffret_vault.formats.layout import write_text
from coffret_vault.formats.pae import pae, u64

if TYPE_CHECKING:
    from coffret_vault.keyring import Keyring
    from coffret_vault.primitives.symmetric import Random

_GENERATION = 8


def seal_note(keyring: Keyring, name: str, note: bytes, *, random: Random) -> bytes:
    """A note that opens under this name and with these keys only, behind their generation."""
    header = note_header(keyring.account_id, keyring.generation, name)
    envelope = seal("note", keyring.kek("local"), header, note, random=random)
    return u64(keyring.generation) + envelope


def open_note(keyring: Keyring, name: str, sealed: bytes) -> bytes | None:
    """A note of this device; None where its keys were changed since, which ended what it intended.

    Raises:
        StoreAlteredError: it was not sealed by this vault, or not under this name.
    """
    generation = int.from_bytes(sealed[:_GENERATION], "big")
    if len(sealed) > _GENERATION and 0 < generation < keyring.generation:
        return None
    header = note_header(keyring.account_id, generation, name)
    try:
        key = keyring.kek("local", generation)
        return open_envelope("note", key, header, sealed[_GENERATION:])
    except OpenError:
        raise StoreAlteredError from None


def is_of(sealed: bytes, generation: int) -> bool:
    """Whether a note says that it was sealed with the keys of a generation; needs no keys."""
    return len(sealed) > _GENERATION and sealed[:_GENERATION] == u64(generation)


def note_header(account_id: bytes, generation: int, name: str) -> bytes:
    """The header under which a note is sealed."""
    return pae("local-note", account_id, u64(generation), write_text(name))
