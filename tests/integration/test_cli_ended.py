"""A command that is ended from outside leaves no plaintext behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import typer

from cli_harness import SCRIPT as PROGRAM
from cli_harness import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "CANARY of a memory"
# Who runs the tests may ignore it (nohup), and what is ignored stays so in a new process.
_HEARD = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
SCRIPT = _HEARD + PROGRAM
_SLOW = f"""
import time
from coffret import Vault
def export(vault):
    yield b"{SECRET}"
    print("on", flush=True)
    time.sleep(60)
Vault.export = export
{PROGRAM}
"""


@pytest.fixture
def owner(cli: Cli, url: str, tmp_path: Path) -> Cli:
    """A person with a vault."""
    cli.init(url, "ended." + tmp_path.name.replace("_", "-").removeprefix("test-")[:50])
    return cli


def plaintext(folder: Path) -> list[Path]:
    """The files below a folder that hold the memory."""
    return [item for item in folder.rglob("*") if item.is_file() and SECRET in item.read_text()]


@contextmanager
def editing(owner: Cli, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command while a person is in their editor, which lasts for a minute."""
    memory = owner("remember", SECRET, "--json").data()["id"]
    started, editor = folder / "started", folder / "editor"
    editor.write_text(f"#!/bin/sh\ntouch {started}\nexec sleep 60\n")
    editor.chmod(0o700)
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", SCRIPT, "edit", memory],
        env={**owner.environment, "EDITOR": str(editor), "VISUAL": ""},
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        while not started.exists():
            time.sleep(0.02)
        assert plaintext(owner.home / "run")
        yield process


def kill_all_of(process: subprocess.Popen[bytes]) -> None:
    """End a process, and the editor that it started, without a chance to clean up."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()  # until nobody is left who could write there


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["term", "hup"])
def test_an_edit_that_is_ended_leaves_no_plaintext(
    owner: Cli, tmp_path: Path, number: signal.Signals
) -> None:
    """The terminal is closed, or the session ends: the memory is on no disk afterwards."""
    with editing(owner, tmp_path) as process:
        process.send_signal(number)
        _, said = process.communicate()
    assert list((owner.home / "run").glob("edit-*")) == []
    assert process.returncode == 128 + number
    assert b"Traceback" not in said


def test_two_endings_at_once_are_one(owner: Cli, tmp_path: Path) -> None:
    """The end of a session sends both; the second does not cut the cleaning up short."""
    with editing(owner, tmp_path) as process:
        for number in (signal.SIGHUP, signal.SIGTERM) * 3:
            process.send_signal(number)
        process.communicate()
    assert list((owner.home / "run").glob("edit-*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["term", "hup"])
def test_an_export_that_is_ended_leaves_no_plaintext(
    owner: Cli, tmp_path: Path, number: signal.Signals
) -> None:
    """Neither the file nor what was written of it is there."""
    out = tmp_path / "out"
    out.mkdir()
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", _HEARD + _SLOW, "export", str(out / "all.jsonl")],
        env=owner.environment,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        assert list(out.iterdir())
        process.send_signal(number)
    assert list(out.iterdir()) == []
    assert process.returncode == 128 + number


def test_what_is_ignored_stays_ignored(owner: Cli, tmp_path: Path) -> None:
    """Under nohup the terminal's end is no end."""
    nohup = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", nohup + _SLOW, "export", str(tmp_path / "all.jsonl")],
        env=owner.environment,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()


@pytest.mark.parametrize("words", [("lock",), ("status",), ("list",)], ids="".join)
def test_what_a_killed_edit_left_is_removed_by_the_next_command(
    owner: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Nothing could clean up: the doctor names what is left, and the next command removes it."""
    with editing(owner, tmp_path) as process:
        kill_all_of(process)
    (left,) = plaintext(owner.home / "run")
    assert str(left.parent) in owner("doctor", code=1).out
    owner(*words)
    assert plaintext(owner.home / "run") == []
    owner("doctor")


def test_what_is_being_edited_is_no_leftover(owner: Cli, tmp_path: Path) -> None:
    """Neither while its command runs, nor while the editor of one that was killed does."""
    with editing(owner, tmp_path) as process:
        owner("lock")
        owner("doctor")
        assert plaintext(owner.home / "run")
        process.kill()
        process.wait()
        owner("lock")
        assert plaintext(owner.home / "run")
        kill_all_of(process)
    owner("lock")
    assert plaintext(owner.home / "run") == []


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, typer.Abort])
def test_a_command_that_is_stopped_says_so(owner: Cli, stopped: type[BaseException]) -> None:
    """At a question or at work: one word, and the exit code of an interruption."""
    with patch("coffret.vault.Vault.search", side_effect=stopped):
        ran = owner("search", "x", code=130)
    assert (ran.out, ran.err) == ("", "Stopped.\n")
