"""The command line: a vault that seals titles, and folders of one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli_harness import Cli, code_in

if TYPE_CHECKING:
    from pathlib import Path


def sealed(cli: Cli) -> list[bool]:
    """Whether each memory is sealed, newest first."""
    return [memory["sealed"] for memory in cli("list", "--json").data()]


def test_a_vault_that_is_made_sealed_seals(cli: Cli, url: str) -> None:
    """``init --sealed`` holds for what is remembered; an option of one command goes before it."""
    cli("init", "--server", url, "--username", "sealedinit", "--sealed")
    assert "sealed" in cli("settings").out
    cli("remember", "one", "--title", "Lisbon")
    cli("remember", "two", "--title", "Porto", "--plain")
    assert sealed(cli) == [False, True]
    assert cli("settings", "--json").data() == {
        "sealed": True,
        "sealed_here": True,
        "memories_shown": 1,
        "memories_sealed": 0,
    }
    assert "1 memory" in cli("settings").out


def test_settings_are_changed_and_what_is_there_is_sealed(cli: Cli, url: str) -> None:
    """``--sealed`` is for what comes, ``--existing`` for what is there, ``--plain`` takes back."""
    cli.init(url, "sealedlater")
    cli("remember", "one", "--title", "Lisbon")
    assert "shown to the server" in cli("settings").out
    said = cli("settings", "--sealed").out
    assert "other devices" in said
    assert "coffret settings --existing" in said
    cli("remember", "two", "--title", "Porto")
    assert sealed(cli) == [True, False]
    said = cli("settings", "--existing").out
    assert "Sealed 1 memory" in said
    assert "older versions" in said
    assert sealed(cli) == [True, True]
    assert cli("settings", "--existing", "--json").data()["memories_sealed"] == 0
    assert cli("settings", "--plain", "--json").data()["sealed"] is False
    assert cli("settings", "--existing", "--json", code=2).error()["code"] == "invalid-input"
    cli("settings", "--plain", "--existing", code=2)
    cli("remember", "three", "--title", "Faro")
    assert sealed(cli)[0] is False


def test_both_at_once(cli: Cli, url: str) -> None:
    """``--sealed --existing`` settles and seals in one command."""
    cli.init(url, "bothatonce")
    cli("remember", "one")
    found = cli("settings", "--sealed", "--existing", "--json").data()
    assert found == {
        "sealed": True, "sealed_here": True, "memories_shown": 0, "memories_sealed": 1
    }  # fmt: skip


def test_a_new_device_says_that_it_seals_until_it_is_confirmed(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """Logged in with no head to compare, it says so; confirmed, it goes by the vault."""
    kit = cli.init(url, "newdevice")
    other = Cli(tmp_path / "other")
    key = other.home / "key"
    key.write_text(code_in(kit, "CF1") + "\n")
    words = ("--server", url, "--username", "newdevice")
    said = other("--secret-key-file", str(key), "login", *words).out
    assert "Until then it keeps titles" in said
    assert "not confirmed" in other("settings").out
    other("remember", "careful", "--title", "Lisbon")
    head = tmp_path / "head.txt"
    head.write_text(cli("status", "--json").data()["head"])
    other("confirm", str(head))
    assert "not confirmed" not in other("settings").out
    other("remember", "open", "--title", "Porto")
    assert sealed(other) == [False, True]


def test_the_editor_shows_what_the_vault_has(cli: Cli, url: str, tmp_path: Path) -> None:
    """A memory written in the editor is as the vault has it, unless the form is changed."""
    cli("init", "--server", url, "--username", "editor", "--sealed")
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\ngrep -q "^sealed: true" "$1" && echo written >> "$1"\n')
    script.chmod(0o700)
    cli("remember", "--title", "Lisbon", EDITOR=str(script))
    script.write_text('#!/bin/sh\nsed -i "s/^sealed: true/sealed: false/" "$1"; echo x >> "$1"\n')
    cli("remember", "--title", "Porto", EDITOR=str(script))
    assert sealed(cli) == [False, True]


def test_an_import_is_sealed_as_the_vault_or_the_option_says(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """In a sealed vault an import is sealed; ``--plain`` and ``--sealed`` are for one import."""
    cli("init", "--server", url, "--username", "sealedimport", "--sealed")
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text("# One\n\ntext")
    two.write_text("# Two\n\ntext")
    cli("import", str(one))
    cli("import", str(two), "--plain")
    assert sorted(sealed(cli)) == [False, True]
    two.write_text("# Two\n\nother text")
    cli("import", str(two))
    assert sealed(cli) == [True, True]


def test_folders_of_one_name_are_kept_apart_and_it_is_said(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """The second folder's memories get a name of their own; ``--as`` says that it is the first."""
    cli.init(url, "twofolders")
    for parent in ("a", "b", "c"):
        (tmp_path / parent / "notes").mkdir(parents=True)
        (tmp_path / parent / "notes" / "todo.md").write_text(f"for {parent}")
    places = [str(tmp_path / parent / "notes") for parent in ("a", "b", "c")]
    assert "called" not in cli("import", places[0]).out
    said = cli("import", places[1]).out
    assert "1 created, 0 updated" in said
    assert f"{places[1]} is called notes (2) here" in said
    assert "--as notes" in said
    report = cli("import", places[2], "--as", "notes", "--json").data()
    assert (report["created"], report["updated"]) == (0, 1)
    assert report["folders"] == [{"place": places[2], "name": "notes", "namespace": "notes"}]
    assert "one folder" in cli("import", *places, "--as", "notes", code=2).err
