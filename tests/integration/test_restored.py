"""A server that was restored from an older copy, as docs/guides/server.md says it is dealt with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cli_harness import Cli, code_in
from server.process import serving

if TYPE_CHECKING:
    from pathlib import Path


def _put(source: Path, to: Path) -> None:
    """Have the database of one folder in another, and nothing of what was there."""
    to.mkdir(exist_ok=True)
    for old in to.glob("a.db*"):
        old.unlink()
    for found in source.glob("a.db*"):
        shutil.copy(found, to)


def test_what_the_copy_lost_comes_back_from_a_device(tmp_path: Path) -> None:
    """The device refuses the copy, exports all it has, and a new place on the copy takes it in."""
    server, backup = tmp_path / "server", tmp_path / "backup"
    server.mkdir()
    person = Cli(tmp_path / "ada")
    with serving(server) as running:
        url, port = running.address, str(running.place[1])
        kit = person.init(url, "ada")
        person("remember", "what the copy has")
    _put(server, backup)
    with serving(server, "--port", port):
        person("remember", "what the copy lost")
    _put(backup, server)
    (tmp_path / "kit").write_text(kit)
    (tmp_path / "key").write_text(code_in(kit, "CF1") + "\n")
    (tmp_path / "key").chmod(0o600)
    with serving(server, "--port", port):
        person("sync", code=5)
        person("export", str(tmp_path / "everything.jsonl"))
        new = ("--vault", "restored")
        key = str(tmp_path / "key")
        words = ("login", "--server", url, "--username", "ada")
        person(*new, *words, COFFRET_SECRET_KEY_FILE=key)
        person(*new, "confirm", str(tmp_path / "kit"))
        assert "lost" not in person(*new, "export", "-").out
        person(*new, "import", str(tmp_path / "everything.jsonl"))
        found = person(*new, "export", "-").out
        assert found.count("what the copy has") == found.count("what the copy lost") == 1
        person(*new, "sync")
