"""On the command line: what a memory said before, and having that back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_harness import PASSPHRASE, Cli, code_in, new_name

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def owner(cli: Cli, url: str) -> Cli:
    """A person's command line with a vault."""
    cli.init(url, new_name("versions"))
    return cli


def written(owner: Cli) -> str:
    """A memory in three versions, of which the last is sealed; its id."""
    said = ("--title", "One", "-t", "travel", "--metadata", "mood=happy")
    identifier: str = owner("remember", "first", *said, "--json").data()["id"]
    owner("edit", identifier, "--content", "second", "--metadata", "mood=sad")
    owner("edit", identifier, "--title", "Three", "--sealed")
    return identifier


def test_every_version_can_be_shown_whole(owner: Cli) -> None:
    """Not its title alone, as a history has it: text, tags and all, and what never was is named."""
    identifier = written(owner)
    assert "\nfirst\n" in owner("show", identifier, "--version", "1").out
    second = owner("show", identifier, "--version", "2", "--json").data()
    assert (second["content"], second["metadata"]) == ("second", {"mood": "sad"})
    assert "version 4" in owner("show", identifier, "--version", "4", code=6).err


def test_an_earlier_version_is_written_again_as_the_newest(owner: Cli) -> None:
    """With all it said; what was sealed since shows nothing again; options go before it."""
    identifier = written(owner)
    again = owner("edit", identifier, "--restore", "1", "--json").data()
    assert (again["content"], again["title"], again["tags"]) == ("first", "One", ["travel"])
    assert (again["version"], again["sealed"], again["metadata"]) == (4, True, {"mood": "happy"})
    shown = owner("edit", identifier, "--restore", "2", "--plain", "--json").data()
    assert (shown["content"], shown["sealed"]) == ("second", False)
    assert "version 9" in owner("edit", identifier, "--restore", "9", code=6).err
    owner("forget", identifier, "--yes")
    owner("edit", identifier, "--restore", "1", code=6)


def test_metadata_and_validity_can_be_said_and_found_and_counted(owner: Cli) -> None:
    """As labels can; a value is a text, which a filter finds like the number it looks like."""
    said = ("--metadata", "year=2024", "--valid-from", "2024-01-01", "--valid-until", "2030-01-01")
    made = owner("remember", "a lease", *said, "--json").data()
    assert (made["metadata"], made["valid_until"]) == ({"year": "2024"}, "2030-01-01T00:00:00Z")
    owner("remember", "something else")
    assert owner("list", "--metadata", "year=2024", "--count").out == "1\n"
    assert owner("list", "--count", "--json").data() == {"count": 2}
    assert "name=value" in owner("remember", "x", "--metadata", "year", code=2).err
    assert "2026-05-31" in owner("remember", "x", "--valid-until", "soon", code=2).err


def test_what_is_written_again_is_no_change_of_the_folder(owner: Cli, tmp_path: Path) -> None:
    """An import that finds its folder as it was leaves it, as it leaves what was changed by hand.

    Nor is it deleted with the import, unasked.
    """
    (tmp_path / "notes").mkdir()
    for text in ("first", "second"):
        (tmp_path / "notes" / "a.md").write_text(text)
        owner("import", str(tmp_path / "notes"))
    (memory,) = owner("list", "--json").data()
    owner("edit", memory["id"], "--restore", "1")
    assert owner("import", str(tmp_path / "notes"), "--json").data()["unchanged"] == 1
    assert owner("show", memory["id"], "--json").data()["content"] == "first"
    assert owner("imports", "--json").data()[0]["changed"] == 1


def test_a_new_device_shows_no_title_for_having_shown_it(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """What is written again seals as any change does there: its owner may have sealed it since."""
    username, device = new_name("new"), Cli(tmp_path / "device")
    kit = cli.init(url, username)
    identifier = cli("remember", "first", "--title", "One", "--json").data()["id"]
    cli("edit", identifier, "--content", "second")
    words = ("login", "--server", url, "--username", username)
    code = f"{PASSPHRASE}\n{code_in(kit, 'CF1')}\n"
    device(*words, stdin=code, COFFRET_PASSPHRASE_FILE="")
    assert device("edit", identifier, "--restore", "1", "--json").data()["sealed"]
