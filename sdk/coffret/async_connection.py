"""Connections for asyncio: the same as ``coffret.connection``, on the loop's own transports."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, cast

from coffret.connection import (
    CONNECT_SECONDS,
    KEPT,
    KEPT_SECONDS,
    SILENT_SECONDS,
    is_readable,
    not_reached,
    reached,
    trusted,
)
from coffret.http1 import Answer, WireError, WireTimeoutError
from coffret.threads import discard
from coffret_vault.errors import TimedOutError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator

    import httpx

    from coffret.http1 import Address, Outgoing


class AsyncIncoming(Protocol):
    """An answer whose body is still to be read."""

    status: int
    headers: dict[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        ...

    async def aclose(self) -> None:
        """Let go of it, read or not."""
        ...


class AsyncConnection(Protocol):
    """Where requests go, one after another."""

    async def send(self, request: Outgoing, sent: asyncio.Event | None = None) -> AsyncIncoming:
        """Send a request, say so, and wait until its answer begins."""
        ...

    async def aclose(self) -> None:
        """Let go of the network."""
        ...


def connect_async(
    origin: str, proxy: str | None, given: httpx.AsyncBaseTransport | None
) -> AsyncConnection:
    """A connection to an origin, made when the first request goes out."""
    if given is not None or proxy is not None:
        from coffret.bridge import AsyncBridge  # noqa: PLC0415 - loads httpx: only for this

        return AsyncBridge(proxy, given)
    return AsyncSockets(trusted(origin))


class _Line(asyncio.Protocol):
    """One socket: what comes goes to the answer that is awaited, and is worthless without one."""

    def __init__(self) -> None:
        self.used = 0.0
        self.answer: Answer | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._error: WireError | None = None
        self._moved = asyncio.Event()
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """The socket is gone."""
        self._fail(WireError())

    def pause_writing(self) -> None:
        """The other side takes less than is sent."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._is_full = False
        self._moved.set()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self.answer is None:
            self._fail(WireError())
            self.close()
            return
        try:
            self.answer.feed(data)
        except WireError as error:
            self._fail(error)
        self._moved.set()

    def _fail(self, error: WireError) -> None:
        self._error = self._error or error
        self._moved.set()

    def is_fresh(self) -> bool:
        """Whether it can be used again: what came unasked, or its end, makes it worthless.

        So does a request that was answered before all of it had left, and the end of its loop.
        """
        if self._error is not None or self._transport is None:
            return False
        if self._loop is not asyncio.get_running_loop() or self._transport.get_write_buffer_size():
            return False
        line = self._transport.get_extra_info("socket")
        return time.monotonic() - self.used <= KEPT_SECONDS and not is_readable(line)

    async def send(self, data: bytes, answer: Answer) -> None:
        """Send all of it; the silence that ends it is of a single step, not of all."""
        self.answer = answer
        if self._transport is None:
            raise WireError
        self._transport.write(data)
        while self._is_full and self._error is None and not answer.has_begun:
            left = self._transport.get_write_buffer_size()
            try:
                await self.more()
            except WireTimeoutError:
                if self._transport.get_write_buffer_size() >= left:
                    raise

    async def more(self) -> None:
        """Wait until something moves.

        Raises:
            WireError: the connection ended, or what came is not HTTP.
            WireTimeoutError: nothing did for a minute.
        """
        if self._error is not None:
            raise self._error
        self._moved.clear()
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._moved.wait()
        except TimeoutError:
            raise WireTimeoutError from None

    def close(self) -> None:
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()


async def _reached(address: Address) -> socket.socket:
    """A socket, from a thread: a resolver that hangs must keep neither the loop nor its end.

    Raises:
        OSError: there is none, or no thread to reach it from. And as :func:`reached`.
    """
    found: Future[socket.socket] = Future()
    found.set_running_or_notify_cancel()
    try:
        threading.Thread(
            target=_reach, args=(address, found), name="coffret-connect", daemon=True
        ).start()
    except RuntimeError:  # the program ends, or has as many threads as it may
        raise OSError from None
    try:
        return await asyncio.wrap_future(found)
    except asyncio.CancelledError:
        found.add_done_callback(discard)
        raise


def _reach(address: Address, found: Future[socket.socket]) -> None:
    try:
        found.set_result(reached(address))
    except (OSError, UnicodeError, TimedOutError) as error:
        found.set_exception(error)


class AsyncSockets:
    """Connections to one server: mostly one, and one more while an answer is read ahead."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._idle: list[_Line] = []
        self._used = set[_Line]()
        self._is_open = True

    async def send(self, request: Outgoing, sent: asyncio.Event | None = None) -> AsyncIncoming:
        """Send a request, say so, and wait until its answer begins.

        Raises:
            WireError: there is no connection, or no answer.
        """
        data, line = request.wire(), await self._line(request.address)
        answer = Answer()
        try:
            await line.send(data, answer)
            if sent is not None:
                sent.set()
            while not answer.has_begun:
                await line.more()
        except BaseException:
            self.drop(line)
            raise
        return _Received(self, line, answer)

    async def _line(self, address: Address) -> _Line:
        line = self._kept() or await self._connected(address)
        if not self._is_open:
            line.close()
            raise WireError
        self._used.add(line)
        return line

    def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.is_fresh():
                return line
            line.close()
        return None

    async def _connected(self, address: Address) -> _Line:
        loop = asyncio.get_running_loop()
        name = address.host if self._context is not None else None
        try:
            plain = await _reached(address)
            async with asyncio.timeout(CONNECT_SECONDS):  # the handshake has a time of its own
                _, line = await loop.create_connection(
                    _Line, sock=plain, ssl=self._context, server_hostname=name
                )
        except (OSError, UnicodeError, TimedOutError) as error:
            raise not_reached(error) from None
        return line

    def keep(self, line: _Line) -> None:
        """Take a connection back whose answer was read to its end."""
        line.used, line.answer = time.monotonic(), None
        if self._is_open and len(self._idle) < KEPT and line.is_fresh():
            self._used.discard(line)
            self._idle.append(line)
        else:
            self.drop(line)

    def drop(self, line: _Line) -> None:
        """Close a connection that is of no more use."""
        self._used.discard(line)
        line.close()

    async def aclose(self) -> None:
        """Let go of the network; who waits for an answer waits no more."""
        self._is_open = False
        idle, self._idle = self._idle, []
        for line in (*idle, *self._used):
            line.close()


class _Received:
    """An answer on a socket."""

    def __init__(self, sockets: AsyncSockets, line: _Line, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._sockets = sockets
        self._line: _Line | None = line
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            chunks = self._answer.taken()
            for chunk in chunks:
                yield chunk
            if chunks:
                continue  # while they were used, more may have come
            if self._answer.is_whole or self._line is None:
                return
            await self._line.more()

    async def aclose(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if self._answer.is_whole and self._answer.may_go_on:
            self._sockets.keep(line)
        else:
            self._sockets.drop(line)
