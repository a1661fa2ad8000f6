"""Envelopes by their form."""

import pytest

from coffret_server.problems import ProblemError
from coffret_server.wire import records
from server import forge


def padme(size: int) -> int:
    """Padmé's length, as the paper writes it."""
    exponent = size.bit_length() - 1
    spare = exponent - (exponent.bit_length())
    mask = (1 << spare) - 1
    return (size + mask) & ~mask


def lengths() -> set[int]:
    """Every frame length up to 40,000 bytes that padding gives."""
    steps = (256, 512, 1_024, 2_048)
    found = set()
    for size in range(8, 40_000):
        found.add(next((step for step in steps if size <= step), padme(size)))
    return found


def test_exactly_the_padded_lengths_are_accepted() -> None:
    """Of all lengths up to 40,000 those that padding gives are accepted, and no other."""
    right = lengths()
    for size in range(38_000):
        envelope = b"\x01" + bytes(80 + size)
        if size in right:
            records.check_envelope(envelope)
            continue
        with pytest.raises(ProblemError):
            records.check_envelope(envelope)


def test_a_digest_is_that_of_the_specification() -> None:
    """The digest over header and envelope agrees with an independent writer."""
    record = forge.Owner().memory()
    assert records.digest(record[0], record[1]) == forge.digest_of(record)


def test_a_long_header_is_too_large() -> None:
    """A header beyond 16 KiB is refused before it is read."""
    with pytest.raises(ProblemError) as caught:
        records.parse_header(bytes(16 * 1024 + 1))
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("kek", [b"", b"\0", bytes(9), b"\1" + bytes(15), b"\2" + bytes(8)])
def test_a_kek_that_names_nothing_is_malformed(kek: bytes) -> None:
    """A kek is a generation from one, or a grant."""
    with pytest.raises(ProblemError):
        records.parse_kek(kek)
