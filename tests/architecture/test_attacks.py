"""The campaign covers every class of attacks, and docs/attacks.md says so."""

from __future__ import annotations

import pytest

from architecture.attacks_table import PAGE, ROWS, files, marked, page
from harness.attacks.row import Row, Verdict


def test_there_is_one_row_for_each_number() -> None:
    """64 rows, in their order, and no mark names another."""
    assert [row.number for row in ROWS] == list(range(1, 65))
    assert {mark.number for mark in marked()} <= {row.number for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_every_row_is_carried_out(row: Row) -> None:
    """An attack and a control for each row, or the reason why there is none."""
    kinds = {mark.kind for mark in marked() if mark.number == row.number}
    if row.verdict is Verdict.ELSEWHERE:
        assert row.note
        return
    assert "attack" in kinds
    assert "control" in kinds or row.no_control
    assert row.note or row.verdict not in {Verdict.NOTICED, Verdict.UNSTOPPABLE}


def test_the_page_is_that_of_the_marks() -> None:
    """docs/attacks.md names every row's tests, and no others.

    ``PYTHONPATH=tests python -m architecture.attacks_table`` writes it anew.
    """
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_campaign_has_every_file_once() -> None:
    """What ``make attacks`` parts among the cores is all that bears a mark, and nothing twice."""
    assert sorted(files()) == sorted({mark.file for mark in marked()})
