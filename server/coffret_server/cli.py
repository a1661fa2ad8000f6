"""The command `coffret-server`: `serve` and `migrate`."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from typing import Final

import uvicorn

from coffret_server.app import create_app
from coffret_server.joined import JoinedProtocol
from coffret_server.lines import BatchedHandler
from coffret_server.settings import Settings
from coffret_server.storage.open import DatabaseError, check, migrate

DEFAULT_DATABASE: Final = "sqlite:///coffret.db"
EXIT_SETTINGS: Final = 2
EXIT_DATABASE: Final = 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("coffret-server", description="The blind server of Coffret.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer requests")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8440, help="0 takes any free port")
    serve.add_argument(
        "--origin",
        action="append",
        help="the origin devices use, as scheme://host[:port]; may be repeated",
    )
    serve.add_argument("--trust-forwarded", action="store_true", default=None)
    bring = commands.add_parser("migrate", help="bring the database's tables up to date")
    for command in (serve, bring):
        command.add_argument("--database", help=f"URL, by default {DEFAULT_DATABASE}")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {
        "database": arguments.database,
        "origins": tuple(getattr(arguments, "origin", None) or ()) or None,
        "trust_forwarded": getattr(arguments, "trust_forwarded", None),
    }
    try:
        return Settings.from_environment(given, default_database=DEFAULT_DATABASE)
    except ValueError as error:
        print(f"coffret-server: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to a person
        raise SystemExit(EXIT_SETTINGS) from None


def _configure_logging() -> None:
    """One JSON line a request on standard output, errors on standard error."""
    lines = logging.Formatter("%(message)s")
    handlers = {
        "access": BatchedHandler(sys.stdout),
        "errors": logging.StreamHandler(sys.stderr),
    }
    for name, handler in handlers.items():
        logger = logging.getLogger(f"coffret_server.{name}")
        handler.setFormatter(lines)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def serve(arguments: argparse.Namespace) -> int:
    """Answer requests until told to stop."""
    settings = _settings(arguments)
    asyncio.run(check(settings.database))
    _configure_logging()
    config = uvicorn.Config(
        "coffret_server.app:create_app",
        host=arguments.host,
        port=arguments.port,
        http=JoinedProtocol,
        access_log=False,
        proxy_headers=False,  # the gate reads them, where the operator says whose word counts
        server_header=False,
        log_config=None,  # its own would close every handler that there is
        log_level="warning",
        timeout_keep_alive=75,
    )
    listening = config.bind_socket()
    listening.listen(config.backlog)
    port = listening.getsockname()[1]
    if not settings.origins:
        settings = settings.with_origins(
            (f"http://{arguments.host}:{port}", f"http://localhost:{port}")
        )
    config.app = create_app(settings)
    print(f"listening on http://{arguments.host}:{port}", flush=True)  # noqa: T201 - what a person waits for
    server = uvicorn.Server(config)
    gc.collect()
    gc.freeze()  # modules stay for good: not to be looked through again with every collection
    server.run(sockets=[listening])
    return 0 if server.started else EXIT_DATABASE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 3 if the database cannot be served.

    Raises:
        SystemExit: with 2, for arguments and settings that are none.
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "serve":
            return serve(arguments)
        asyncio.run(migrate(_settings(arguments).database))
    except DatabaseError as error:
        print(f"coffret-server: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to a person
        return EXIT_DATABASE
    return 0
