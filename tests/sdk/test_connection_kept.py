"""A connection that is kept: when another request follows on it, and when none does."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import async_connection, connection, transport
from coffret.flows.http import Request, Response
from coffret.transport import AsyncDriver
from coffret_vault.errors import TimedOutError
from harness.listening import OK, Listener, listening, one, run_async, run_sync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from coffret.flows.http import Flow

    Act = Callable[["Scripted", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., list[Response]]]:
    """Each driver, without waiting between tries."""
    with patch.object(transport, "_FIRST_BACKOFF", 0.0):
        yield request.param


class Scripted(Listener):
    """Does one thing a connection, in order; notes what it was asked, and tells of what it did."""

    def __init__(self, *acts: Act) -> None:
        """Take them; the last one stands for all that follow."""
        super().__init__(OK)
        self.acts = list(acts)
        self.heard, self.did = threading.Event(), threading.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        await act(self, reader, writer)
        writer.close()


async def _ask(listener: Listener, reader: asyncio.StreamReader) -> bool:
    data = await reader.read(1 << 16)
    listener.reads.append(data)
    return bool(data)


async def answering(
    listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request."""
    while await _ask(listener, reader):
        writer.write(OK)


async def once(
    listener: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one request and hang up."""
    await _ask(listener, reader)
    writer.write(OK)
    writer.close()
    await writer.wait_closed()
    listener.did.set()


async def twice(
    listener: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request with two answers, the second when the first was heard, of another."""
    while await _ask(listener, reader):
        writer.write(OK)
        assert await asyncio.to_thread(listener.heard.wait, 30)
        listener.heard.clear()
        writer.write(OK.replace(b"ok", b"no"))  # leaves at once: nothing waits before it
        listener.did.set()


async def refusing(
    listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Say why before the body is read, and hang up."""
    await reader.readuntil(b"\r\n\r\n")
    listener.reads.append(b"")
    writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.write_eof()
    await asyncio.sleep(0.05)


async def silent(listener: Listener, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take a request and say nothing."""
    await _ask(listener, reader)
    await reader.read()


def spaced(listener: Scripted, *bodies: bytes) -> Flow[list[bytes]]:
    """Requests, each of which but the first waits for what the server does unasked."""
    found: list[bytes] = []
    for body in bodies:
        if found:
            assert listener.did.wait(30)
            listener.did.clear()
        answer = yield Request("POST", "/x", body)
        found.append(answer.body)
        listener.heard.set()
    return found


def test_an_answer_that_nobody_asked_for_is_nobodys(run: Callable[..., list[Any]]) -> None:
    """What comes on a connection while nothing is awaited is not taken for the next answer."""
    listener = Scripted(twice)
    with listening(listener) as port:
        (found,) = run(f"http://127.0.0.1:{port}", spaced(listener, b"a", b"b", b"c"))
    assert found == [b"ok"] * 3
    assert [data[-1:] for data in listener.reads if data] == [b"a", b"b", b"c"]


def test_a_connection_that_ended_while_it_was_idle_is_not_used(
    run: Callable[..., list[Any]],
) -> None:
    """A request that works once is sent on a new connection, and arrives once."""
    listener = Scripted(once, answering)
    with listening(listener) as port:
        (found,) = run(f"http://127.0.0.1:{port}", spaced(listener, b"a", b"b"))
    assert found == [b"ok"] * 2
    assert [data.endswith((b"\r\n\r\na", b"\r\n\r\nb")) for data in listener.reads if data] == [
        True,
        True,
    ]


def test_a_server_that_hung_up_is_still_heard(run: Callable[..., list[Response]]) -> None:
    """Where a body is too large to be taken, the answer that says so is read all the same."""
    listener = Scripted(refusing)
    with listening(listener) as port:
        (found,) = run(f"http://127.0.0.1:{port}", one(b"x" * 200_000))
    assert found.status == 413
    assert len(listener.reads) == 1


def test_silence_is_our_error(run: Callable[..., list[Response]]) -> None:
    """Whoever takes a request and says nothing is waited for as long as that, and no longer."""
    with (
        listening(Scripted(silent)) as port,
        patch.object(connection, "SILENT_SECONDS", 0.05),
        patch.object(async_connection, "SILENT_SECONDS", 0.05),
        pytest.raises(TimedOutError),
    ):
        run(f"http://127.0.0.1:{port}", one(repeatable=False))


async def hasty(
    listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer before the body is read, and read no more of it for a while."""
    listener.reads.append(await reader.readuntil(b"\r\n\r\n"))
    writer.write(OK)
    await writer.drain()
    await asyncio.sleep(0.2)


def test_nothing_is_sent_behind_a_request_that_has_not_left_yet() -> None:
    """What was answered too early keeps its connection: the next request is no part of its body."""
    listener = Scripted(hasty)
    with listening(listener) as port:
        body, origin = b"x" * (16 << 20), f"http://127.0.0.1:{port}"
        found = run_async(origin, one(body), one(b"next", repeatable=False))
    assert [answer.body for answer in found] == [b"ok"] * 2
    assert len(listener.reads) == 2


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_connection_ends_with_its_loop() -> None:
    """A driver that is used in a second loop connects anew, and can be closed in a third."""
    listener = Listener(OK)
    with listening(listener) as port:
        driver = AsyncDriver(f"http://127.0.0.1:{port}")
        found = [asyncio.run(driver.run(one(repeatable=False))).body for _ in range(2)]
        asyncio.run(driver.close())
        gc.collect()
    assert found == [b"ok"] * 2
    assert len(listener.reads) == 2
