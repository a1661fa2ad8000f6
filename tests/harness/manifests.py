"""What requests and grants name an app by."""

from __future__ import annotations

import hashlib

from coffret_vault.formats.sharing import MANIFEST, Manifest


def digest_of(manifest: Manifest) -> bytes:
    """The digest of a manifest's bytes."""
    return hashlib.sha256(MANIFEST.serialize(manifest)).digest()
