"""What a device calls itself is read by the owner's devices, beside its own session."""

from __future__ import annotations

import os

import pytest

from coffret_vault.envelope import seal
from coffret_vault.errors import OpenError
from coffret_vault.keyring import Keyring
from coffret_vault.keyslots.session_names import (
    SESSION_NAME_BYTES,
    open_session_name,
    seal_session_name,
    session_name_header,
)
from coffret_vault.primitives.symmetric import generate_key

RING = Keyring(bytes(16), 1, generate_key(os.urandom))
SESSION, OTHER = b"s" * 32, b"o" * 32


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Ana's laptop", "Ana's laptop"),
        ("", ""),
        ("é" * 50, "é" * 32),
        ("a\x1b[2J\nb\u202ec\0", "a [2J b c"),
        ("x" * 63 + "é", "x" * 63),
    ],
)
def test_a_name_comes_back_clean_and_tells_nothing_by_its_size(name: str, read: str) -> None:
    """Whatever a device is called, the envelope has one size, and a terminal is safe from it."""
    sealed = seal_session_name(RING, SESSION, name, random=os.urandom)
    assert open_session_name(RING, SESSION, sealed) == read
    assert len(sealed) == 81 + SESSION_NAME_BYTES


def test_a_name_is_of_its_session_and_its_account() -> None:
    """Beside another session, or under other keys, it does not open."""
    sealed = seal_session_name(RING, SESSION, "laptop", random=os.urandom)
    for ring, session in (
        (RING, OTHER),
        (Keyring(bytes(16), 1, generate_key(os.urandom)), SESSION),
    ):
        with pytest.raises(OpenError):
            open_session_name(ring, session, sealed)
    odd = seal(
        "session-name",
        RING.kek("local"),
        session_name_header(bytes(16), 1, SESSION),
        b"\xff" * SESSION_NAME_BYTES,
        random=os.urandom,
    )
    with pytest.raises(OpenError):
        open_session_name(RING, SESSION, odd)
