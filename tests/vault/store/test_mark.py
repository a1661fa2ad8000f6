"""How far the log was verified: what is kept is what is read, and nothing else is taken."""

import pytest

from coffret_vault.envelope.signature import sign_head, signed_head
from coffret_vault.errors import StoreDamagedError
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.log.tree import Frontier, leaf_hash
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store.mark import Mark, parse_mark

KEY = SigningKey(SecretBytes(bytes(range(32))))


def mark() -> Mark:
    """Three leaves under a head, and two behind it."""
    frontier = Frontier()
    for leaf in (b"a", b"b", b"c"):
        frontier.append_hash(leaf_hash(leaf))
    head = signed_head(KEY, Head(bytes(16), 3, frontier.root(), NO_HEAD, 1))
    return Mark(head, frontier, (b"d", b"e"))


def test_a_mark_is_read_as_it_was_kept() -> None:
    """Head, tree and tail come back, and the size counts all leaves."""
    kept = mark().pack()
    found = parse_mark(kept)
    assert (found.head, found.tail, found.size) == (mark().head, (b"d", b"e"), 5)
    assert found.frontier.root() == mark().frontier.root()
    assert found.pack() == kept


def test_a_head_signed_here_is_the_head_that_its_text_says() -> None:
    """What was not parsed is what parsing gives."""
    head = mark().head
    assert parse_head(head.note) == head
    assert sign_head(KEY, head.head) == head.note


def test_a_damaged_mark_is_an_error() -> None:
    """No byte can be missing, and what is no mark is none."""
    kept = mark().pack()
    for damaged in (b"", b"\x90", b"\xc1", kept[:-1], kept.replace(b"prev", b"next")):
        with pytest.raises(StoreDamagedError):
            parse_mark(damaged)
