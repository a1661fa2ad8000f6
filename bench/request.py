"""What one small request takes of the device's processor: our connection beside other clients."""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import time
from typing import TYPE_CHECKING

import httpx

from bench.rows import Row, bounded, median, told
from coffret.connection import Sockets
from coffret.http1 import Address, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from bench.rows import Plan

_BODY = bytes(1_200)
_HEADERS = {
    "Host": "127.0.0.1",
    "User-Agent": "coffret",
    "Accept": "application/msgpack",
    "Content-Type": "application/msgpack",
    "Content-Length": str(len(_BODY)),
    "Authorization": "DPoP " + "t" * 43,
}
_ANSWER = (
    b"HTTP/1.1 201 Created\r\ndate: Sun, 22 Nov 2026 00:00:00 GMT\r\n"
    b"content-type: application/msgpack\r\ncontent-length: 20\r\nx-request-id: 0123456789abcdef\r\n"
    b"ratelimit-limit: 600\r\nratelimit-remaining: 599\r\nratelimit-reset: 1\r\n\r\n" + bytes(20)
)
_CHUNK = 100
_SECONDS = 3.0


class _Canned(asyncio.Protocol):
    """Answers each request, which comes in one piece, with the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        self._transport.write(_ANSWER)  # type: ignore[attr-defined]  # it is a socket's


def _serve(ready: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Canned, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _ours(port: int) -> Callable[[], int]:
    sockets = Sockets(None)
    address = Address("http", "127.0.0.1", port, f"127.0.0.1:{port}", "/api/v1/x", b"")

    def call() -> int:
        answer = sockets.send(Outgoing("POST", address, _HEADERS, _BODY))
        b"".join(answer)
        answer.close()
        return answer.status

    return call


def _standard(port: int) -> Callable[[], int]:
    line = http.client.HTTPConnection("127.0.0.1", port)

    def call() -> int:
        line.request("POST", "/api/v1/x", _BODY, _HEADERS)
        answer = line.getresponse()
        answer.read()
        return answer.status

    return call


def _httpx(port: int) -> Callable[[], int]:
    client = httpx.Client()
    url = f"http://127.0.0.1:{port}/api/v1/x"
    return lambda: client.post(url, content=_BODY, headers=_HEADERS).status_code


def requests(plan: Plan) -> list[Row]:
    """Microseconds of processor time each, median of chunks, taken in turns."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    calls = {
        "one request of the device": _ours(port),
        "  by http.client": _standard(port),
        "  by httpx": _httpx(port),
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    try:
        for _ in bounded(plan.count(30, 10), _SECONDS):
            for name, call in calls.items():
                spent[name].append(_micros(call))
    finally:
        server.terminate()
        server.join()
    return [told(f"  {name}", median(times), "µs") for name, times in spent.items()]


def _micros(call: Callable[[], int]) -> float:
    started = time.process_time()
    for _ in range(_CHUNK):
        assert call() == http.client.CREATED
    return (time.process_time() - started) / _CHUNK * 1e6
