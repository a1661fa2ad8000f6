"""Transports of httpx behind the interface of our connections: a proxy, or what a caller brings.

Nothing else needs httpx, and to load it takes longer than to open a vault: so who needs none of
this does not load this module either.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

import httpx

from coffret.connection import CONNECT_SECONDS, SILENT_SECONDS, certificates
from coffret.flows.http import Response
from coffret.http1 import NotReachedError, Outgoing, WireError, WireTimeoutError, add_header
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator

    from coffret.async_connection import AsyncIncoming
    from coffret.connection import Incoming

T = TypeVar("T", httpx.HTTPTransport, httpx.AsyncHTTPTransport)
_SHORT = 16 << 10


def _by_proxy(kind: type[T], proxy: str | None) -> T:
    """A transport that goes by a proxy, if there is one.

    Of a proxy that cannot be used no more than that is said: its address may hold a password.
    """
    trusted = certificates()
    try:
        return kind(verify=trusted, proxy=proxy)
    except (ImportError, ValueError, httpx.InvalidURL):
        message = "the proxy that this machine's settings name cannot be used"
        hint = "HTTPS_PROXY and ALL_PROXY look like http://host:port; SOCKS needs httpx[socks]."
        raise InputError(message, hint=hint) from None


@contextmanager
def _as_ours() -> Iterator[None]:
    """Have errors of httpx be those of our own connections, with what they came of."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise WireTimeoutError from error
    except httpx.ConnectError as error:
        raise NotReachedError from error
    except httpx.HTTPError as error:
        raise WireError from error


class Bridge:
    """A transport of httpx behind the interface of a connection."""

    def __init__(self, proxy: str | None, given: httpx.BaseTransport | None) -> None:
        """Go by the transport that is given, or by a proxy if there is one.

        Raises:
            InputError: the proxy cannot be used, or the trusted certificates cannot be read.
        """
        self._transport = given or _by_proxy(httpx.HTTPTransport, proxy)
        self._lock = threading.Lock()
        self._under_way = 0
        self._is_open = True

    def send(self, request: Outgoing, sent: threading.Event | None = None) -> Incoming:
        """Send a request, say so, and wait until its answer begins.

        Raises:
            WireError: there is no connection, or no answer, or the network was let go of.
        """
        content = request.body if sent is None else _pieces(request.body, sent)
        with self._lock:
            if not self._is_open:
                raise WireError
            self._under_way += 1
        try:
            with _as_ours():
                answer = self._transport.handle_request(_as_httpx(request, content))
            return _Given(answer, self._end)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        """One answer less is under way."""
        with self._lock:
            self._under_way -= 1
            is_last = not self._is_open and not self._under_way
        if is_last:
            self._transport.close()

    def ask(self, request: Outgoing, seconds: float) -> Response:
        """The answer to one request, with the beginning of its body; nothing is kept open."""
        with _as_ours(), self._transport as network:
            answer = network.handle_request(_as_httpx(request, b"", seconds))
            try:
                body = _beginning_of(answer, seconds)
            finally:
                answer.close()
            return Response(answer.status_code, _headers_of(answer), body)

    def close(self) -> None:
        """Let go of the network, once no other thread waits for an answer.

        httpx would close the socket under a thread that reads from it, which would then read from
        whatever has its number next.
        """
        with self._lock:
            is_idle, self._is_open = not self._under_way, False
        if is_idle:
            self._transport.close()


def _pieces(body: bytes, sent: threading.Event) -> Iterator[bytes]:
    """A body, and word when it was taken: whoever asks for more has sent what there was."""
    yield body
    sent.set()


def _as_httpx(
    request: Outgoing,
    content: bytes | Iterator[bytes] | AsyncIterator[bytes],
    seconds: float | None = None,
) -> httpx.Request:
    """The same request as httpx has it, with so many seconds for each step."""
    silent = seconds or SILENT_SECONDS
    steps = {"read": silent, "write": silent, "pool": silent}
    return httpx.Request(
        request.method,
        request.address.url(),
        headers=request.headers,
        content=content,
        extensions={"timeout": {"connect": seconds or CONNECT_SECONDS, **steps}},
    )


def _headers_of(answer: httpx.Response) -> dict[str, str]:
    """The headers of an answer of httpx, as ours have them."""
    found: dict[str, str] = {}
    for name, value in answer.headers.raw:
        add_header(found, name, value)
    return found


def _beginning_of(answer: httpx.Response, seconds: float) -> bytes:
    """The body of a short answer, or nothing: of one that is long or takes long, nobody waits."""
    body, deadline = b"", time.monotonic() + seconds
    for chunk in cast("httpx.SyncByteStream", answer.stream):
        body += chunk
        if len(body) > _SHORT or time.monotonic() > deadline:
            return b""
    return body


class _Given:
    """An answer of a transport of httpx."""

    def __init__(self, answer: httpx.Response, end: Callable[[], None]) -> None:
        self.status = answer.status_code
        self.headers = _headers_of(answer)
        self._answer = answer
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        # A transport that reads ahead, as those of tests do, has used its stream up.
        if self._answer.is_stream_consumed:
            yield self._answer.content
            return
        with _as_ours():
            yield from self._answer.iter_raw()

    def close(self) -> None:
        end, self._end = self._end, None
        try:
            with _as_ours():
                self._answer.close()
        finally:
            if end is not None:
                end()


class AsyncBridge:
    """The same for asyncio."""

    def __init__(self, proxy: str | None, given: httpx.AsyncBaseTransport | None) -> None:
        """As :class:`Bridge`."""
        self._transport = given or _by_proxy(httpx.AsyncHTTPTransport, proxy)

    async def send(self, request: Outgoing, sent: asyncio.Event | None = None) -> AsyncIncoming:
        """Send a request, say so, and wait until its answer begins."""
        # A request without a body is known to be sent by its answer: httpx would say it has one.
        said = sent if request.body else None
        content = request.body if said is None else _pieces_async(request.body, said)
        with _as_ours():
            answer = await self._transport.handle_async_request(_as_httpx(request, content))
        return _AsyncGiven(answer)

    async def aclose(self) -> None:
        """Let go of the network."""
        await self._transport.aclose()


async def _pieces_async(body: bytes, sent: asyncio.Event) -> AsyncIterator[bytes]:
    """A body, and word when it was taken."""
    yield body
    sent.set()


class _AsyncGiven:
    """An answer of a transport of httpx."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers = _headers_of(answer)
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._answer.is_stream_consumed:
            yield self._answer.content
            return
        with _as_ours():
            async for chunk in self._answer.aiter_raw():
                yield chunk

    async def aclose(self) -> None:
        with _as_ours():
            await self._answer.aclose()
