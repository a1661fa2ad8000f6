"""Callers that send next to nothing hold nothing for long; who is merely slow gets through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from coffret_server.arriving import Arriving
from coffret_server.joined import JoinedProtocol
from coffret_server.problems import ProblemError
from server.process import SECONDS, Running, serving, until
from server.unhurried import unhurried

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

HALF = (
    b"POST /api/v1/auth/challenge HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: 38\r\n\r\n{"
)
HEAD_SECONDS = 0.4
ANSWER_SECONDS = 0.4
LARGE = 16 << 20
"""More than the sockets of both sides hold."""


@contextlib.contextmanager
def connected(running: Running, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which this was sent."""
    with socket.create_connection(running.place, SECONDS) as found:
        found.sendall(sent)
        yield found


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_half_a_request_keeps_no_server_from_ending(tmp_path: Path) -> None:
    """Told to end, it waits its time for a request, says that nothing was taken, and ends."""
    with serving(tmp_path, STOP_SECONDS="1") as running:
        with connected(running, HALF) as half:
            # What came before this has been read when this is answered.
            httpx.get(f"{running.address}/healthz", timeout=SECONDS).raise_for_status()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(SECONDS) in {0, -signal.SIGTERM}
            assert b"503 Service Unavailable" in all_of(half)
        noted = [line for line in running.err if not line.startswith("coffret-server: ")]
        assert {json.loads(line)["logger"] for line in noted} == {"uvicorn.error"}


def test_bodies_that_do_not_come_are_not_waited_for(tmp_path: Path) -> None:
    """Each of many half-sent requests is refused in time, and its connection closed."""
    with serving(tmp_path, BODY_SECONDS="1") as running, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(running, HALF)) for _ in range(50)]
        for half in held:
            answer = all_of(half)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"too-slow"' in answer
        until(lambda: sum('"status":408' in line for line in running.out) == len(held))


class Part:
    """A body that comes in so many parts, each after a while."""

    def __init__(self, parts: list[bytes], seconds: float) -> None:
        self.left = parts
        self.seconds = seconds

    async def __call__(self) -> dict[str, Any]:
        """The next one."""
        await asyncio.sleep(self.seconds)
        part = self.left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.left)}


async def _take(body: Part, patience: float) -> bytes:
    arriving, parts = Arriving(body, patience), []
    while True:
        message = await arriving.next()
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


@unhurried
async def test_a_drop_now_and_then_is_too_slow() -> None:
    """A byte at a time is never silent for long, and is not waited for either."""
    with pytest.raises(ProblemError) as refused:
        await asyncio.wait_for(_take(Part([b"x"] * 200, 0.05), 0.3), SECONDS)
    assert refused.value.code == "too-slow"


@unhurried
async def test_a_slow_body_that_moves_is_taken() -> None:
    """On a bad network a body may take many times as long as it may be silent."""
    parts = [bytes(1_000)] * 20
    assert await _take(Part(list(parts), 0.05), 0.2) == b"".join(parts)


class Quick(JoinedProtocol):
    """The same, for a test that has no minutes."""

    head_seconds = HEAD_SECONDS
    answer_seconds = ANSWER_SECONDS


class Patient(Quick):
    """The protocol as it would be without a limit for answers."""

    answer_seconds = 9_999.0


async def _answer(scope: Any, _receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(HEAD_SECONDS * 2)
    if scope["path"] == "/large":
        size = str(LARGE).encode()
        head = {"type": "http.response.start", "status": 200}
        await send({**head, "headers": [(b"content-length", size)]})
        await send({"type": "http.response.body", "body": bytes(LARGE)})
        return
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    await send(head)
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def listening(kind: Callable[..., JoinedProtocol]) -> AsyncIterator[int]:
    """The protocol under test on a port; it answers without reading bodies."""
    config = uvicorn.Config(_answer, log_config=None, lifespan="off", timeout_keep_alive=75)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, or resets, as where a byte comes in that moment."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            parts.append(part)
    return b"".join(parts)


async def _drip(port: int, first: bytes) -> bytes:
    """Send this, then a byte now and then, if anything; what comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    reading = asyncio.create_task(_read(reader))
    while not reading.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"x" if first else b"")
            await writer.drain()
        await asyncio.wait((reading,), timeout=HEAD_SECONDS / 5)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return reading.result()


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", b"ok"),
    ],
    ids=["nothing", "head", "body-behind-its-answer"],
)
@unhurried
async def test_a_connection_is_not_held_by_a_byte_now_and_then(first: bytes, answer: bytes) -> None:
    """Heads, and what is left of a body that was answered, have an end however they drip."""
    async with listening(Quick) as port:
        found = await asyncio.wait_for(_drip(port, first), SECONDS)
    assert found.endswith(answer)


@unhurried
async def test_a_request_in_work_is_not_cut_off() -> None:
    """Answers may take longer than heads may, one after the other on one connection."""
    async with listening(Quick) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * 2)  # the second waits for the first
        for _ in range(2):
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"ok"
        writer.write(b"GET / HT")
        await asyncio.sleep(HEAD_SECONDS / 4)
        writer.write(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()


async def _asked(port: int, path: str) -> socket.socket:
    """A connection on which something was asked for, and of which nothing is read yet."""
    loop = asyncio.get_running_loop()
    connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    connection.setblocking(False)  # noqa: FBT003 - as it is called
    await loop.sock_sendall(connection, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


async def _taken(connection: socket.socket, pause: float) -> int:
    """How many bytes come, with a pause after each part, until the other side ends."""
    loop, count = asyncio.get_running_loop(), 0
    with contextlib.suppress(ConnectionError):
        while part := await loop.sock_recv(connection, LARGE // 8):
            count += len(part)
            await asyncio.sleep(pause)
    return count


@pytest.mark.parametrize("kind", [Quick, Patient])
@unhurried
async def test_an_answer_that_nobody_takes_is_dropped(kind: type[JoinedProtocol]) -> None:
    """Its bytes are let go and its connection ends; without the limit it would be kept whole."""
    async with listening(kind) as port:
        connection = await _asked(port, "/large")
        await asyncio.sleep(ANSWER_SECONDS * 3)
        with connection:
            assert (await _taken(connection, 0) < LARGE) == (kind is Quick)


@unhurried
async def test_an_answer_that_is_taken_slowly_arrives() -> None:
    """In many times the seconds for which nothing need be taken, whatever head is waited for."""
    async with listening(Quick) as port:
        connection = await _asked(port, "/large")
        with connection:
            assert await _taken(connection, ANSWER_SECONDS / 4) > LARGE


@unhurried
async def test_what_waits_is_judged_by_what_waited() -> None:
    """An answer that was given just now is not too late, however little went out before it."""
    async with listening(Quick) as port:
        connection, loop = await _asked(port, "/large"), asyncio.get_running_loop()
        with connection:
            await asyncio.sleep(ANSWER_SECONDS / 2)
            asked = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
            taken = 0
            while taken < LARGE:
                taken += len(await loop.sock_recv(connection, LARGE))
            await loop.sock_sendall(connection, asked)
            await asyncio.sleep(ANSWER_SECONDS * 0.7)
            while taken < 2 * LARGE:
                part = await loop.sock_recv(connection, LARGE)
                assert part
                taken += len(part)
