"""What ``--json`` gives, as the guide has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cli_harness import new_name

if TYPE_CHECKING:
    from cli_harness import Cli

GUIDE = Path(__file__).parents[2] / "docs/guides/cli.md"
OBJECTS = ("status", "settings", "sync", "doctor", "server-view", "rotate", "lock")


def test_lists_are_arrays_and_all_else_is_an_object(cli: Cli, url: str) -> None:
    """Every command of an owner that needs no argument gives what the guide says it gives."""
    named = re.search(
        r"^Lists \((.*?)\) are arrays; all else is an$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    assert named is not None
    arrays = [name for name in re.findall("`([^`]+)`", named[1]) if not name.startswith("app ")]
    cli.init(url, new_name("json"))
    made = cli("remember", "x", "--json").data()
    for name in arrays:
        words = [name, made["id"]] if name == "history" else [name]
        assert isinstance(cli(*words, "--json").data(), list), name
    for name in OBJECTS:
        assert isinstance(cli(name, "--json").data(), dict), name
    assert "unkept" in arrays
