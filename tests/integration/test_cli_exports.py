"""On the command line: where an export goes, and what it does there."""

from __future__ import annotations

import io
import json
import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from cli_harness import new_name
from coffret.cli.asking import Asker

if TYPE_CHECKING:
    from pathlib import Path

    from cli_harness import Cli

SAID = "seen \x9b31m and \u202eturned \U0001f600"


@pytest.fixture
def owner(cli: Cli, url: str) -> Cli:
    """A person's command line with a vault and a memory in it."""
    cli.init(url, new_name("exports"))
    cli("remember", SAID)
    return cli


def test_a_terminal_acts_on_nothing_of_an_export(
    owner: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is the same JSON in ASCII; a pipe gets it as every export is."""
    shown = io.BytesIO()
    with monkeypatch.context() as patched:
        terminal = SimpleNamespace(isatty=lambda: True, buffer=shown)
        patched.setattr("coffret.cli.commands.moving.sys", SimpleNamespace(stdout=terminal))
        owner("export", "-")
    assert shown.getvalue().isascii()
    piped = owner("export", "-").out
    assert SAID in piped
    lines = [text.splitlines() for text in (shown.getvalue().decode(), piped.replace(SAID, "said"))]
    said, other = ([json.loads(line) for line in each] for each in lines)
    assert said[1].pop("content") == SAID
    assert other[1].pop("content") == "said"
    assert said == other


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names here")
def test_an_export_takes_no_place_but_a_file_s(owner: Cli, tmp_path: Path) -> None:
    """What is no file stays what it is: a pipe, a folder, a device by the name of a link."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(os.devnull)
    for name in ("pipe", "folder", "link"):
        ran = owner("export", str(tmp_path / name), "--force", code=2)
        assert "not a file" in ran.err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_an_export_changes_what_is_here_by_a_yes_alone(
    owner: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote the file may name any memory as its own: what it would change is shown."""
    path, asked = tmp_path / "export.jsonl", list[str]()
    head, line, end = owner("export", "-").out.splitlines()
    forged = json.loads(line) | {"content": "forged", "updated": json.loads(line)["updated"] + 1}
    new = {"key": "other:1", "source": "other", "content": "new"}
    path.write_text("\n".join((head, json.dumps(forged), json.dumps(new), end.replace("1", "2"))))
    refused = owner("import", str(path), code=2)
    assert forged["id"] in refused.err
    assert "--yes" in refused.err
    assert len(owner("list", "--json").data()) == 1

    def text(_asker: Asker, prompt: str, default: str = "") -> str:
        asked.append(prompt)
        return default

    with monkeypatch.context() as patched:
        patched.setattr(Asker, "interactive", property(lambda _self: True))
        patched.setattr(Asker, "text", text)
        told = owner("import", str(path)).out
    assert asked == ["Change 1 memory? [y/N]"]
    assert "1 created, 0 updated, 0 unchanged, 1 skipped." in told
    assert f"skipped {forged['id']}: it stays as it is here" in told
    assert owner("show", forged["id"], "--json").data()["content"] == SAID
    assert owner("import", str(path), "--yes", "--json").data()["updated"] == 1
    assert owner("show", forged["id"], "--json").data()["content"] == "forged"
