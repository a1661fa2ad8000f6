"""A conversation on the command line: from a file or standard input, again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli_harness import new_name

if TYPE_CHECKING:
    from pathlib import Path

    from cli_harness import Cli

TALK = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "I am allergic to nuts."},
    {"role": "assistant", "content": "Noted."},
]


@pytest.fixture
def owner(cli: Cli, url: str) -> Cli:
    """A person's command line with a vault."""
    cli.init(url, new_name("messages"))
    return cli


def test_a_conversation_is_remembered_and_goes_on(owner: Cli, tmp_path: Path) -> None:
    """A list or an object with messages; what was left out is named; again, only what is new."""
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"model": "x", "messages": TALK}))
    ran = owner("remember-messages", str(path), "--session", "s", "--agent", "helper", "-t", "food")
    assert ran.out.splitlines() == [
        "1 created, 0 updated, 0 unchanged. The conversation is s.",
        "  left out: message 1: machinery, which nobody said",
    ]
    more = json.dumps([*TALK, {"role": "user", "content": "Dinner?"}])
    words = ("remember-messages", "-", "--session", "s", "--agent", "helper", "--json")
    found = owner(*words, stdin=more).data()
    assert (found["created"], found["unchanged"], found["session"]) == (1, 1, "s")
    listed = owner("list", "--label", "agent=helper", "--source", "chat:s", "--json").data()
    assert {memory["content"] for memory in listed} == {
        "Me: I am allergic to nuts.\n\nAssistant: Noted.",
        "Me: Dinner?",
    }
    assert [memory["tags"] for memory in listed] == [[], ["food"]]


@pytest.mark.parametrize(
    "text", ["", "{", "7", '{"messages": 1}', "[]", '["x"]', '[{"role": "user"}]', "[" * 5_000]
)
def test_what_holds_no_messages_is_refused(owner: Cli, tmp_path: Path, text: str) -> None:
    """Before the passphrase is asked for, and with nothing written."""
    path = tmp_path / "talk.json"
    path.write_text(text)
    owner.passphrase.unlink()
    owner("remember-messages", str(path), code=2)
    owner("remember-messages", "-", stdin=text, code=2)


def test_what_cannot_be_read_or_said_is_refused(owner: Cli, tmp_path: Path) -> None:
    """No such file, a folder, and a blank name."""
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK))
    owner("remember-messages", str(tmp_path / "none.json"), code=2)
    owner("remember-messages", str(tmp_path), code=2)
    owner("remember-messages", str(path), "--session", " ", code=2)
    assert owner("list", "--json").data() == []
