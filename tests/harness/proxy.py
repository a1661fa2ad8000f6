"""A proxy on loopback that cuts, repeats, delays and reorders what goes through it."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx

from coffret.connection import Sockets
from coffret.http1 import Address, Outgoing

if TYPE_CHECKING:
    from types import TracebackType

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"
_PATIENCE = 20.0


@dataclass(frozen=True)
class Fault:
    """What befalls one exchange; nothing, unless told.

    Attributes:
        request: the part of the request that reaches the server before both ends are closed:
            below 0 so many bytes are missing, below 1 a share of the body, else bytes.
        answer: the same for the answer and the caller.
        twice: the server gets the request twice, and the second answer counts.
        late: the server gets the request once more, after the exchange that follows.
        delay: seconds for which the answer is held back.
    """

    request: float | None = None
    answer: float | None = None
    twice: bool = False
    late: bool = False
    delay: float = 0.0


class Proxy:
    """Stands between one caller and a server; `faults` befall the exchanges to come, in order."""

    def __init__(self, url: str) -> None:
        """Stand before the server at ``url``."""
        self.faults: list[Fault] = []
        self.exchanges = 0
        self._server = (httpx.URL(url).host, httpx.URL(url).port)
        self._late: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(_PATIENCE)

    def transport(self) -> httpx.BaseTransport:
        """A network in which the server's address leads here."""
        return _Ours(self.port)

    def async_transport(self) -> httpx.AsyncBaseTransport:
        """The same for asyncio."""
        return _Aside(self.transport())

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(self._server, _PATIENCE) as server, suppress(OSError):
            while (request := _message(caller)) and self._exchange(request, caller, server):
                pass

    def _exchange(self, request: bytes, caller: socket.socket, server: socket.socket) -> bool:
        """One request and its answer; whether the connection goes on."""
        fault = self.faults.pop(0) if self.faults else Fault()
        self.exchanges += 1
        if fault.request is not None:
            server.sendall(_cut(request, fault.request))
            return False
        if fault.twice:
            self._alone(request)
        server.sendall(request)
        answer = _message(server)
        late, self._late = self._late, [request] if fault.late else []
        for earlier in late:
            self._alone(earlier)
        time.sleep(fault.delay)
        caller.sendall(answer if fault.answer is None else _cut(answer, fault.answer))
        return fault.answer is None and bool(answer)

    def _alone(self, request: bytes) -> None:
        """A request on a connection of its own, whose answer nobody gets."""
        with socket.create_connection(self._server, _PATIENCE) as server:
            server.sendall(request)
            _message(server)


class _Ours(httpx.BaseTransport):
    """The connection that devices use, to one port of this machine, whatever the address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets = Sockets(None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        authority, target = url.netloc.decode("ascii"), url.raw_path.decode("ascii")
        address = Address("http", "127.0.0.1", self._port, authority, target, url.query)
        headers = dict(request.headers.items())
        found = self._sockets.send(Outgoing(request.method, address, headers, request.read()))
        try:
            return httpx.Response(found.status, headers=found.headers, content=b"".join(found))
        finally:
            found.close()

    def close(self) -> None:
        self._sockets.close()


class _Aside(httpx.AsyncBaseTransport):
    """A network that is waited for in a thread."""

    def __init__(self, network: httpx.BaseTransport) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        found = await asyncio.to_thread(self._network.handle_request, request)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    async def aclose(self) -> None:
        self._network.close()


def _cut(message: bytes, where: float) -> bytes:
    if where < 0:
        return message[: int(where)]
    if where >= 1 or where == 0:
        return message[: int(where)]
    body = message.index(_END) + len(_END)
    return message[: body + int((len(message) - body) * where)]


def _message(source: socket.socket) -> bytes:
    """One HTTP message with the length that it says; empty when there is none any more."""
    source.settimeout(_PATIENCE)
    data = b""
    while _END not in data:
        part = source.recv(65_536)
        if not part:
            return b""
        data += part
    end = data.index(_END)
    said = _LENGTH.search(data[:end])
    whole = end + len(_END) + (int(said[1]) if said else 0)
    while len(data) < whole:
        part = source.recv(65_536)
        if not part:
            return b""
        data += part
    return data
