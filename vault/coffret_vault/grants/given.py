"""Keys of memories that the owner gives to a grant, so that the owner knows them again.

docs/spec/6-grants.md, What a grant is given; docs/adr/0031. Which keys a grant was given is kept by
the server, and whoever holds a grant's key can wrap under it: an app, with what it knows of another
grant. So the salt of such a wrap is not random but a MAC by the owner, over all that it depends on.
An owner's device makes the very same wrap again, and nobody else makes one that it takes for such.
The same salt goes with the same key, header and plaintext only: nothing is sealed in two ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.formats.pae import pae, u64
from coffret_vault.primitives.mac import mac
from coffret_vault.primitives.symmetric import same
from coffret_vault.records.seal import wrap_memory_key

if TYPE_CHECKING:
    from coffret_vault.formats.memory import Header, Peek
    from coffret_vault.keyring import Keyring
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.records.seal import Stamp, Wrapping


def give_key(
    keyring: Keyring, subject: Header | Peek | Stamp, memory_key: SecretBytes, wrapping: Wrapping
) -> bytes:
    """A memory's key, wrapped for a grant by its owner; 113 bytes, each time the same.

    Args:
        keyring: the owner's.
        subject: of which memory the key is, and which number it has.
        memory_key: what is given.
        wrapping: the grant's key, under its name.
    """
    key = keyring.kek("given")
    marked = pae(
        "given-key",
        wrapping.name.grant_id or b"",
        subject.memory_id,
        u64(subject.key_number),
        memory_key.reveal(),
    )
    salt = mac(key.reveal(), marked)
    return wrap_memory_key(subject, memory_key, wrapping, random=lambda _: salt)


def was_given(
    keyring: Keyring,
    subject: Header | Peek,
    memory_key: SecretBytes,
    wrapping: Wrapping,
    wrap: bytes,
) -> bool:
    """Whether a wrap is the one that :func:`give_key` makes."""
    return same(give_key(keyring, subject, memory_key, wrapping), wrap)
