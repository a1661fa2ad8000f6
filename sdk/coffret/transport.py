"""The door to the server: two drivers that run flows over HTTP.

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
from asyncio import sleep as sleep_async
from contextlib import aclosing, closing, suppress
from functools import partial
from itertools import count
from time import sleep
from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret.async_connection import connect_async
from coffret.bodies import TRY_LATER, Body, asks_to_wait
from coffret.closing import Closing
from coffret.connection import Incoming, certificates, connect, reason_of
from coffret.flows.http import Request, Response
from coffret.http1 import NotReachedError, Outgoing, WireError, WireTimeoutError, address_of
from coffret.leaving import within
from coffret.origins import check_url, proxy_of
from coffret.threads import apart, beside, discard, in_thread, unheard
from coffret.wellknown import Web
from coffret_vault.errors import FormatError, NetworkError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import httpx

    from coffret.flows.http import Flow

T = TypeVar("T")

_TRIES = 4
_FIRST_BACKOFF = 0.1
_PROBE_SECONDS = 5.0
_ALWAYS = {"User-Agent": "coffret", "Accept-Encoding": "identity"}
_WITH_BODY = frozenset(("POST", "PUT"))
_LEAVING_SECONDS = 1.0  # what takes longer is to keep no flow from an answer that is there
_NOTHING = Response(204, {}, b"")


def _backoff(request: Request, attempt: int, failure: NetworkError) -> float:
    """Seconds until the next try after a connection that failed; the last failure is raised."""
    if attempt + 1 >= _TRIES or not request.repeatable:
        raise failure
    return _FIRST_BACKOFF * 2.0**attempt


def _failure(error: Exception, origin: str) -> NetworkError:
    if isinstance(error, WireTimeoutError | TimedOutError):
        return TimedOutError(f"the server at {origin} did not answer in time")
    why = reason_of(error) if isinstance(error, NotReachedError) else ""
    way = "" if proxy_of(origin) is None else " through this machine's proxy"
    message = f"the server at {origin} could not be reached{way}"
    return NetworkError(f"{message}: {why}" if why else message)


def _build(origin: str, request: Request) -> Outgoing:
    """The request as it is sent."""
    text = origin + request.base + request.path
    address = address_of(origin, request.base + request.path, request.params)
    headers = {"Host": address.authority, **_ALWAYS, "Accept": request.media, **request.headers}
    if request.body:
        headers["Content-Type"] = request.media
    if request.body or request.method in _WITH_BODY:
        headers["Content-Length"] = str(len(request.body))
    if request.token:
        scheme = "Bearer" if request.prover is None else "DPoP"
        headers["Authorization"] = f"{scheme} {request.token}"
    if request.prover is not None and not request.by_head:
        headers["DPoP"] = request.prover.prove(request, text, address.query)
    return Outgoing(request.method, address, headers, request.body)


def probe(url: str, *, transport: httpx.BaseTransport | None = None) -> Response:
    """Ask a server, once and briefly, whether it is ready. Nothing of a person goes with it.

    Raises:
        InputError: not an address, or plain http to anywhere but this machine.
        NetworkError: it does not answer, or not in time: a server that drips is not waited for.
    """
    origin = check_url(url)
    from coffret.bridge import Bridge  # noqa: PLC0415 - loads httpx: only for this

    request = Outgoing("GET", address_of(origin, "/readyz", ()), _ALWAYS, b"")
    network = Bridge(proxy_of(origin), transport)
    try:
        return within(2 * _PROBE_SECONDS, partial(network.ask, request, _PROBE_SECONDS))
    except (WireError, TimedOutError) as error:
        raise _failure(error, origin) from None


class _Driver(Closing):
    """What both drivers have."""

    _origin: str

    def _lost(self, error: WireError) -> NetworkError:
        """What became of a connection, if nobody closed it here."""
        self.check_open()
        return _failure(error, self._origin)


class SyncDriver(_Driver):
    """Runs flows, one request after another, over one kept connection.

    Threads take turns: a flow is run to its end before another thread's begins.
    """

    def __init__(self, origin: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._origin = origin
        self._connection = connect(origin, proxy_of(origin), transport)
        self.web: Callable[[str], Response] = Web(context=certificates)
        self._coming: tuple[Request, Future[Incoming]] | None = None
        self._turn = threading.RLock()

    def close(self) -> None:
        """Close the connection, and end what waits for an answer on it.

        What was asked ahead is left to the thread that runs its flow, which may be reading it.
        """
        self.end()
        self._connection.close()

    def begin(self, flow: Flow[T]) -> T:
        """As :meth:`run`, and close the connection if it fails: nobody else could."""
        try:
            return self.run(flow)
        except BaseException:
            self.close()
            raise

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and give its result, after those that other threads began."""
        with self._turn:
            self.check_open()
            return self._run(flow)

    def alone(self, work: Callable[..., T], *given: object) -> T:
        """Do work while no flow is under way."""
        with self._turn:
            self.check_open()
            return work(*given)

    def _run(self, flow: Flow[T]) -> T:
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
        finally:
            self._leave()  # the next flow is not to be answered what the server said before it
            flow.close()  # one that is left halfway puts back what it holds now, not some day

    def _answer(self, request: Request) -> Response:
        """Send a request, or take the answer to it that is on its way already."""
        if request.host:
            return self.web(request.host)
        if request.seconds:
            sleep(request.seconds)
            return _NOTHING
        if request.aside is not None:
            request.aside()
            return _NOTHING
        coming = self._coming
        if coming is not None and coming[0] == msgspec.structs.replace(request, ahead=None):
            self._coming = None
            response = self._arrived(request, coming[1])
        else:
            self._leave()
            response = self._send(request) if request.meanwhile is None else self._both(request)
        if request.ahead is not None:
            self._coming = request.ahead, beside(self._open, request.ahead)
        return response

    def _arrived(self, request: Request, coming: Future[Incoming]) -> Response:
        """Read an answer that was asked for ahead; where that failed, ask now.

        Its body is read here: a thread that did would have to wait for the interpreter, which the
        flow keeps busy, at each piece.
        """
        try:
            response = self._read(coming.result())
        except NetworkError:
            return self._send(request)
        return self._send(request) if response.status in TRY_LATER else response

    def _leave(self) -> None:
        """Let go of an answer that nobody wants any more."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming[1].add_done_callback(discard)

    def _both(self, request: Request) -> Response:
        """Send a request, and once it is sent do what there is to do meanwhile."""
        sent = threading.Event()
        future = beside(self._send, request, sent)
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
                pause = asks_to_wait(response) if attempt + 1 < _TRIES else None
                if pause is None:
                    return response
                wait = pause
            sleep(wait)
        raise AssertionError

    def _open(self, request: Request, sent: threading.Event | None = None) -> Incoming:
        """Send a request once, and wait until its answer begins."""
        self.check_open()
        try:
            return self._connection.send(_build(self._origin, request), sent)
        except WireError as error:
            raise self._lost(error) from None

    def _read(self, answer: Incoming) -> Response:
        try:
            with closing(answer):
                body = Body(answer)
                for chunk in answer:
                    body.take(chunk)
        except WireError as error:
            raise self._lost(error) from None
        return body.response()


class AsyncDriver(_Driver):
    """The same for asyncio; flows themselves are the very same generators."""

    def __init__(self, origin: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._origin = origin
        self._connection = connect_async(origin, proxy_of(origin), transport)
        self.web: Callable[[str], Response] = Web(context=certificates)
        self._turn = asyncio.Lock()
        self._coming: tuple[Request, asyncio.Task[Response]] | None = None

    async def close(self) -> None:
        """Close the connection, and end what waits for an answer on it."""
        self.end()
        self._leave()
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
            self.check_open()
            return await self._run(flow)

    async def alone(self, work: Callable[..., T], *given: object) -> T:
        """Do work in a thread, while no flow is under way; who is cancelled waits for its end."""
        async with self._turn:
            self.check_open()
            return await in_thread(work, *given)

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
        finally:
            self._leave()  # the next flow is not to be answered what the server said before it
            flow.close()  # one that is left halfway puts back what it holds now, not some day

    async def _answer(self, request: Request) -> Response:
        """Send a request, or take the answer to it that is on its way already."""
        if request.host:
            return await apart(self.web, request.host)
        if request.seconds:
            await sleep_async(request.seconds)
            return _NOTHING
        if request.aside is not None:
            await in_thread(request.aside)
            return _NOTHING
        coming = self._coming
        if coming is not None and coming[0] == msgspec.structs.replace(request, ahead=None):
            self._coming = None
            response = await coming[1]
        else:
            self._leave()
            response = await self._both(request)
        if request.ahead is not None:
            task, sent = self._begun(request.ahead)
            self._coming = request.ahead, task
            with suppress(TimeoutError):  # the flow works next, and keeps the loop from sending
                async with asyncio.timeout(_LEAVING_SECONDS):
                    await sent.wait()
        return response

    def _leave(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming[1].cancel()

    def _begun(self, request: Request) -> tuple[asyncio.Task[Response], asyncio.Event]:
        """Begin to send a request; and what tells when it is sent, or failed."""
        sent, loop = asyncio.Event(), asyncio.get_running_loop()
        task = loop.create_task(self._send(request, sent))
        task.add_done_callback(lambda _: sent.set())
        task.add_done_callback(unheard)
        return task, sent

    async def _both(self, request: Request) -> Response:
        """Send a request, and once it is sent do what there is to do meanwhile."""
        if request.meanwhile is None:
            return await self._send(request)
        task, sent = self._begun(request)
        try:
            await sent.wait()
            request.meanwhile()
            return await task
        finally:
            task.cancel()  # if it is not done

    async def _send(self, request: Request, sent: asyncio.Event | None = None) -> Response:
        for attempt in count():
            try:
                response = await self._once(request, sent)
            except NetworkError as failure:
                wait = _backoff(request, attempt, failure)
            else:
                pause = asks_to_wait(response) if attempt + 1 < _TRIES else None
                if pause is None:
                    return response
                wait = pause
            await sleep_async(wait)
        raise AssertionError

    async def _once(self, request: Request, sent: asyncio.Event | None) -> Response:
        self.check_open()
        try:
            answer = await self._connection.send(_build(self._origin, request), sent)
            async with aclosing(answer):
                body = Body(answer)
                async for chunk in answer:
                    body.take(chunk)
        except WireError as error:
            raise self._lost(error) from None
        return body.response()
