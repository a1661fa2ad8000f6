"""The campaign covers every class of attacks, and docs/attacks.md says so."""

from __future__ import annotations

import pytest

from architecture.attacks_table import ROWS, marked
from harness.attacks.row import Row, Verdict

OPEN = frozenset((57, 61, 62, 63, 64))
"""Rows whose tests are being written."""
DONE = [row for row in ROWS if row.number not in OPEN]


def test_there_is_one_row_for_each_number() -> None:
    """64 rows, in their order, and no mark names another."""
    assert [row.number for row in ROWS] == list(range(1, 65))
    assert {mark.number for mark in marked()} <= {row.number for row in ROWS}


@pytest.mark.parametrize("row", DONE, ids=lambda row: str(row.number))
def test_every_row_is_carried_out(row: Row) -> None:
    """An attack and a control for each row, or the reason why there is none."""
    kinds = {mark.kind for mark in marked() if mark.number == row.number}
    if row.verdict is Verdict.ELSEWHERE:
        assert row.note
        return
    assert "attack" in kinds
    assert "control" in kinds or row.no_control
    assert row.note or row.verdict not in {Verdict.NOTICED, Verdict.UNSTOPPABLE}
