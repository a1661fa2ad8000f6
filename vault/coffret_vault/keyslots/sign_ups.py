"""A sign-up that was sent and not answered, sealed for who knows its passphrase.

docs/spec/3-keys.md, Sign-up under way. What it makes (Secret Key, recovery code) nobody has been
shown yet, so there is nothing but the passphrase that could open it (docs/adr/0037).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope import open_envelope, seal
from coffret_vault.errors import CredentialsError, OpenError
from coffret_vault.formats.account import Kdf, write_kdf
from coffret_vault.formats.layout import write_text
from coffret_vault.formats.pae import pae
from coffret_vault.keyslots.kdf import PUBLISHED, stretch
from coffret_vault.keyslots.slots import Place, derive

if TYPE_CHECKING:
    from coffret_vault.keyslots.kdf import KdfLimits
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.primitives.symmetric import Random


def sign_up_key(
    passphrase: str, place: Place, kdf: Kdf, *, limits: KdfLimits = PUBLISHED
) -> SecretBytes:
    """The key that a passphrase gives for a sign-up under way.

    Raises:
        WeakKdfError: the parameters are outside the limits; nothing was derived.
    """
    fields = (write_text(place.origin), place.account_id, write_kdf(kdf))
    return derive(stretch(passphrase, kdf, limits), "sign-up-key", *fields)


def sign_up_header(place: Place, username: str, kdf: Kdf) -> bytes:
    """The header under which it is sealed."""
    origin, name = write_text(place.origin), write_text(username)
    return pae("sign-up", origin, place.account_id, name, write_kdf(kdf))


def seal_sign_up(key: SecretBytes, header: bytes, said: bytes, *, random: Random) -> bytes:
    """What has to be known to go on with a sign-up."""
    return seal("sign-up", key, header, said, random=random)


def open_sign_up(key: SecretBytes, header: bytes, sealed: bytes) -> bytes:
    """Undo :func:`seal_sign_up`.

    Raises:
        CredentialsError: it was begun with another passphrase, or was altered.
    """
    try:
        return open_envelope("sign-up", key, header, sealed)
    except OpenError:
        raise CredentialsError from None
