"""What README and guides say to type is what there is to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from coffret.cli.program import build

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md")))
_BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def said(page: Path) -> list[list[str]]:
    """The words of each line of a page's examples that begins with ``coffret``."""
    lines = "".join(_BLOCK.findall(page.read_text(encoding="utf-8"))).splitlines()
    told = [line.partition(" > ")[0] for line in lines if line.startswith("coffret ")]
    return [shlex.split(line, comments=True)[1:] for line in told]


def understood(words: list[str]) -> None:
    """Parse a command line as the program does, and do nothing of it."""
    root: Any = typer.main.get_command(build())
    with root.make_context("coffret", list(words)) as context:
        rest = [*context._protected_args, *context.args]
        name, command, left = root.resolve_command(context, rest)
        command.make_context(name, left, parent=context).close()


@pytest.mark.parametrize("words", [line for page in PAGES for line in said(page)], ids=" ".join)
def test_what_the_pages_say_can_be_typed(words: list[str]) -> None:
    """Each command of an example is there, and takes the words and options that stand behind it."""
    understood(words)


def test_the_pages_are_looked_through() -> None:
    """README, the guide of the command line and the one for operators all have examples."""
    assert [bool(said(page)) for page in PAGES] == [
        page.name in {"README.md", "cli.md", "server.md"} for page in PAGES
    ]


@pytest.mark.parametrize("words", ["serch octopus", "search octopus --fast", "accept", "init ana"])
def test_what_cannot_be_typed_is_noticed(words: str) -> None:
    """Control: a command, an option, a missing word and one too many are found."""
    with pytest.raises(Exception, match=r"(?i)no such|missing|unexpected") as raised:
        understood(words.split())
    assert "UsageError" in {kind.__name__ for kind in type(raised.value).__mro__}
