"""An answer's head and body in one packet.

Uvicorn writes them one after the other, and with Nagle's algorithm off (as it has to be) each is a
system call here, a packet, and a wake-up of whoever waits for it: of a small answer, half the time.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

_ENOUGH: Final = 2
"""The head, and the first part of a body."""


class JoiningTransport:
    """A transport that holds back what is written until something else is, or the loop turns."""

    def __init__(self, inner: "asyncio.Transport", loop: "asyncio.AbstractEventLoop") -> None:
        self._inner = inner
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Send this soon, with what else is written in this turn of the loop."""
        self._held.append(data)
        if len(self._held) == _ENOUGH:
            self._flush()
        else:
            self._loop.call_soon(self._flush)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send these in order."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._inner.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._inner.writelines(held)


class JoinedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, writing the head of an answer together with its body."""

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]
        """Begin on a transport that joins."""
        super().connection_made(cast("asyncio.Transport", JoiningTransport(transport, self.loop)))
