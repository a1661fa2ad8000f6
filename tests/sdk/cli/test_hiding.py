"""The memory of the agent and of commands: no core, and no other program of its user looks in."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coffret.cli import agent, hiding

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prctl")

NOBODY = 65_534
_LIMIT = "Max core file size"
_ORDINARY = f"""
import ctypes, os, resource, sys
from coffret.cli.hiding import hide_memory
if os.getuid() == 0:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process of that user begins
"""


def _process(code: str, first: str = "") -> Iterator[Path]:
    """What ``/proc`` says of a process of an ordinary user that has run this and waits."""
    process = subprocess.Popen(  # noqa: S603 - this file's own text
        [
            sys.executable,
            "-c",
            f"{first}\n{_ORDINARY}\n{code}\nprint(1, flush=True)\nsys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        yield Path("/proc") / str(process.pid)


def _limit(entry: Path) -> list[str]:
    (line,) = (x for x in (entry / "limits").read_text().splitlines() if x.startswith(_LIMIT))
    return line.removeprefix(_LIMIT).split()[:2]


def test_a_hidden_process_is_closed_to_its_own_user() -> None:
    """What would show its memory and environment is root's, and a core may have no byte."""
    for entry in _process("hide_memory()"):
        assert {(entry / name).stat().st_uid for name in ("mem", "environ", "maps")} == {0}
        assert _limit(entry) == ["0", "0"]


def test_another_process_is_open_to_its_user() -> None:
    """Control: without it they are the user's own."""
    for entry in _process(""):
        owners = {(entry / name).stat().st_uid for name in ("mem", "environ", "maps")}
        assert owners == {NOBODY if os.getuid() == 0 else os.getuid()}


def test_every_command_is_hidden() -> None:
    """What it opens, and the passphrase, are in its memory as keys are in the agent's."""
    waiting = """
from coffret.cli import main
def run(*_, **__):
    print(1, flush=True)
    sys.stdin.read()
coffret.cli.program.run = run
main([])
"""
    for entry in _process(waiting, "import coffret.cli.program"):
        assert {(entry / name).stat().st_uid for name in ("mem", "environ", "maps")} == {0}
        assert _limit(entry) == ["0", "0"]


def test_a_hidden_process_still_reads_what_it_was_given() -> None:
    """Its own descriptors stay open to it by name: secrets come from ``<(…)`` as before."""
    reads = """
hide_memory()
given, end = os.pipe()
os.write(end, b"on")
with open(f"/dev/fd/{given}", "rb") as again:
    assert again.read(2) == b"on"
"""
    for _ in _process(reads):
        pass


def test_the_agent_hides_before_it_reads_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no moment at which it holds keys and can be looked into."""
    done: list[str] = []
    monkeypatch.setattr(agent, "hide_memory", lambda: done.append("hidden"))

    def stopped(_stream: object) -> None:
        done.append("read")
        raise SystemExit

    monkeypatch.setattr(agent, "read_start", stopped)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        agent.main()
    assert done == ["hidden", "read"]


def test_where_it_cannot_be_had_the_agent_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems nothing is asked of Linux, and nothing fails."""
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _which, to: set_to.append(to))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.platform", "darwin")
        elsewhere.setattr("ctypes.CDLL", None)
        hiding.hide_memory()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("ctypes.CDLL", lambda _: object())  # a C library without it
        hiding.hide_memory()
    assert set_to == [(0, 0)] * 2
