"""Imports on the command line: listed, and taken back once somebody has said yes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import new_name

if TYPE_CHECKING:
    from pathlib import Path

    from cli_harness import Cli


@pytest.fixture
def owner(cli: Cli, url: str, tmp_path: Path) -> Cli:
    """A person's command line with a vault, and two notes imported, one of them changed."""
    cli.init(url, new_name("undoing"))
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a", "b"):
        (notes / f"{name}.md").write_text(f"# {name}\n\ntext of {name}\n")
    assert "coffret undo-import" in cli("import", str(notes)).out
    changed = cli("list", "--source", "notes/b.md", "--json").data()[0]["id"]
    cli("edit", changed, "--title", "by hand")
    cli("remember", "not imported")
    return cli


def _titles(owner: Cli) -> set[str]:
    return {memory["title"] for memory in owner("list", "--json").data()}


def test_imports_are_listed(owner: Cli) -> None:
    """With their ids, times, numbers and folders, for people and as JSON."""
    (found,) = owner("imports", "--json").data()
    assert set(found) == {"id", "at", "memories", "changed", "sources"}
    assert (found["memories"], found["changed"], found["sources"]) == (2, 1, ["notes"])
    cells = owner("imports").out.strip().split("\t")
    assert (cells[0], *cells[2:]) == (found["id"][-8:], "2", "1", "notes")


def test_an_import_is_taken_back(owner: Cli, tmp_path: Path) -> None:
    """By the end of its id: what it created goes, and what was changed is named and stays."""
    (found,) = owner("imports", "--json").data()
    end = found["id"][-8:]
    plan = owner("undo-import", end, "--dry-run", "--json").data()
    assert [item["source"] for item in plan["deleted"]] == ["notes/a.md"]
    assert [item["source"] for item in plan["kept"]] == ["notes/b.md"]
    assert "Would delete 1 memory" in owner("undo-import", end, "--dry-run").out
    assert _titles(owner) == {"a", "by hand", ""}
    ran = owner("undo-import", end, "--yes")
    assert ran.out.startswith("Deleted 1 memory.")
    assert "notes/b.md" in ran.out
    assert _titles(owner) == {"by hand", ""}
    assert owner("undo-import", str(tmp_path / "notes"), "--yes", "--json").data() == {
        "deleted": [],
        "kept": plan["kept"],
    }
    assert owner("undo-import", "notes", "--changed", "--yes", "--json").data() == {
        "deleted": plan["kept"],
        "kept": [],
    }
    assert _titles(owner) == {""}
    assert owner("imports", "--json").data() == []
    assert owner("undo-import", end, "--yes", code=6).err.count("imports") == 1


def test_nothing_is_deleted_without_a_yes(owner: Cli) -> None:
    """Where nobody is there to ask it is an error, before the passphrase; a no deletes nothing."""
    assert "--yes" in owner("undo-import", "notes", code=2).err
    with patch("coffret.cli.asking.Asker.interactive", new=True):
        ran = owner("undo-import", "notes", stdin="n\n", code=2)
        assert "notes/a.md" in ran.err
        assert "notes/b.md" in ran.err
        assert _titles(owner) == {"a", "by hand", ""}
        owner("undo-import", "notes", stdin="y\n")
    assert _titles(owner) == {"by hand", ""}


@pytest.mark.parametrize(
    ("which", "code"), [("", 2), ("elsewhere", 6), ("00000000", 6), ("~nobody-here/a", 6)]
)
def test_what_names_no_import_is_an_error(owner: Cli, which: str, code: int) -> None:
    """A blank, a folder that was not imported, and an id that none has."""
    owner("undo-import", which, "--yes", code=code)
    assert _titles(owner) == {"a", "by hand", ""}
