"""Run the command: in this process, to be quick, or as a process of its own, to be sure."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import keyring
from keyring.backends.fail import Keyring as _NoKeyring

from coffret.cli.program import run
from coffret.testing import cheap

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "canary passphrase of the owner"
SCRIPT = "from coffret.cli import main; from coffret.testing import cheap; main(ambient=cheap())"
_names = count(1)


def no_keyring() -> None:
    """Let no test touch the keyring of the machine."""
    keyring.set_keyring(_NoKeyring())  # type: ignore[no-untyped-call]  # the library has no types


class Ran(NamedTuple):
    """What a run left behind."""

    code: int
    out: str
    err: str

    def data(self) -> Any:
        """Standard output, which is JSON."""
        return json.loads(self.out)

    def error(self) -> dict[str, Any]:
        """The error on standard error, which is JSON."""
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return found


class Cli:
    """One person's command line: a home, and a file with the passphrase."""

    def __init__(self, home: Path) -> None:
        """Keep everything below ``home``."""
        self.home = home
        self.passphrase = home / "passphrase"
        home.mkdir(parents=True, exist_ok=True)
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.passphrase.chmod(0o600)
        keep = {name: value for name, value in os.environ.items() if not name.startswith("COFFRET")}
        keep.pop("XDG_RUNTIME_DIR", None)
        self.environment = {
            **keep,
            "COFFRET_HOME": str(home),
            "COFFRET_PASSPHRASE_FILE": str(self.passphrase),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        self.seen: list[str] = []

    def __call__(self, *words: str, stdin: str = "", code: int = 0, **more: str) -> Ran:
        """Run in this process; ``code`` is the exit code it must have."""
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe"]
        taken = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
        no_keyring()
        with (
            patch.dict(os.environ, {**self.environment, **more}, clear=True),
            patch.object(sys, "stdin", taken),
            redirect_stdout(streams[0]),
            redirect_stderr(streams[1]),
        ):
            result = run(words, ambient=cheap())
        out, err = (stream.detach().getvalue().decode() for stream in streams)
        return self._seen(Ran(result, out, err), code, words)

    def process(self, *words: str, stdin: str = "", code: int = 0, **more: str) -> Ran:
        """Run as a process, as a person does."""
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-W", "error", "-c", SCRIPT, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**self.environment, **more},
        )
        return self._seen(Ran(done.returncode, done.stdout, done.stderr), code, words)

    def _seen(self, ran: Ran, code: int, words: tuple[str, ...]) -> Ran:
        self.seen += [ran.out, ran.err]
        assert ran.code == code, (words, ran)
        return ran

    def init(self, url: str, username: str) -> str:
        """Make a vault, and give its recovery kit's text."""
        found = self("init", "--server", url, "--username", username, "--json").data()
        kit: str = found["recovery_kit"]
        return kit


def new_name(what: str) -> str:
    """A username that no other test of this process has, whose server is of this process."""
    return f"{what}.{next(_names)}"


def code_in(kit: str, prefix: str) -> str:
    """The Secret Key (``CF1``) or the recovery code (``CR1``) on a kit."""
    return next(word for word in kit.split() if word.startswith(prefix + "-"))
