"""The command `coffret-server`: `serve`, `migrate`, `quota` and `delete-account`."""

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

import uvicorn

from coffret_server import __version__, deleting, origins
from coffret_server.app import create_app
from coffret_server.joined import JoinedProtocol
from coffret_server.lines import BatchedHandler, Descriptor, PlainFormatter
from coffret_server.quotas import UnknownAccountError, quota
from coffret_server.saying import say
from coffret_server.settings import Settings, unknown_names
from coffret_server.storage.addresses import DatabaseError
from coffret_server.storage.open import Upgrade, check, migrate

DEFAULT_DATABASE: Final = "sqlite:///coffret.db"
EXIT_SETTINGS: Final = 2
EXIT_DATABASE: Final = 3
_HIGHEST_PORT: Final = 65_535
_MOST: Final = 10**18
_BACKLOG: Final = 2_048


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("coffret-server", description="The blind server of Coffret.")
    parser.add_argument("--version", action="version", version=f"coffret-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer requests")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8440, help="0 takes any free port")
    serve.add_argument(
        "--origin",
        action="append",
        help="the origin devices use, as scheme://host[:port]; may be repeated",
    )
    serve.add_argument("--trust-forwarded", action="store_true", default=None)
    bring = commands.add_parser("migrate", help="bring the database's tables up to date")
    asked = commands.add_parser("quota", help="show or change what an account may have")
    asked.add_argument("username")
    asked.add_argument("--memories", type=_count)
    asked.add_argument("--bytes", type=_count)
    delete = commands.add_parser(
        "delete-account", help="delete an account, and all that is kept of it"
    )
    delete.add_argument("username")
    delete.add_argument("--yes", action="store_true", help="do not ask for the name again")
    for command in (serve, bring, asked, delete):
        command.add_argument("--database", help=f"URL, by default {DEFAULT_DATABASE}")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _HIGHEST_PORT):
        message = f"a port is a whole number up to {_HIGHEST_PORT}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST):
        message = f"a quota is a whole number up to {_MOST}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {
        "database": arguments.database,
        "origins": tuple(getattr(arguments, "origin", None) or ()) or None,
        "trust_forwarded": getattr(arguments, "trust_forwarded", None),
    }
    try:
        return Settings.from_environment(given, default_database=DEFAULT_DATABASE)
    except ValueError as error:
        say(str(error))
        raise SystemExit(EXIT_SETTINGS) from None


def _configure_logging() -> None:
    """One JSON line a request on standard output; errors, a line each, on standard error."""
    lines = logging.Formatter("%(message)s")
    errors = Descriptor(sys.stderr.fileno())
    handlers = {
        "access": BatchedHandler(Descriptor(sys.stdout.fileno())),
        "errors": BatchedHandler(errors),
    }
    for name, handler in handlers.items():
        logger = logging.getLogger(f"coffret_server.{name}")
        handler.setFormatter(lines)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    others = BatchedHandler(errors)
    others.setFormatter(PlainFormatter())
    logging.getLogger().addHandler(others)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: FrameType | None) -> None:
    """Write the last lines, and end as whoever is told to; Uvicorn says it again when it is done.

    A process that a signal ends does nothing more by itself.
    """
    signal.signal(number, signal.SIG_DFL)
    logging.shutdown()
    signal.raise_signal(number)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or "there is no such host"
        say(f"--host {host} and --port {port} cannot be listened on: {why}")
        raise SystemExit(EXIT_SETTINGS) from None
    return listening


def serve(arguments: argparse.Namespace) -> int:
    """Answer requests until told to stop."""
    settings = _settings(arguments)
    done = asyncio.run(check(settings.database))
    listening = _listen(arguments.host, arguments.port)
    _configure_logging()
    port = listening.getsockname()[1]
    if not settings.origins:
        settings = settings.with_origins(origins.default_origins(arguments.host, port))
    config = uvicorn.Config(
        create_app(settings),
        http=JoinedProtocol,
        ws="none",  # whatever else is installed here: all of this server is HTTP
        access_log=False,
        proxy_headers=False,  # the gate reads them, where the operator says whose word counts
        server_header=False,
        log_config=None,  # its own would close every handler that there is
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    # First of all that is said: whoever started this reads the address from it.
    print(f"listening on {origins.own_address(arguments.host, port)}", flush=True)  # noqa: T201 - what a person waits for
    _say_state(settings, done)
    server = uvicorn.Server(config)
    gc.collect()
    gc.freeze()  # modules stay for good: not to be looked through again with every collection
    server.run(sockets=[listening])
    return 0 if server.started else EXIT_DATABASE


def _quota(arguments: argparse.Namespace) -> int:
    database, name = _settings(arguments).database, arguments.username
    wanted = quota(database, name, memories=arguments.memories, size=arguments.bytes)
    try:
        say(asyncio.run(wanted))
    except UnknownAccountError:
        say(f"nobody is called {name!a} here")
        return EXIT_SETTINGS
    return 0


def _say_state(settings: Settings, done: Upgrade | None) -> None:
    say(f"devices know this server as {' '.join(settings.origins)}")
    for origin in settings.origins:
        if origins.is_refused_by_devices(origin):
            say(f"devices will not use {origin}: to another machine they speak https alone")
    for name in unknown_names():
        say(f"there is no setting {name}; it is ignored")
    if done is not None:
        say(_told(done))


def _told(done: Upgrade | None) -> str:
    if done is None:
        return "the database's tables are up to date"
    if done.before is None:
        return f"the database was empty: its tables were made, of version {done.after}"
    return f"the database's tables were brought from version {done.before} to {done.after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 3 if the database cannot be served.

    It is 1 if an account that was to be deleted was not.

    Raises:
        SystemExit: with 2, for arguments and settings that are none.
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "serve":
            return serve(arguments)
        if arguments.command == "quota":
            return _quota(arguments)
        if arguments.command == "delete-account":
            return deleting.run(_settings(arguments), arguments.username, yes=arguments.yes)
        say(_told(asyncio.run(migrate(_settings(arguments).database))))
    except DatabaseError as error:
        say(str(error))
        return EXIT_DATABASE
    return 0
