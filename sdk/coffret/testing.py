"""For tests of programs that use Coffret: a real server in this process, and cheap vaults.

Needs the distribution ``coffret-server`` (``pip install coffret[testing]``)::

    with coffret.testing.Server() as server:
        vault, kit = Vault.create(server.url, "ana", "passphrase", tmp_path, ambient=cheap())

The server is the real one, on a loopback port, over a database that is gone when it stops: a
stand-in would be a second opinion about the protocol.
"""

from __future__ import annotations

import socket
import threading
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from coffret.flows.state import Ambient
from coffret_vault.errors import NetworkError
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from coffret.flows.http import Response

_START_SECONDS = 30.0
_GENEROUS = 1_000_000


def cheap() -> Ambient:
    """Real randomness and clock, with passphrases that are hardly stretched. For tests only.

    No app's domain is asked about it: approve with the words that the app shows (``app.words``).
    """
    return Ambient(limits=CHEAPEST_FOR_TESTS, web=_nowhere)


def _nowhere(_host: str) -> Response:
    raise NetworkError


class Server:
    """A Coffret server on a free port of this machine's loopback address."""

    def __init__(
        self, database: str | None = None, *, clock: Callable[[], int] | None = None
    ) -> None:
        """Prepare it; it starts when entered.

        Args:
            database: ``sqlite:///file``, to look at afterwards; None for a temporary file.
            clock: the server's time, microseconds since 1970, to move it; the system's when None.
        """
        self._clock = clock
        self._database = database
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def _start(self) -> None:
        self._folder = TemporaryDirectory(prefix="coffret-testing-")
        try:
            import uvicorn  # noqa: PLC0415 - comes with coffret-server, which only tests need

            from coffret_server.app import create_app  # noqa: PLC0415 - the same
            from coffret_server.services import system_clock  # noqa: PLC0415 - the same
            from coffret_server.settings import Settings  # noqa: PLC0415 - the same
        except ImportError as missing:
            message = "coffret.testing needs the distribution coffret-server: coffret[testing]"
            raise ImportError(message) from missing
        config = uvicorn.Config("", host="127.0.0.1", port=0, log_level="error", access_log=False)
        listening = config.bind_socket()
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = Settings(
            database=self._database or f"sqlite:///{self._folder.name}/server.db",
            origins=(self.url,),
            auth_rate=_GENEROUS,
            open_rate=_GENEROUS,
            account_rate=_GENEROUS,
            request_rate=_GENEROUS,
            failure_rate=_GENEROUS,
            lookup_rate=_GENEROUS,
            login_failures=_GENEROUS,
        )
        config.app = create_app(settings, clock=self._clock or system_clock)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="coffret-server", daemon=True
        )
        self._thread.start()
        self._wait()

    def _wait(self) -> None:
        pause = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self._folder.cleanup()
        message = "the test server did not start"
        raise NetworkError(message)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._folder.cleanup()
