"""The README's Python, run as it stands against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coffret.testing import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8440"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for the README's address to mean."""
    with Server() as running:
        yield running


def test_the_examples_of_the_readme_run(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The README's Python blocks, one after another, do what the text around them says."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.replace(ADDRESS, server.url), "README.md", "exec"), names)  # noqa: S102 - our own README
    shown = capsys.readouterr().out
    assert "Recovery code" in shown
    assert "octopus" in shown
    for name in ("app", "vault"):
        names[name].close()  # type: ignore[attr-defined]
