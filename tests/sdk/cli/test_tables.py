"""Tables, as wide as the terminal is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from rich.cells import cell_len

from coffret.cli.showing import one_line
from coffret.cli.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLES = ("ID", "CHANGED", "TYPE", "TITLE", "TAGS")
ROW = ("1fc0c14e", "2026-11-23 02:30", "contextual", "A snowman with the kids", "family, winter")
LONG = ("1fc0c14e", "2026-11-23 02:30", "contextual", "n" * 200, "")


def _shown(
    capsys: pytest.CaptureFixture[str], width: int, *rows: Sequence[str]
) -> tuple[list[str], str]:
    """The lines of a table on a terminal of this width, and what is remarked."""
    size = {"COLUMNS": str(width), "LINES": "40", "TERM": "dumb"}
    with patch.dict(os.environ, size), patch.object(sys.stdout, "isatty", lambda: True):
        Writer().table(TITLES, rows)
    out, err = capsys.readouterr()
    assert all(len(line) <= width for line in out.splitlines())
    return [line.rstrip() for line in out.splitlines()], err


@pytest.mark.parametrize("width", [20, 30, 40, 50, 60, 80, 120])
def test_an_id_stays_whole_on_any_terminal(capsys: pytest.CaptureFixture[str], width: int) -> None:
    """It can be copied, however narrow the terminal and however long the words beside it are."""
    lines, _ = _shown(capsys, width, ROW, LONG)
    assert sum("1fc0c14e" in line for line in lines) == 2


def test_a_narrow_terminal_has_the_cells_below_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where columns would tear every word, each cell is named in a line of its own."""
    lines, _ = _shown(capsys, 40, ROW)
    assert lines == [
        "ID       1fc0c14e",
        "CHANGED  2026-11-23 02:30",
        "TYPE     contextual",
        "TITLE    A snowman with the kids",
        "TAGS     family, winter",
        "",
    ]


@pytest.mark.attack(36)
@pytest.mark.parametrize("filler", ["-", " ", "\u3164", "\u2800", "word ", "\u65c5"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_row_of_an_apps_text_looks_like_one_of_ours(
    capsys: pytest.CaptureFixture[str], width: int, filler: str
) -> None:
    """Whatever an app fills a row with, what comes behind it begins where no name does."""
    lie = "How long:     1 hour"
    for length in range(width):
        text = one_line((filler * width)[:length] + lie)
        size = {"COLUMNS": str(width), "LINES": "40", "TERM": "dumb"}
        with patch.dict(os.environ, size), patch.object(sys.stderr, "isatty", lambda: True):
            Writer().notes([("What for", text), ("How long", "30 days"), ("", "(for long)")])
        rows = capsys.readouterr().err.splitlines()
        assert [row[:10] for row in rows if not row.startswith(" " * 14)] == [
            "What for: ",
            "How long: ",
        ]
        assert all(cell_len(row.rstrip()) <= width for row in rows)
        assert [row.strip() for row in rows if "30 days" in row] == ["How long:     30 days"]
        assert rows[-1].strip() == "(for long)"


def test_a_table_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A person is told that there are none; a pipe gets nothing at all."""
    assert _shown(capsys, 80) == ([], "There are none.\n")
    Writer().table(TITLES, ())
    assert capsys.readouterr() == ("", "")
