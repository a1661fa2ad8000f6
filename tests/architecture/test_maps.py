"""The maps of the larger folders: who opens one for the first time finds every module on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAPS = {
    "sdk/README.md": "sdk/coffret",
    "sdk/coffret/flows/README.md": "sdk/coffret/flows",
    "server/README.md": "server/coffret_server",
    "vault/README.md": "vault/coffret_vault",
    "vault/coffret_vault/search/README.md": "vault/coffret_vault/search",
}


@pytest.mark.parametrize(("page", "folder"), MAPS.items())
def test_every_module_of_a_folder_is_on_its_map(page: str, folder: str) -> None:
    """A module or package that is there is named, and what is named so in a row is there."""
    there = {
        path.stem
        for path in (ROOT / folder).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    text = re.sub("```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    named = {word.removesuffix(".py").removesuffix("/") for word in re.findall(r"`([^`]+)`", text)}
    assert there - named == set()
    files = {word.removesuffix(".py") for word in re.findall(r"`([a-z_]+\.py)`", text)}
    assert files - there == set()
