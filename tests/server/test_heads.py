"""What surrounds a body: bounded, told apart from the next request, and never taken for a head."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from coffret_server.joined import HEAD_LIMIT
from server.process import SECONDS, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
CHUNKED = (
    b"POST /api/v1/auth/challenge HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
)
ASKED = GET + b"\r\n"
LINES = b"".join(b"x%d: y\r\n" % number for number in range(20_000))
LONG = b"x" * len(LINES)
BOMBS = {
    "lines": (GET, LINES),
    "value": (GET + b"x: ", LONG),
    "name": (GET, LONG),
    "address": (b"GET /healthz?", LONG),
    "trailers": (CHUNKED + b"0\r\n", LINES),
    "trailer": (CHUNKED + b"0\r\nx: ", LONG),
    "extension": (CHUNKED + b"2;", LONG),
}
MOST_KIB = 20_000
"""By which a server may grow; what is sent here would take two hundred megabytes of it."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server in a process."""
    with serving(tmp_path_factory.mktemp("heads")) as found:
        yield found


def _kib(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found[1])


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", BOMBS)
def test_what_surrounds_a_body_is_not_kept_without_end(running: Running, name: str) -> None:
    """Heads, trailers and extensions of chunks end a connection when they are too long.

    Anybody can send them, and nothing else looks at them before they are whole.
    """
    first, more = BOMBS[name]
    before = _kib(running)
    with socket.create_connection(running.place, SECONDS) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(more)
            pytest.fail("it takes whatever comes")
    assert _kib(running) - before < MOST_KIB


@pytest.mark.parametrize("part", ["X-Long: %s", "X: y\r\nX-%s: y"])
def test_a_head_has_a_bound(running: Running, part: str) -> None:
    """One that fits is answered; a longer one is told so, however it comes."""
    for size, status in ((HEAD_LIMIT - 200, 200), (HEAD_LIMIT, 400), (3 * HEAD_LIMIT, 400)):
        head = GET + (part % ("a" * size)).encode() + b"\r\n\r\n"
        with socket.create_connection(running.place, SECONDS) as connection:
            with contextlib.suppress(ConnectionError):  # it may have answered and gone by then
                connection.sendall(head)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 %d " % status)


def _answers(running: Running, *parts: bytes) -> list[bytes]:
    """The statuses that come for what is sent, part by part, until the server ends it."""
    with socket.create_connection(running.place, SECONDS) as connection:
        for part in parts:
            with contextlib.suppress(ConnectionError):
                connection.sendall(part)
            time.sleep(0.2)  # lets it read this part by itself; nothing depends on it
        came = b""
        with contextlib.suppress(ConnectionError):
            while found := connection.recv(65_536):
                came += found
    return re.findall(rb"HTTP/1\.1 (\d{3})", came)


@pytest.mark.parametrize("other", [b"websocket", b"h2c", b"nothing"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_body_is_no_request(running: Running, method: bytes, other: bytes) -> None:
    """A body is not read as a request because its head asks for another protocol.

    Behind a proxy, its answer would go to whoever uses the connection next.
    """
    asks = b"Connection: Upgrade\r\nUpgrade: " + other + b"\r\n"
    head = method + b" /healthz HTTP/1.1\r\nHost: a\r\n" + asks
    sized = head + b"Content-Length: %d\r\n\r\n" % len(ASKED)
    assert _answers(running, sized, ASKED) == [b"400"]
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(ASKED)
    assert _answers(running, chunked, ASKED, b"\r\n0\r\n\r\n") == [b"400"]
    # Without one it is answered as ever, in HTTP/1.1, and nothing behind it is.
    answer = b"200" if method == b"GET" else b"405"
    assert _answers(running, head + b"\r\n", ASKED) == [answer]
    assert _answers(running, head + b"\r\n" + ASKED) == [answer]


def test_what_comes_behind_a_body_is_no_head(running: Running) -> None:
    """A field behind a body says nothing: the server reads none that a proxy may not have seen."""
    typed = CHUNKED.replace(b"Content-Type: application/json\r\n", b"")
    behind = typed + b"0\r\nAuthorization: DPoP x\r\nAuthorization: DPoP x\r\n\r\n"
    behind = behind.replace(b"auth/challenge", b"log")
    assert _answers(running, behind, GET + b"Connection: close\r\n\r\n") == [b"401", b"200"]


def test_nobody_is_sent_elsewhere(running: Running) -> None:
    """A slash too much is not found: behind TLS, the way back would be said as plain http."""
    for path in ("/healthz/", "/api/v1/tags/", "/api/v1/log/"):
        answer = httpx.post(running.address + path, headers={"Host": "elsewhere"}, timeout=SECONDS)
        assert (answer.status_code, "location" in answer.headers) == (404, False), path
