"""Files and pipes that are to be a recovery kit or a head: no more is read than one can have."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli

if TYPE_CHECKING:
    from pathlib import Path

LONG = " " * (2 << 20)


@pytest.mark.parametrize("words", [("confirm",), ("recover", "--kit")])
def test_a_file_that_is_too_long_is_not_read_whole(tmp_path: Path, words: tuple[str, ...]) -> None:
    """What somebody sent as a kit or a receipt takes no memory that it cannot be worth."""
    cli, file = Cli(tmp_path / "home"), tmp_path / "long.txt"
    file.write_text(LONG)
    assert "too long" in cli(*words, str(file), code=2).err


def test_standard_input_is_bounded_and_has_to_be_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no text are refused as those of a file are, and so is what goes on and on."""
    cli = Cli(tmp_path / "home")
    assert "too long" in cli("confirm", "-", stdin=LONG, code=2).err
    piped = SimpleNamespace(stdin=io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"))
    monkeypatch.setattr("coffret.cli.commands.entering.sys", piped)
    assert "standard input cannot be read" in cli("confirm", code=2).err.lower()
