"""Run a server: Coffret's own, as a process of its own, since the two share no code."""

import importlib.util
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.private import private_folder
from coffret_vault.errors import NotFoundError

if TYPE_CHECKING:
    from types import FrameType

_FORWARDED = ("SIGTERM", "SIGHUP")


def serve(
    context: typer.Context,
    *,
    database: Annotated[
        str | None,
        typer.Option(help="sqlite:///file, or set COFFRET_DATABASE where it has a password."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8440,
    origin: Annotated[
        list[str] | None, typer.Option(help="The address devices use; may be repeated.")
    ] = None,
    trust_forwarded: Annotated[
        bool, typer.Option("--trust-forwarded", help="Behind a proxy of yours only.")
    ] = False,
) -> None:
    """Run a server. It needs the package coffret-server."""
    desk = desk_of(context)
    if importlib.util.find_spec("coffret_server") is None:
        message = "the server is not installed here"
        raise NotFoundError(message, hint="Run pip install coffret-server.")
    words = [sys.executable, "-P", "-m", "coffret_server", "serve"]
    words += ["--host", host, "--port", str(port)]
    words += [word for name in origin or () for word in ("--origin", name)]
    words += ["--trust-forwarded"] if trust_forwarded else []
    code = _run(words, _environment(desk, database))
    if code:
        raise typer.Exit(code)


def _environment(desk: Desk, database: str | None) -> dict[str, str]:
    """The server's environment: a database's address may hold a password, so it is no argument."""
    environment = dict(desk.environment)
    if database is not None:
        environment["COFFRET_DATABASE"] = database
    elif "COFFRET_DATABASE" not in environment:
        path = desk.places.server_database()
        private_folder(path.parent)
        environment["COFFRET_DATABASE"] = f"sqlite:///{path}"
    return environment


def _run(words: list[str], environment: dict[str, str]) -> int:
    """Run the server to its end; what tells us to end tells it too."""
    process = subprocess.Popen(words, env=environment)  # noqa: S603 - this interpreter, our server

    def forward(number: int, _frame: "FrameType | None") -> None:
        process.send_signal(number)

    before = {
        number: signal.signal(number, forward)
        for name in _FORWARDED
        if (number := getattr(signal, name, None)) is not None
    }
    try:
        return _wait(process)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The terminal told the server as well: let it finish what it is doing.
            if not os.isatty(0):
                process.send_signal(signal.SIGINT)
            continue
        return code if code >= 0 else 128 - code
