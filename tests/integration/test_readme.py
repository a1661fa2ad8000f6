"""The Python of the README and of the guide for apps, run as it stands against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from coffret import Vault
from coffret.testing import Server, cheap

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[2] / "README.md"
APPS = README.parent / "docs" / "guides" / "apps.md"
ADDRESS = "http://127.0.0.1:8440"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for the README's address to mean."""
    with Server() as running:
        yield running


def run(page: Path, url: str = ADDRESS) -> dict[str, Any]:
    """Run the Python blocks of a page, one after another, and give what they named."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.replace(ADDRESS, url), page.name, "exec"), names)  # noqa: S102 - our own pages
    return names


def test_the_test_of_the_guide_for_apps_passes(tmp_path: Path) -> None:
    """What it gives developers as a test of their own is one, and shows what it says."""
    run(APPS)["test_recall"](tmp_path)


def test_the_guides_embedder_asks_the_server_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gives for a served model indexes and answers by that URL alone, through no proxy."""
    asked = []

    def post(
        url: str, json: dict[str, Any], *, trust_env: bool = True, **_: object
    ) -> httpx.Response:
        asked.append((url, trust_env))
        rows = [{"index": at, "embedding": [1.0] * 768} for at in range(len(json["input"]))]
        return httpx.Response(200, json={"data": rows}, request=httpx.Request("POST", url))

    names = run(APPS)
    folder = tmp_path / "ana"
    with Server() as server:
        vault, kit = Vault.create(server.url, "ana", "pw", folder, ambient=cheap())
        vault.remember("Ana likes figs.")
        vault.close()
        monkeypatch.setattr(httpx, "post", post)
        monkeypatch.setattr("coffret.vault.Ambient", cheap)
        again = names["with_another_model"](folder, here=False)
        again.unlock("pw", kit.secret_key_code())
        assert [hit.why for hit in again.search("fruit")] == [("semantic",)]
        again.close()
    assert set(asked) == {("http://127.0.0.1:11434/v1/embeddings", False)}


def test_the_examples_of_the_readme_run(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The README's Python blocks, one after another, do what the text around them says."""
    monkeypatch.chdir(tmp_path)
    names = run(README, server.url)
    shown = capsys.readouterr().out
    assert "Recovery code" in shown
    assert "octopus" in shown
    for name in ("app", "vault"):
        names[name].close()
