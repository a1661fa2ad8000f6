"""The server as its operator runs it: a process, its environment, what it says, how it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 30.0
PROGRAM = (sys.executable, "-m", "coffret_server")
_SAYS = "listening on "


def around(**settings: str) -> dict[str, str]:
    """An environment with these settings of ours alone."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("COFFRET_")}
    return others | {f"COFFRET_{name}": value for name, value in settings.items()}


def told(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(  # noqa: S603 - our own command
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
        env=around() if environment is None else environment,
    )


class Running(NamedTuple):
    """A process that serves."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> list[str]:
        """Lines of standard output."""
        return (self.folder / "out").read_text().splitlines()

    @property
    def err(self) -> list[str]:
        """Lines of standard error."""
        return (self.folder / "err").read_text().splitlines()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.out[0].removeprefix(_SAYS)

    @property
    def place(self) -> tuple[str, int]:
        """The same, as sockets want it."""
        parts = urlsplit(self.address)
        return parts.hostname or "", parts.port or 0


@contextlib.contextmanager
def a_port() -> Iterator[str]:
    """A port on which servers can listen one after another, and which nobody is given in between.

    On Linux a socket that only has an address keeps that from everybody who does not name it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
        if sys.platform != "linux":  # elsewhere it would keep it from the server as well
            held.close()
        yield port


@contextlib.contextmanager
def serving(folder: Path, *words: str, **settings: str) -> Iterator[Running]:
    """A server on SQLite in the folder, or wherever the settings say."""
    environment = around(**({"DATABASE": f"sqlite:///{folder / 'a.db'}"} | settings))
    command = [*PROGRAM, "serve", "--port", "0", *words]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)  # noqa: S603 - our own command
    running = Running(process, folder)
    try:
        until(lambda: bool(running.out) or process.poll() is not None)
        assert running.out, running.err
        httpx.get(f"{running.address}/healthz", timeout=SECONDS)  # it answers from now on
        yield running
    finally:
        process.kill()
        process.wait(SECONDS)


def until(found: Callable[[], bool]) -> None:
    """Wait until a call gives something true."""
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
