"""A server of plain sockets that says what it is told, and both drivers that talk to it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from coffret.flows.http import Request, Response
from coffret.transport import AsyncDriver, SyncDriver

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from coffret.flows.http import Flow

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Listener:
    """A server that keeps what each of its reads gave, and answers each request with one text."""

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        """Answer so; ``hang_up`` before the request's body is read."""
        self.answer = answer
        self.hang_up = hang_up
        self.reads: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while data := await reader.read(1 << 20):
            self.reads.append(data)
            writer.write(self.answer)
            if self.hang_up:
                break
        writer.close()


@contextmanager
def listening(listener: Listener, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port on which it listens, in a thread of its own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
        listener.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        current = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not current]
        await asyncio.wait(rest, timeout=10) if rest else None

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield listener.port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def one(body: bytes = b"body", **options: Any) -> Flow[Response]:
    """One request."""
    return (yield Request("POST", "/x", body, **options))


def run_sync(origin: str, *flows: Flow[Response]) -> list[Response]:
    """On the synchronous driver."""
    driver = SyncDriver(origin)
    try:
        return [driver.run(flow) for flow in flows]
    finally:
        driver.close()


def run_async(origin: str, *flows: Flow[Response]) -> list[Response]:
    """On the asynchronous driver."""

    async def main() -> list[Response]:
        driver = AsyncDriver(origin)
        try:
            return [await driver.run(flow) for flow in flows]
        finally:
            await driver.close()

    return asyncio.run(main())
