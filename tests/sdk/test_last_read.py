"""What an app remembers of what it read: for as long as its process, and in little room."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from coffret.flows.lastread import LastRead
from coffret_vault.errors import TrustError

ONE, TWO = os.urandom(16), os.urandom(16)


def test_what_was_read_is_there_at_the_next_read() -> None:
    """By owner and account; what is forgotten of one is kept of another."""
    kept = LastRead()
    with kept.of("ana", ONE) as seen:
        assert seen == {}
        seen[TWO] = 1 << 40
    with kept.of("ana", ONE) as seen:
        assert seen == {TWO: 1 << 40}
        seen[ONE] = 0
    for other in (("eve", ONE), ("ana", TWO)):
        with kept.of(*other) as seen:
            assert seen == {}
            seen[ONE] = 7
    kept.forget("ana", ONE)
    kept.forget("nobody", ONE)
    for whose, found in ((("ana", ONE), {}), (("eve", ONE), {ONE: 7})):
        with kept.of(*whose) as seen:
            assert seen == found


def test_what_was_read_before_an_error_is_kept() -> None:
    """A read that stops at something false has believed what came before it."""
    kept = LastRead()

    def stopped() -> None:
        with kept.of("ana", ONE) as seen:
            seen[TWO] = 3
            raise TrustError

    with pytest.raises(TrustError):
        stopped()
    with kept.of("ana", ONE) as seen:
        assert seen == {TWO: 3}


def test_who_reads_at_the_same_time_forgets_nothing_of_each_other() -> None:
    """A read goes by what another one saw since it began, and the last to end keeps all of it."""
    kept = LastRead()
    with kept.of("ana", ONE) as slow:
        slow[ONE] = 5
        with kept.of("ana", ONE) as quick:
            assert quick == {ONE: 5}
            quick[TWO] = 9
        assert slow == {ONE: 5, TWO: 9}
    with kept.of("ana", ONE) as seen:
        assert seen == {ONE: 5, TWO: 9}


def test_what_is_forgotten_is_not_brought_back_by_a_read_that_goes_on() -> None:
    """Who reads meanwhile keeps nothing of before, nor takes away what was read since."""
    kept = LastRead()
    with kept.of("ana", ONE) as before:
        before[ONE] = 5
        kept.forget("ana", ONE)
        with kept.of("ana", ONE) as since:
            assert since == {}
            since[TWO] = 9
        before[ONE] = 6
    with kept.of("ana", ONE) as seen:
        assert seen == {TWO: 9}


def test_much_that_was_read_takes_little_room() -> None:
    """A hundred owners with a thousand memories each take 24 bytes a memory, and little besides."""
    kept = LastRead()
    tracemalloc.start()
    try:
        for owner in range(100):
            with kept.of(f"owner-{owner}", ONE) as seen:
                seen.update((os.urandom(16), 1 << 40) for _ in range(1_000))
            del seen
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 30 * 100 * 1_000
