"""SECURITY.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| \d+ \|[^|]*\|(?P<tests>[^|]*)\|$", re.MULTILINE)
_PATH = re.compile(r"`([a-z_]+/[^`]*)`")


def _rows() -> list[list[str]]:
    """The paths in the last cell of each guarantee."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    part = text.partition("\n## Guarantees\n")[2].partition("\n## ")[0]
    return [_PATH.findall(row["tests"]) for row in _ROW.finditer(part)]


@pytest.mark.parametrize("path", sorted({path for row in _rows() for path in row}))
def test_what_shows_a_guarantee_is_there(path: str) -> None:
    """Every path that a guarantee names is a file of tests, vectors, or a folder with such."""
    found = ROOT / "tests" / path
    assert found.is_file() or any(found.glob("**/*.py"))


def test_every_guarantee_names_what_shows_it() -> None:
    """No row of the table is without a path, and none is missed here."""
    rows = _rows()
    assert len(rows) > 30
    assert all(rows)
