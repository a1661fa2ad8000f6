"""Heads that an app has seen, kept by several of its processes at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from coffret.flows.files import write_whole
from coffret.flows.heads import Heads
from coffret_vault.envelope.signature import sign_head
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead, parse_head
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = SigningKey(generate_key(os.urandom))
WRITES = "coffret.flows.heads.write_whole"
ONE, TWO = b"\1" * 16, b"\2" * 16


def head(account: bytes, size: int) -> SignedHead:
    """A head of an account's log, signed."""
    return parse_head(sign_head(KEY, Head(account, size, bytes(32), NO_HEAD, 1)))


def interrupted(keep: Callable[[], None], meanwhile: Callable[[], None]) -> None:
    """Let something happen just before a head is written."""

    def later(path: Path, data: bytes) -> None:
        with patch(WRITES, write_whole):
            meanwhile()
        write_whole(path, data)

    with patch(WRITES, later):
        keep()


def test_the_newest_is_kept_and_the_older_goes(tmp_path: Path) -> None:
    """A longer log's head takes the place of a shorter one's, not the reverse."""
    kept = Heads(tmp_path / "app.json")
    assert kept.last(ONE) is None
    for size in (5, 9, 7, 100):
        kept.keep(head(ONE, size))
    last = kept.last(ONE)
    assert last is not None
    assert last.head.size == 100
    assert len(list(kept.folder.iterdir())) == 1


def test_processes_do_not_make_each_other_forget(tmp_path: Path) -> None:
    """Two that keep heads at the same time both find theirs, of two owners or of one."""
    here, there = Heads(tmp_path / "app.json"), Heads(tmp_path / "app.json")
    interrupted(lambda: here.keep(head(ONE, 5)), lambda: there.keep(head(TWO, 9)))
    interrupted(lambda: here.keep(head(ONE, 6)), lambda: there.keep(head(ONE, 8)))
    found = [here.last(account) for account in (ONE, TWO)]
    assert [item and item.head.size for item in found] == [8, 9]


def test_one_owner_is_forgotten_at_a_time(tmp_path: Path) -> None:
    """What is forgotten of one log is kept of another, and a shorter one begins it anew."""
    kept = Heads(tmp_path / "app.json")
    kept.forget(ONE)
    kept.keep(head(ONE, 9))
    kept.keep(head(TWO, 9))
    kept.forget(ONE)
    kept.keep(head(ONE, 3))
    found = [kept.last(account) for account in (ONE, TWO)]
    assert [item and item.head.size for item in found] == [3, 9]
