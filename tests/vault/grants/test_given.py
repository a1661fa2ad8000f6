"""Keys that an owner gives to grants are known again, and no others pass for them."""

from __future__ import annotations

import os

import pytest

from coffret_vault.formats.memory import Kek, Peek
from coffret_vault.grants.given import give_key, was_given
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.seal import Wrapping, wrap_memory_key

ACCOUNT, MEMORY, OTHER = b"a" * 16, b"m" * 16, b"o" * 16
KEYRING = Keyring(ACCOUNT, 1, generate_key(os.urandom))
KEY = generate_key(os.urandom)
GRANT = Wrapping(Kek(grant_id=b"g" * 16), generate_key(os.urandom))
SUBJECT = Peek(ACCOUNT, MEMORY, 3, 2)


def test_the_owner_makes_the_same_wrap_again() -> None:
    """Whichever version of the memory it is of, and for that grant, memory, number and key only."""
    wrap = give_key(KEYRING, SUBJECT, KEY, GRANT)
    assert len(wrap) == 113
    assert was_given(KEYRING, Peek(ACCOUNT, MEMORY, 9, 2), KEY, GRANT, wrap)


@pytest.mark.parametrize(
    ("keyring", "subject", "key", "grant"),
    [
        (Keyring(ACCOUNT, 1, generate_key(os.urandom)), SUBJECT, KEY, GRANT),
        (KEYRING, Peek(ACCOUNT, OTHER, 3, 2), KEY, GRANT),
        (KEYRING, Peek(ACCOUNT, MEMORY, 3, 1), KEY, GRANT),
        (KEYRING, SUBJECT, generate_key(os.urandom), GRANT),
        (KEYRING, SUBJECT, KEY, Wrapping(Kek(grant_id=b"h" * 16), GRANT.key)),
        (KEYRING, SUBJECT, KEY, Wrapping(GRANT.name, generate_key(os.urandom))),
    ],
    ids=["owner", "memory", "number", "key", "grant", "grant-key"],
)
def test_a_wrap_for_anything_else_was_not_given(
    keyring: Keyring, subject: Peek, key: object, grant: Wrapping
) -> None:
    """Another of each of its parts makes another salt, and so another wrap, from the first byte."""
    wrap = give_key(KEYRING, SUBJECT, KEY, GRANT)
    assert not was_given(keyring, subject, key, grant, wrap)  # type: ignore[arg-type]


def test_what_opens_was_not_given_for_that() -> None:
    """Whoever has the grant's key and the memory's can wrap the one under the other."""
    wrap = wrap_memory_key(SUBJECT, KEY, GRANT, random=os.urandom)
    assert not was_given(KEYRING, SUBJECT, KEY, GRANT, wrap)
