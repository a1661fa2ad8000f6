"""Unlock on the command line: again, and where nobody is there to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import code_in, new_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli_harness import Cli


@pytest.fixture
def owner(cli: Cli, url: str) -> Iterator[Cli]:
    """A person's command line with a vault, whose agent is ended afterwards."""
    cli.init(url, new_name("unlocking"))
    yield cli
    cli("lock")


def test_unlocking_again_leaves_no_session_behind(owner: Cli) -> None:
    """The list of devices has each once, however often it is unlocked; a wrong try ends nothing."""
    owner.process("unlock")
    owner("sync", COFFRET_PASSPHRASE_FILE="")
    before = owner("sessions", "--json", COFFRET_PASSPHRASE_FILE="").data()
    owner.process("unlock", "--for", "20m")
    after = owner("sessions", "--json", COFFRET_PASSPHRASE_FILE="").data()
    assert len(after) == len(before)
    ended = [item["session_id"] for item in before if item["current"]]
    assert ended
    assert not {item["session_id"] for item in after} & set(ended)
    owner("unlock", stdin="wrong\n", code=4, COFFRET_PASSPHRASE_FILE="")
    assert not owner("status", "--json").data()["locked"]


def test_nobody_there_to_say_a_secret_is_said(owner: Cli) -> None:
    """A script that gives no passphrase is told so, and how to, not that it gave an empty one."""
    ran = owner("list", code=2, COFFRET_PASSPHRASE_FILE="")
    assert "the passphrase is needed, and nobody is there to ask" in ran.err.lower()
    assert "COFFRET_PASSPHRASE_FILE" in ran.err
    assert "is empty" in owner("list", stdin="\n", code=2, COFFRET_PASSPHRASE_FILE="").err


def test_a_mistyped_secret_key_is_asked_for_again(cli: Cli, url: str) -> None:
    """Where it is not kept, every command asks for it; a slip of the finger does not end one."""
    words = ("--username", new_name("typing"), "--secret-key-store", "none")
    key = code_in(cli("init", "--server", url, *words).out, "CF1")
    typed = [key[:-1] + ("0" if key[-1] != "0" else "1"), key]
    with (
        patch("coffret.cli.asking.Asker.interactive", new=True),
        patch("coffret.cli.asking.getpass", side_effect=typed),
    ):
        assert "Once more:" in cli("list").err
    assert "typing mistake" in cli("list", stdin=f"{typed[0]}\n{key}\n", code=2).err
