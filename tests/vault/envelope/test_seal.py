"""The envelope's shape; what must not open is in tests/properties."""

import os

import pytest

from coffret_vault.envelope import OVERHEAD, open_envelope, seal, unwrap_key, wrap_key
from coffret_vault.envelope.wrap import WRAPPED_KEY
from coffret_vault.errors import OpenError
from coffret_vault.primitives.secret import SecretBytes

KEY = SecretBytes(bytes(32))


def test_an_envelope_is_suite_salt_commitment_and_text() -> None:
    """The salt is drawn once, from the randomness given, and lies behind the suite."""
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return b"s" * size

    sealed = seal("memory", KEY, b"header", b"text", random=random)
    assert drawn == [32]
    assert sealed[0] == 1
    assert sealed[1:33] == b"s" * 32
    assert len(sealed) == 4 + OVERHEAD == 85


def test_the_same_content_twice_looks_different() -> None:
    """Nothing tells that two envelopes hold the same."""
    first, second = (seal("memory", KEY, b"", b"text", random=os.urandom) for _ in range(2))
    assert first[1:33] != second[1:33]
    assert first[33:65] != second[33:65]
    assert first[65:] != second[65:]


def test_a_wrapped_key_has_113_bytes() -> None:
    """A wrap is fixed in length, and one of another length is not even derived for."""
    wrap = wrap_key("memory-key", KEY, b"header", SecretBytes(b"k" * 32), random=os.urandom)
    assert len(wrap) == WRAPPED_KEY == 113
    assert unwrap_key("memory-key", KEY, b"header", wrap).reveal() == b"k" * 32
    longer = seal("memory-key", KEY, b"header", b"k" * 33, random=os.urandom)
    assert open_envelope("memory-key", KEY, b"header", longer) == b"k" * 33
    with pytest.raises(OpenError):
        unwrap_key("memory-key", KEY, b"header", longer)


def test_an_unwrapped_key_does_not_show_itself() -> None:
    """What comes out of a wrap is a secret."""
    wrap = wrap_key("memory-key", KEY, b"header", SecretBytes(b"k" * 32), random=os.urandom)
    assert repr(unwrap_key("memory-key", KEY, b"header", wrap)) == "<SecretBytes>"


@pytest.mark.parametrize("suite", [0, *range(2, 256)])
def test_no_other_suite_opens(suite: int) -> None:
    """Whatever a server puts in front, there is no older or weaker mode to fall back to."""
    sealed = seal("memory", KEY, b"header", b"text", random=os.urandom)
    with pytest.raises(OpenError):
        open_envelope("memory", KEY, b"header", bytes([suite]) + sealed[1:])
