"""The command line and an editor: what a person wrote is never lost with an error."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import new_name
from coffret.testing import Server

if TYPE_CHECKING:
    from pathlib import Path

    from cli_harness import Cli, Ran

TEXT = "an hour of my words"
LOST = "This was not saved:"


class Desk:
    """A person with a memory, and an editor that writes what a test says."""

    def __init__(self, owner: Cli, url: str, folder: Path) -> None:
        """Make the vault and the memory."""
        self.owner = owner
        self._editor = folder / "editor"
        owner.init(url, new_name("editing"))
        self.id: str = owner("remember", "before", "--title", "T", "--json").data()["id"]

    def __call__(self, script: str, *words: str, code: int = 2) -> Ran:
        """Run a command whose editor is this script."""
        self._editor.write_text(f"#!/bin/sh\n{script}\n")
        self._editor.chmod(0o700)
        return self.owner(*words, code=code, EDITOR=str(self._editor), VISUAL="")

    def nothing_happened(self) -> bool:
        """Whether the vault is as it was, and the editor's file is gone."""
        (memory,) = self.owner("list", "--json").data()
        left = list((self.owner.home / "run").glob("**/*.md"))
        return (memory["content"], memory["version"], left) == ("before", 1, [])


@pytest.fixture
def owner(cli: Cli, url: str) -> Cli:
    """A person's command line with a vault."""
    cli.init(url, new_name("editing"))
    return cli


@pytest.fixture
def desk(cli: Cli, url: str, tmp_path: Path) -> Desk:
    """A person who edits."""
    return Desk(cli, url, tmp_path)


@pytest.mark.parametrize("command", ["edit", "remember"])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f'printf -- "---\\nno colon\\n---\\n{TEXT}" > "$1"', "not readable"),
        (f'printf -- "---\\nimportance: high\\n---\\n{TEXT}" > "$1"', "importance"),
        (f'printf -- "{TEXT}\\377" > "$1"', "UTF-8"),
        (f'echo "{TEXT}" >> "$1"; exit 1', "ended with an error"),
    ],
)
def test_what_cannot_be_read_or_was_left_with_an_error_is_given_back(
    desk: Desk, command: str, script: str, reason: str
) -> None:
    """A form that is none, or an editor that failed after it saved: the text is on the terminal."""
    ran = desk(script, command, *([desk.id] if command == "edit" else []))
    assert ran.err.startswith(LOST)
    assert TEXT in ran.err
    assert reason in ran.err.splitlines()[-1]
    assert desk.nothing_happened()


@pytest.mark.parametrize("command", ["edit", "remember"])
def test_what_the_vault_refuses_is_given_back(desk: Desk, command: str) -> None:
    """So is a form that can be read, where the memory it describes is refused."""
    script = f'sed -i "s/^importance: .*/importance: 7/" "$1"; echo "{TEXT}" >> "$1"'
    ran = desk(script, command, *([desk.id] if command == "edit" else []))
    assert ran.err.startswith(LOST)
    assert TEXT in ran.err
    assert desk.nothing_happened()


def test_a_memory_with_fields_and_no_text_is_given_back(desk: Desk) -> None:
    """Fields without content are no memory, and are not lost for it."""
    ran = desk('sed -i "s/^title: .*/title: My title/" "$1"', "remember")
    assert "title: My title" in ran.err
    assert "the text is empty" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("script", ["exit 1", 'rm "$1"; exit 1', 'rm "$1"', ": > /dev/null"])
def test_nothing_is_given_back_where_nothing_was_written(desk: Desk, script: str) -> None:
    """An editor that failed, removed the file or left it as it was: one line says so."""
    ran = desk(script, "remember", code=9 if script == 'rm "$1"' else 2)
    assert LOST not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert desk.nothing_happened()


@pytest.mark.parametrize("words", [("remember", ""), ("remember", "-"), ("remember", " \n")])
def test_an_empty_text_is_said_to_be_one(desk: Desk, words: tuple[str, ...]) -> None:
    """As an argument and from standard input."""
    assert desk.owner(*words, "--json", code=2).error()["message"] == (
        "there is nothing to remember: the text is empty"
    )


def test_a_forgotten_id_is_said_to_be_one(desk: Desk) -> None:
    """A memory is not remembered again with the id of one that was forgotten."""
    desk.owner("forget", desk.id, "--yes")
    ran = desk.owner("remember", "before", "--id", desk.id, code=7)
    assert "was forgotten, and an id is used once" in ran.err


def test_edit_changes_what_options_name(owner: Cli) -> None:
    """Only what is named changes; a version that moved on, or nonsense, is refused."""
    made = owner("remember", "before", "--title", "T", "-t", "a", "--json").data()
    changed = owner("edit", made["id"], "--content", "-", "--json", stdin="after\n").data()
    assert (changed["content"], changed["title"], changed["version"]) == ("after", "T", 2)
    owner("edit", made["id"], "--importance", "5", code=2)
    owner("edit", "00000000", "--title", "x", code=6)


def test_edit_opens_an_editor_on_a_private_file_that_is_removed(owner: Cli, tmp_path: Path) -> None:
    """The editor sees a 0600 file in a 0700 folder; what it changes is saved; both are gone."""
    made = owner("remember", "before", "--title", "T", "-t", "a", "--json").data()
    editor = tmp_path / "editor"
    editor.write_text(
        "#!/bin/sh\n"
        f'stat -c %a "$1" "$(dirname "$1")" > {tmp_path}/modes\n'
        f'echo "$1" > {tmp_path}/path\n'
        'sed -i -e "s/before/after: yes/" -e "s/\\"T\\"/\\"New\\"/" "$1"\n'
    )
    editor.chmod(0o755)
    changed = owner("edit", made["id"], "--json", EDITOR=str(editor), VISUAL="").data()
    assert (changed["content"], changed["title"], changed["tags"]) == ("after: yes", "New", ["a"])
    assert (tmp_path / "modes").read_text().split() == ["600", "700"]
    assert not list((owner.home / "run").glob("**/*.md"))
    again = owner("edit", made["id"], EDITOR="true", VISUAL="")
    assert "Nothing was changed" in again.out


@pytest.mark.parametrize("command", ["edit", "remember"])
def test_no_editor_is_opened_where_there_is_no_terminal(desk: Desk, command: str) -> None:
    """Piped text without - opens none that nobody named, which would draw into the pipe."""
    words = [command, *([desk.id] if command == "edit" else [])]
    ran = desk.owner(*words, stdin="piped", code=2, EDITOR="", VISUAL="")
    assert "standard input" in ran.err
    assert desk.nothing_happened()


def test_edit_refuses_an_editor_that_fails_and_a_form_that_is_none(
    owner: Cli, tmp_path: Path
) -> None:
    """A missing or failing editor, and a form that cannot be read, change nothing."""
    made = owner("remember", "before", "--json").data()
    owner("edit", made["id"], EDITOR="false", VISUAL="", code=2)
    owner("edit", made["id"], EDITOR="/no/such/editor", VISUAL="", code=2)
    owner("edit", made["id"], EDITOR="vi 'x", VISUAL="", code=2)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf -- '---\\nbogus: 1\\n---\\nx' > \"$1\"\n")
    editor.chmod(0o755)
    assert "bogus" in owner("edit", made["id"], EDITOR=str(editor), VISUAL="", code=2).err
    assert owner("show", made["id"], "--json").data()["version"] == 1
    owner("remember", EDITOR="true", VISUAL="", code=2)


def test_what_is_refused_is_refused_before_it_is_read(cli: Cli) -> None:
    """Where a change waits and no other is taken, no text is read and no editor opened for it."""
    with Server() as server:
        cli.init(server.url, "editing")
        identifier = cli("remember", "before", "--json").data()["id"]
    cli("remember", "waits here", code=10)
    with (
        patch("coffret.cli.asking.Asker.content", side_effect=AssertionError),
        patch("coffret.cli.commands.remembering.edited", side_effect=AssertionError),
    ):
        for words in (("--content", "-"), ()):
            assert "waits" in cli("edit", identifier, *words, stdin=TEXT, code=10).err
    assert "waits here" in cli("unkept").out


@pytest.mark.parametrize("person", [True, False])
def test_what_a_person_gave_on_standard_input_is_given_back(desk: Desk, *, person: bool) -> None:
    """Where it is refused afterwards; but into no log, which a pipeline may write errors to."""
    seen = SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: person))
    given = ("--importance", "7")
    with patch("coffret.cli.editing.sys", seen):
        changed = desk.owner("edit", desk.id, "--content", "-", *given, stdin=TEXT, code=2)
        new = desk.owner("remember", "-", *given, stdin=TEXT, code=2)
    for ran in (changed, new):
        assert (ran.err.startswith(LOST), TEXT in ran.err) == (person, person)
        assert "Importance" in ran.err.splitlines()[-1]
    assert desk.nothing_happened()
