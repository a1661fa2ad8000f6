"""A Coffret server as a process of its own, on a new database, ended by its process id."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SAYS = "listening on "
_START_SECONDS = 30.0
_LIMITS = {
    # One address makes all the requests here; a person makes a few a minute.
    "COFFRET_ACCOUNT_RATE": "1000000000",
    "COFFRET_AUTH_RATE": "1000000",
    "COFFRET_OPEN_RATE": "1000000",
    "COFFRET_REQUEST_RATE": "1000000",
}


@contextmanager
def coffret_server(
    folder: Path, settings: Mapping[str, str] | None = None, database: str = ""
) -> Iterator[str]:
    """The address of a server, durable as it is by default, logging as it does.

    On SQLite in the folder, or on another ``database``, whose tables are made.
    """
    program = [sys.executable, "-m", "coffret_server"]
    if database:
        subprocess.run([*program, "migrate", "--database", database], check=True, timeout=60)  # noqa: S603 - our own interpreter and module
    command = [*program, "serve", "--port", "0"]
    command += ["--database", database or f"sqlite:///{folder / 'server.db'}"]
    log = folder / "server.log"
    with log.open("wb") as output:
        given = os.environ | _LIMITS | dict(settings or {})
        server = subprocess.Popen(command, stdout=output, stderr=output, env=given)  # noqa: S603 - our own interpreter and module
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(20)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        first = log.read_text("utf-8").partition("\n")[0]
        if first.startswith(_SAYS):
            return first.removeprefix(_SAYS)
        time.sleep(0.02)
    message = f"the server did not start: {log.read_text('utf-8')[-500:]}"
    raise RuntimeError(message)
