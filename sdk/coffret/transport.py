"""The one door to the network: two drivers that run flows over httpx.

Retries: every request of ours may be sent twice without harm (reads; appends, which the server
recognises; creations, which carry an ``Idempotency-Key``), so a lost connection is tried again.
Redirects are not followed, and no other host is ever talked to.
"""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import httpx

from coffret.flows.http import MAX_ANSWER, Request, Response, retry_after
from coffret_vault.errors import FormatError, InputError, NetworkError, TimedOutError
from coffret_vault.formats.account import normal_origin

if TYPE_CHECKING:
    from coffret.flows.http import Flow

T = TypeVar("T")

_BASE = "/api/v1"
_TRIES = 4
_FIRST_BACKOFF = 0.1
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_PROBE_TIMEOUT = httpx.Timeout(5.0)
_TRY_LATER = frozenset((429, 503))
_LONGEST_WAIT = 10.0
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))


def check_url(url: str) -> str:
    """The origin of a server's address.

    Raises:
        InputError: not an address, or plain http to anywhere but this machine.
    """
    origin = normal_origin(url)
    scheme, _, rest = origin.partition("://")
    host = rest if rest.startswith("[") and rest.endswith("]") else rest.rsplit(":", 1)[0]
    if scheme == "http" and host not in _LOOPBACK:
        message = "an address that is not this machine has to begin with https://"
        raise InputError(message)
    return origin


def _pause(attempt: int, response: Response) -> float | None:
    """Seconds until the next try, or None when this answer stands."""
    if response.status not in _TRY_LATER or attempt + 1 >= _TRIES:
        return None
    asked = retry_after(response)
    return asked if asked <= _LONGEST_WAIT else None


def _backoff(attempt: int, failure: NetworkError) -> float:
    """Seconds until the next try after a connection that failed; the last failure is raised."""
    if attempt + 1 >= _TRIES:
        raise failure
    return _FIRST_BACKOFF * 2.0**attempt


def _failure(error: httpx.HTTPError) -> NetworkError:
    return TimedOutError() if isinstance(error, httpx.TimeoutException) else NetworkError()


def _build(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    headers = {"Accept": request.media, **request.headers}
    if request.body:
        headers["Content-Type"] = request.media
    if request.token:
        headers["Authorization"] = f"Bearer {request.token}"
    params = httpx.QueryParams(list(request.params)) if request.params else None
    return client.build_request(
        request.method, _BASE + request.path, content=request.body, headers=headers, params=params
    )


def probe(url: str, *, transport: httpx.BaseTransport | None = None) -> Response:
    """Ask a server, once and briefly, whether it is ready. Nothing of a person goes with it.

    Raises:
        InputError: not an address, or plain http to anywhere but this machine.
        NetworkError: it does not answer.
    """
    client = httpx.Client(timeout=_PROBE_TIMEOUT, transport=transport, follow_redirects=False)
    with client:
        try:
            answer = client.get(f"{check_url(url)}/readyz")
        except httpx.HTTPError as error:
            raise _failure(error) from None
    return Response(answer.status_code, answer.headers, b"")


class _Body:
    """An answer's body as it comes in, refused when it grows past the cap."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            message = "the server's answer is larger than it may be"
            raise FormatError(message)

    def response(self, answer: httpx.Response) -> Response:
        return Response(answer.status_code, answer.headers, b"".join(self._parts))


class SyncDriver:
    """Runs flows, one request after another, over one kept connection."""

    def __init__(self, origin: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._client = httpx.Client(
            base_url=origin, timeout=_TIMEOUT, transport=transport, follow_redirects=False
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and give its result."""
        try:
            request = next(flow)
            while True:
                try:
                    response = self._send(request)
                except (NetworkError, FormatError) as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _send(self, request: Request) -> Response:
        for attempt in count():
            try:
                response = self._once(request)
            except NetworkError as failure:
                wait = _backoff(attempt, failure)
            else:
                pause = _pause(attempt, response)
                if pause is None:
                    return response
                wait = pause
            time.sleep(wait)
        raise AssertionError

    def _once(self, request: Request) -> Response:
        body = _Body()
        try:
            answer = self._client.send(_build(self._client, request), stream=True)
            try:
                for chunk in answer.iter_bytes():
                    body.take(chunk)
            finally:
                answer.close()
        except httpx.HTTPError as error:
            raise _failure(error) from None
        return body.response(answer)


class AsyncDriver:
    """The same for asyncio; flows themselves are the very same generators."""

    def __init__(self, origin: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Talk to ``origin`` only. ``transport`` replaces the network, for tests."""
        self._client = httpx.AsyncClient(
            base_url=origin, timeout=_TIMEOUT, transport=transport, follow_redirects=False
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and give its result."""
        try:
            request = next(flow)
            while True:
                try:
                    response = await self._send(request)
                except (NetworkError, FormatError) as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _send(self, request: Request) -> Response:
        for attempt in count():
            try:
                response = await self._once(request)
            except NetworkError as failure:
                wait = _backoff(attempt, failure)
            else:
                pause = _pause(attempt, response)
                if pause is None:
                    return response
                wait = pause
            await asyncio.sleep(wait)
        raise AssertionError

    async def _once(self, request: Request) -> Response:
        body = _Body()
        try:
            answer = await self._client.send(_build(self._client, request), stream=True)
            try:
                async for chunk in answer.aiter_bytes():
                    body.take(chunk)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            raise _failure(error) from None
        return body.response(answer)
