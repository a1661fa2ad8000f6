"""The one door to the network: two drivers that run flows over HTTP.

Retries: almost every request of ours may be sent twice without harm (reads; appends, which the
server recognises; creations, which carry an ``Idempotency-Key``), so a lost connection is tried
again. The exception is marked: a login, whose nonce works once.
Redirects are not followed, cookies not kept, and no other host is ever talked to, but for an app's
own domain when its owner looks at it (``coffret.wellknown``): the drivers use bare connections
(``coffret.connection``), without the client that would do all this and takes longer than the rest
of a request. Bodies are taken as they come: what a server says is compressed is refused, since a
few bytes of that can become any number of them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import httpcore
import httpx
import msgspec

from coffret.connection import ERRORS, TIMEOUTS, connect, connect_async, headers_of
from coffret.flows.http import MAX_ANSWER, Request, Response, retry_after
from coffret.origins import check_url, proxy_of
from coffret.wellknown import Web
from coffret_vault.errors import FormatError, NetworkError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future

    from coffret.flows.http import Flow

    Content = Iterator[bytes] | AsyncIterator[bytes]

T = TypeVar("T")

_BASE = "/api/v1"
_TRIES = 4
_FIRST_BACKOFF = 0.1
_TIMEOUT = httpx.Timeout(60.0, connect=10.0).as_dict()
_PROBE_TIMEOUT = httpx.Timeout(5.0).as_dict()
_ALWAYS = {"User-Agent": "coffret", "Accept-Encoding": "identity"}
_TRY_LATER = frozenset((429, 503))
_WITH_BODY = frozenset(("POST", "PUT"))
_LONGEST_WAIT = 10.0


def _pause(attempt: int, response: Response) -> float | None:
    """Seconds until the next try, or None when this answer stands."""
    if response.status not in _TRY_LATER or attempt + 1 >= _TRIES:
        return None
    asked = retry_after(response)
    return asked if asked <= _LONGEST_WAIT else None


def _backoff(request: Request, attempt: int, failure: NetworkError) -> float:
    """Seconds until the next try after a connection that failed; the last failure is raised."""
    if attempt + 1 >= _TRIES or not request.repeatable:
        raise failure
    return _FIRST_BACKOFF * 2.0**attempt


def _failure(error: Exception) -> NetworkError:
    return TimedOutError() if isinstance(error, TIMEOUTS) else NetworkError()


class _Address(msgspec.Struct, frozen=True):
    """A parsed address: for the connection, for the ``Host`` header, and its query for a proof."""

    url: httpcore.URL
    host: str
    query: bytes


@lru_cache(maxsize=64)
def _address(text: str, params: tuple[tuple[str, str], ...]) -> _Address:
    """A parsed address; parsing takes httpx as long as sealing a memory takes us."""
    parsed = httpx.URL(text, params=httpx.QueryParams(list(params))) if params else httpx.URL(text)
    url = httpcore.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
    )
    return _Address(url, parsed.netloc.decode("ascii"), parsed.query)


def _build(origin: str, request: Request, content: Content | None = None) -> httpcore.Request:
    """The request as it is sent. ``content`` is the body, piece by piece."""
    text = origin + _BASE + request.path
    address = _address(text, request.params)
    headers = {"Host": address.host, **_ALWAYS, "Accept": request.media, **request.headers}
    if request.body:
        headers["Content-Type"] = request.media
    if request.body or request.method in _WITH_BODY:
        headers["Content-Length"] = str(len(request.body))
    if request.token:
        scheme = "Bearer" if request.prover is None else "DPoP"
        headers["Authorization"] = f"{scheme} {request.token}"
    if request.prover is not None and not request.by_head:
        headers["DPoP"] = request.prover.prove(request, text, address.query)
    return httpcore.Request(
        request.method,
        address.url,
        headers=list(headers.items()),
        content=request.body if content is None else content,
        extensions={"timeout": _TIMEOUT},
    )


def probe(url: str, *, transport: httpx.BaseTransport | None = None) -> Response:
    """Ask a server, once and briefly, whether it is ready. Nothing of a person goes with it.

    Raises:
        InputError: not an address, or plain http to anywhere but this machine.
        NetworkError: it does not answer.
    """
    origin = check_url(url)
    extensions = {"timeout": _PROBE_TIMEOUT}
    request = httpx.Request("GET", f"{origin}/readyz", headers=_ALWAYS, extensions=extensions)
    with transport or httpx.HTTPTransport(proxy=proxy_of(origin)) as network:
        try:
            answer = network.handle_request(request)
            answer.close()
        except httpx.HTTPError as error:
            raise _failure(error) from None
    return Response(answer.status_code, answer.headers, b"")


class _Body:
    """An answer's body as it comes in, refused when it is encoded or grows past the cap."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._status = answer.status
        self._headers = headers_of(answer)
        self._data = bytearray()
        if self._headers.get("content-encoding", "identity").strip().lower() != "identity":
            message = "the server's answer is compressed, which nobody asked for"
            raise FormatError(message)

    def take(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > MAX_ANSWER:
            message = "the server's answer is larger than it may be"
            raise FormatError(message)

    def response(self) -> Response:
        return Response(self._status, self._headers, bytes(self._data))


def _pieces(body: bytes, sent: threading.Event) -> Iterator[bytes]:
    """A body, and word when it was taken: whoever asks for more has sent what there was."""
    yield body
    sent.set()


def _discard(coming: Future[httpcore.Response]) -> None:
    if coming.exception() is None:
        coming.result().close()


class SyncDriver:
    """Runs flows, one request after another, over one kept connection."""

    def __init__(self, origin: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._origin = origin
        self._connection = connect(origin, proxy_of(origin), transport)
        self.web: Callable[[str], Response] = Web(context=httpx.create_ssl_context)
        self._pool: ThreadPoolExecutor | None = None
        self._coming: tuple[Request, Future[httpcore.Response]] | None = None

    def close(self) -> None:
        """Close the connection."""
        self._leave()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._connection.close()

    def begin(self, flow: Flow[T]) -> T:
        """As :meth:`run`, and close the connection if it fails: nobody else could."""
        try:
            return self.run(flow)
        except BaseException:
            self.close()
            raise

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and give its result."""
        try:
            request = next(flow)
            while True:
                try:
                    response = self._answer(request)
                except (NetworkError, FormatError) as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _answer(self, request: Request) -> Response:
        """Send a request, or take the answer to it that is on its way already."""
        if request.host:
            return self.web(request.host)
        if request.seconds:
            time.sleep(request.seconds)
            return Response(204, {}, b"")
        coming = self._coming
        if coming is not None and coming[0] == msgspec.structs.replace(request, ahead=None):
            self._coming = None
            response = self._arrived(request, coming[1])
        else:
            self._leave()
            response = self._send(request) if request.meanwhile is None else self._both(request)
        if request.ahead is not None:
            self._coming = request.ahead, self._threads().submit(self._open, request.ahead)
        return response

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "coffret-ahead")
        return self._pool

    def _arrived(self, request: Request, coming: Future[httpcore.Response]) -> Response:
        """Read an answer that was asked for ahead; where that failed, ask now.

        Its body is read here: a thread that did would have to wait for the interpreter, which the
        flow keeps busy, at each piece.
        """
        try:
            response = self._read(coming.result())
        except NetworkError:
            return self._send(request)
        return self._send(request) if response.status in _TRY_LATER else response

    def _leave(self) -> None:
        """Let go of an answer that nobody wants any more."""
        coming, self._coming = self._coming, None
        if coming is not None and not coming[1].cancel():
            coming[1].add_done_callback(_discard)

    def _both(self, request: Request) -> Response:
        """Send a request, and once it is sent do what there is to do meanwhile."""
        sent = threading.Event()
        future = self._threads().submit(self._send, request, sent)
        future.add_done_callback(lambda _: sent.set())
        sent.wait()
        if request.meanwhile is not None:
            request.meanwhile()
        return future.result()

    def _send(self, request: Request, sent: threading.Event | None = None) -> Response:
        for attempt in count():
            try:
                response = self._read(self._open(request, sent))
            except NetworkError as failure:
                wait = _backoff(request, attempt, failure)
            else:
                pause = _pause(attempt, response)
                if pause is None:
                    return response
                wait = pause
            time.sleep(wait)
        raise AssertionError

    def _open(self, request: Request, sent: threading.Event | None = None) -> httpcore.Response:
        """Send a request once, and wait until its answer begins."""
        content = None if sent is None else _pieces(request.body, sent)
        try:
            return self._connection.handle_request(_build(self._origin, request, content))
        except ERRORS as error:
            raise _failure(error) from None

    def _read(self, answer: httpcore.Response) -> Response:
        try:
            try:
                body = _Body(answer)
                for chunk in answer.iter_stream():
                    body.take(chunk)
            finally:
                answer.close()
        except ERRORS as error:
            raise _failure(error) from None
        return body.response()


async def _async_pieces(body: bytes, sent: asyncio.Event) -> AsyncIterator[bytes]:
    yield body
    sent.set()


class AsyncDriver:
    """The same for asyncio; flows themselves are the very same generators."""

    def __init__(self, origin: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._origin = origin
        self._connection = connect_async(origin, proxy_of(origin), transport)
        self.web: Callable[[str], Response] = Web(context=httpx.create_ssl_context)
        self._turn = asyncio.Lock()
        self._coming: tuple[Request, asyncio.Task[Response]] | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._coming is not None:
            self._coming[1].cancel()
        await self._connection.aclose()

    async def begin(self, flow: Flow[T]) -> T:
        """As :meth:`run`, and close the connection if it fails: nobody else could."""
        try:
            return await self.run(flow)
        except BaseException:
            await self.close()
            raise

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and give its result, after those that were begun before it."""
        async with self._turn:
            return await self._run(flow)

    async def _run(self, flow: Flow[T]) -> T:
        try:
            request = next(flow)
            while True:
                try:
                    response = await self._answer(request)
                except (NetworkError, FormatError) as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _answer(self, request: Request) -> Response:
        """Send a request, or take the answer to it that is on its way already."""
        if request.host:
            return await asyncio.to_thread(self.web, request.host)
        if request.seconds:
            await asyncio.sleep(request.seconds)
            return Response(204, {}, b"")
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == msgspec.structs.replace(request, ahead=None):
            response = await coming[1]
        else:
            if coming is not None:
                coming[1].cancel()
            response = await self._both(request)
        if request.ahead is not None:
            task = asyncio.get_running_loop().create_task(self._send(request.ahead))
            self._coming = request.ahead, task
        return response

    async def _both(self, request: Request) -> Response:
        """Send a request, and once it is sent do what there is to do meanwhile."""
        if request.meanwhile is None:
            return await self._send(request)
        sent = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._send(request, sent))
        task.add_done_callback(lambda _: sent.set())
        try:
            await sent.wait()
            request.meanwhile()
            return await task
        except BaseException:
            task.cancel()
            raise

    async def _send(self, request: Request, sent: asyncio.Event | None = None) -> Response:
        for attempt in count():
            try:
                response = await self._once(request, sent)
            except NetworkError as failure:
                wait = _backoff(request, attempt, failure)
            else:
                pause = _pause(attempt, response)
                if pause is None:
                    return response
                wait = pause
            await asyncio.sleep(wait)
        raise AssertionError

    async def _once(self, request: Request, sent: asyncio.Event | None) -> Response:
        content = None if sent is None else _async_pieces(request.body, sent)
        try:
            built = _build(self._origin, request, content)
            answer = await self._connection.handle_async_request(built)
            try:
                body = _Body(answer)
                async for chunk in answer.aiter_stream():
                    body.take(chunk)
            finally:
                await answer.aclose()
        except ERRORS as error:
            raise _failure(error) from None
        return body.response()
