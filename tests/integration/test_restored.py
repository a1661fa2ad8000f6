"""A server that was restored from an older copy, as docs/guides/server.md says it is dealt with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli, code_in
from server.process import a_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def port() -> Iterator[str]:
    """The port of a server that is stopped and started again."""
    with a_port() as found:
        yield found


def _put(source: Path, to: Path) -> None:
    """Have the database of one folder in another, and nothing of what was there."""
    to.mkdir(exist_ok=True)
    for old in to.glob("a.db*"):
        old.unlink()
    for found in source.glob("a.db*"):
        shutil.copy(found, to)


def test_what_the_copy_lost_comes_back_from_a_device(tmp_path: Path, port: str) -> None:
    """The device refuses the copy, exports all it has, and a new place on the copy takes it in.

    What was said while the server was away is on the device alone, and is no exception.
    """
    server, backup = tmp_path / "server", tmp_path / "backup"
    server.mkdir()
    person = Cli(tmp_path / "ada")
    with serving(server, "--port", port) as running:
        url = running.address
        kit = person.init(url, "ada")
        person("remember", "what the copy has")
    _put(server, backup)
    with serving(server, "--port", port):
        person("remember", "what the copy lost")
    person("remember", "what was said meanwhile", code=10)
    _put(backup, server)
    (tmp_path / "kit").write_text(kit)
    (tmp_path / "key").write_text(code_in(kit, "CF1") + "\n")
    (tmp_path / "key").chmod(0o600)
    with serving(server, "--port", port):
        person("sync", code=5)
        told = person("export", str(tmp_path / "everything.jsonl"))
        assert ("Exported 3 memories" in told.out, "not in it" in told.err) == (True, False)
        new = ("--vault", "restored")
        key = str(tmp_path / "key")
        words = ("login", "--server", url, "--username", "ada")
        person(*new, *words, COFFRET_SECRET_KEY_FILE=key)
        person(*new, "confirm", str(tmp_path / "kit"))
        assert "lost" not in person(*new, "export", "-").out
        person(*new, "import", str(tmp_path / "everything.jsonl"))
        found = person(*new, "export", "-").out
        for said in ("what the copy has", "what the copy lost", "what was said meanwhile"):
            assert found.count(said) == 1
        person(*new, "sync")


def test_what_is_said_to_the_copy_is_said_to_wait(tmp_path: Path, port: str) -> None:
    """It was begun before the copy was found out: its owner is told where it is, and exports it."""
    server, backup = tmp_path / "server", tmp_path / "backup"
    server.mkdir()
    person = Cli(tmp_path / "ada")
    with serving(server, "--port", port) as running:
        person.init(running.address, "ada")
    _put(server, backup)
    with serving(server, "--port", port):
        person("remember", "what the copy lost")
    _put(backup, server)
    with serving(server, "--port", port):
        refused = person("remember", "what was said to the copy", code=5)
        assert "kept on this device" in refused.err
        assert "kept on this device" not in person("sync", code=5).err
        assert "what was said to the copy" in person("export", "-").out


def test_an_app_goes_on_with_a_copy_when_its_developer_says_so(tmp_path: Path, port: str) -> None:
    """It refuses the shorter log until it is told, with a yes, that the owner knows of it."""
    server, backup = tmp_path / "server", tmp_path / "backup"
    server.mkdir()
    owner, app = Cli(tmp_path / "ada"), Cli(tmp_path / "app")
    with serving(server, "--port", port) as running:
        url = running.address
        owner.init(url, "ada")
        owner("remember", "what the copy has", "-t", "travel")
        to = ("--server", url, "--key-file", str(tmp_path / "developer.key"))
        app("app", "register-developer", "--name", "Dev", "--contact", "dev@example.org", *to)
        app("app", "register", "--name", "Planner", "--homepage", "https://planner.example", *to)
        asking = (
            "--purpose",
            "trips",
            "--scope",
            "read",
            "--tag",
            "travel",
            "--standing",
            "--json",
        )
        request = app("app", "request", "ada", *asking).data()["request_id"]
        owner("approve", request, "--yes", "--words", app("app", "words").out.strip(), "--standing")
        app("app", "list")
    _put(server, backup)
    with serving(server, "--port", port):
        owner("remember", "what the copy lost", "-t", "travel")
        assert len(app("app", "list", "--json").data()) == 2
    _put(backup, server)
    with serving(server, "--port", port):
        app("app", "list", code=5)
        app("app", "forget-log", request, code=2)
        app("app", "list", code=5)
        app("app", "forget-log", request, "--yes")
        assert len(app("app", "list", "--json").data()) == 1
