"""Connections: httpcore's pools, or a transport of httpx where one is given or a proxy is between.

httpx's transports hand each request on to httpcore, and each answer back, in a form of their own:
that takes longer than to seal a memory, so between this device and its server httpcore is used as
it is. Everything above it (redirects, cookies, credentials from files, decoding) is left out on
purpose: see ``coffret.transport``.

A request's head and body leave in one packet. httpcore writes them one after the other, which costs
a system call here, and wakes the server twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpx.HTTPError,
)
TIMEOUTS = (httpcore.TimeoutException, httpx.TimeoutException)
_KEPT_SECONDS = 5.0

_Options = Any  # socket options, as httpcore's backends hand them on


def headers_of(answer: httpcore.Response) -> dict[str, str]:
    """An answer's headers by their names in small letters; what comes twice is joined."""
    found: dict[str, str] = {}
    for name, value in answer.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


class Connection(Protocol):
    """Where requests go, one after another."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; the answer's body is still to be read."""
        ...

    def close(self) -> None:
        """Let go of the network."""
        ...


class AsyncConnection(Protocol):
    """The same for asyncio."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; the answer's body is still to be read."""
        ...

    async def aclose(self) -> None:
        """Let go of the network."""
        ...


def connect(origin: str, proxy: str | None, given: httpx.BaseTransport | None) -> Connection:
    """A connection to an origin, made when the first request goes out."""
    if given is not None or proxy is not None:
        return _Through(given or httpx.HTTPTransport(proxy=proxy))
    return httpcore.ConnectionPool(
        ssl_context=_context(origin), keepalive_expiry=_KEPT_SECONDS, network_backend=_Backend()
    )


def connect_async(
    origin: str, proxy: str | None, given: httpx.AsyncBaseTransport | None
) -> AsyncConnection:
    """The same for asyncio."""
    if given is not None or proxy is not None:
        return _AsyncThrough(given or httpx.AsyncHTTPTransport(proxy=proxy))
    return httpcore.AsyncConnectionPool(
        ssl_context=_context(origin),
        keepalive_expiry=_KEPT_SECONDS,
        network_backend=_AsyncBackend(),
    )


def _context(origin: str) -> ssl.SSLContext | None:
    """What certificates are trusted, as httpx has it; reading them takes a while."""
    return httpx.create_ssl_context() if origin.startswith("https://") else None


class _Through:
    """A transport of httpx behind the interface of httpcore."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        answer = self._transport.handle_request(_as_httpx(request))
        return _as_httpcore(answer)

    def close(self) -> None:
        self._transport.close()


class _AsyncThrough:
    """The same for asyncio."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        answer = await self._transport.handle_async_request(_as_httpx(request))
        return _as_httpcore(answer)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _as_httpx(request: httpcore.Request) -> httpx.Request:
    body: Any = request.stream
    if hasattr(body, "__iter__") and hasattr(body, "__aiter__"):  # it is whole, not made meanwhile
        body = b"".join(body)
    return httpx.Request(
        request.method.decode("ascii"),
        httpx.URL(bytes(request.url).decode("ascii")),
        headers=request.headers,
        content=body,
        extensions=request.extensions,
    )


def _as_httpcore(answer: httpx.Response) -> httpcore.Response:
    # A transport that reads ahead, as those of tests do, has used its stream up; what is encoded
    # must not be decoded here, and stays in the stream: it is refused by its header.
    encoded = "content-encoding" in answer.headers
    body: Any = answer.content if answer.is_stream_consumed and not encoded else answer.stream
    return httpcore.Response(answer.status_code, headers=answer.headers.raw, content=body)


class _Stream(httpcore.NetworkStream):
    """Holds what is written until more is, or something is read.

    httpcore tells of the end of a request, too: with a write of nothing. So no body is held.
    """

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._held = b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._held:
            self._held = buffer
            return
        held, self._held = self._held, b""
        self._inner.write(held + buffer, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            held, self._held = self._held, b""
            with suppress(httpcore.WriteError):  # the server may have said why it hung up
                self._inner.write(held, timeout)
        return self._inner.read(max_bytes, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Opens sockets whose writes are joined."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_Options] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _AsyncStream(httpcore.AsyncNetworkStream):
    """The same for asyncio."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._held = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's interface
        if not self._held:
            self._held = buffer
            return
        held, self._held = self._held, b""
        await self._inner.write(held + buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the same
        if self._held:
            held, self._held = self._held, b""
            with suppress(httpcore.WriteError):
                await self._inner.write(held, timeout)
        return await self._inner.read(max_bytes, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the same
    ) -> httpcore.AsyncNetworkStream:
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        return self._inner.get_extra_info(info)


class _AsyncBackend(httpcore.AnyIOBackend):
    """The same for asyncio."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the same
        local_address: str | None = None,
        socket_options: Iterable[_Options] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        inner = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _AsyncStream(inner)
