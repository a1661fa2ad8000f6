"""The name of a device that is logged in, sealed for the owner's devices: docs/spec/3-keys.md.

It is bound to the session's key, and of one length whatever it is. A server cannot read it or make
one up; which session has the key is by its word, so that it can show key and name beside the times
of another. It says which device it was to a person who looks, and nothing to any program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope import open_envelope, seal
from coffret_vault.errors import OpenError
from coffret_vault.formats.pae import pae, u64

if TYPE_CHECKING:
    from coffret_vault.keyring import Keyring
    from coffret_vault.primitives.symmetric import Random

SESSION_NAME_BYTES = 64


def session_name_header(account_id: bytes, generation: int, session_key: bytes) -> bytes:
    """The header under which the name of a session with this public key is sealed."""
    return pae("session-name", account_id, u64(generation), session_key)


def seal_session_name(keyring: Keyring, session_key: bytes, name: str, *, random: Random) -> bytes:
    """A name, or as much of it as has room, for the session with this public key."""
    told = _readable(name).encode()[:SESSION_NAME_BYTES].decode("utf-8", "ignore").encode()
    header = session_name_header(keyring.account_id, keyring.generation, session_key)
    padded = told.ljust(SESSION_NAME_BYTES, b"\0")
    return seal("session-name", keyring.kek("local"), header, padded, random=random)


def open_session_name(keyring: Keyring, session_key: bytes, sealed: bytes) -> str:
    """The name that a device of this account gave itself under the keys of now.

    Raises:
        OpenError: none did, or it is of another session.
    """
    header = session_name_header(keyring.account_id, keyring.generation, session_key)
    padded = open_envelope("session-name", keyring.kek("local"), header, sealed)
    if len(padded) != SESSION_NAME_BYTES:
        raise OpenError
    try:
        return _readable(padded.rstrip(b"\0").decode())
    except UnicodeDecodeError:
        raise OpenError from None


def _readable(name: str) -> str:
    """On one line, and nothing in it that plays tricks on a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())
