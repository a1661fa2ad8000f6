"""Heads as signed notes."""

import msgspec
import pytest

from coffret_vault.errors import FormatError
from coffret_vault.formats.checkpoint import (
    MAX_HEAD,
    NO_HEAD,
    Head,
    head_text,
    join_note,
    note_key_id,
    parse_head,
)

HEAD = Head(bytes(range(16)), 12, b"r" * 32, NO_HEAD, 1_700_000_000_000_000)
NOTE = join_note(HEAD, b"p" * 32, b"s" * 64)


def test_a_head_reads_back() -> None:
    """The note gives the head, the signed text, the key id and the signature."""
    signed = parse_head(NOTE)
    assert signed.head == HEAD
    assert signed.text == head_text(HEAD)
    assert (signed.signature, signed.note) == (b"s" * 64, NOTE)
    assert signed.key_id == note_key_id(
        "coffret/v1/vault/00010203-0405-0607-0809-0a0b0c0d0e0f", b"p" * 32
    )


def test_the_signed_text_ends_before_the_blank_line() -> None:
    """The signature is over the text with its last newline, as C2SP signed notes want it."""
    text = parse_head(NOTE).text.decode()
    assert NOTE.startswith(text + "\n\u2014 ")
    assert text.endswith("\n")


def test_the_text_of_a_head_is_no_pae() -> None:
    """A head begins with a letter, every PAE with a zero byte: neither is taken for the other."""
    assert head_text(HEAD)[:1].isalpha()


@pytest.mark.parametrize("number", range(len(NOTE)))
def test_every_character_of_a_head_counts(number: int) -> None:
    """With a character replaced the note is malformed, or says something else."""
    for symbol in "0aA\n -=":
        changed = NOTE[:number] + symbol + NOTE[number + 1 :]
        if changed == NOTE:
            continue
        try:
            signed = parse_head(changed)
        except FormatError:
            continue
        assert (signed.head, signed.key_id, signed.signature) != (
            HEAD,
            parse_head(NOTE).key_id,
            b"s" * 64,
        )


def test_a_long_note_is_refused_unread() -> None:
    """Nothing over the limit is looked at."""
    with pytest.raises(FormatError):
        parse_head(NOTE + "x" * MAX_HEAD)


def test_the_largest_numbers_fit() -> None:
    """A head at the end of its numbers is still within the limit."""
    largest = msgspec.structs.replace(HEAD, size=10**19 - 1, time=10**19 - 1)
    assert parse_head(join_note(largest, bytes(32), bytes(64))).head == largest


def test_digests_of_heads_chain() -> None:
    """A head's digest is over its text without the signature, so that it does not depend on it."""
    again = parse_head(join_note(HEAD, b"p" * 32, b"t" * 64))
    assert again.digest == parse_head(NOTE).digest
    other = parse_head(join_note(msgspec.structs.replace(HEAD, size=13), b"p" * 32, b"s" * 64))
    assert other.digest != again.digest
