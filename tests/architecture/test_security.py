"""SECURITY.md names tests that there are, and every table that the server has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coffret_server.schema import Base

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| \d+ \|[^|]*\|(?P<tests>[^|]*)\|$", re.MULTILINE)
_PATH = re.compile(r"`([a-z_]+/[^`]*)`")


def _part(title: str) -> str:
    """What stands under a heading."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _rows() -> list[list[str]]:
    """The paths in the last cell of each guarantee."""
    return [_PATH.findall(row["tests"]) for row in _ROW.finditer(_part("Guarantees"))]


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


def test_what_the_server_sees_is_all_that_it_has() -> None:
    """Each table of the server's database is in one row of what it sees, and no other is."""
    rows = [line.split("|") for line in _part("What the server sees").splitlines()]
    named = [name for row in rows if len(row) > 2 for name in re.findall("`([a-z_]+)`", row[2])]
    assert sorted(named) == sorted(table.name for table in Base.metadata.sorted_tables)
