"""Requests that are sent before the answer to the last one came: in order, few, and answered."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coffret_server.joined import PIPELINED
from server.process import SECONDS, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
DEVELOPER = b'{"name": "a", "contact": "b"}'
TYPED = b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
POST = b"POST /api/v1/developers" + TYPED
WHOLE = POST + b"Content-Length: %d\r\n\r\n" % len(DEVELOPER) + DEVELOPER
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MOST_KIB = 20_000
"""By which a server may grow; requests of this many bytes, kept as such, would take ten times."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server in a process."""
    with serving(tmp_path_factory.mktemp("pipelines")) as found:
        yield found


def _answers(running: Running, sent: bytes, least: int = 1) -> list[bytes]:
    """The statuses that come for what is sent at once: so many, and what follows them soon."""
    came, found = b"", list[bytes]()
    with socket.create_connection(running.place, SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := connection.recv(65_536):
                came += part
                found = re.findall(rb"HTTP/1\.1 (\d{3})", came)
                connection.settimeout(SECONDS if len(found) < least else 0.5)
    return found


@pytest.mark.parametrize(
    "behind",
    [
        b"\0\r\n\r\n",
        b"GET http://nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        CHUNKED + b"no size\r\n",
        b"GET /?" + b"x" * 100_000,
    ],
)
def test_a_change_is_answered_though_nonsense_follows(running: Running, behind: bytes) -> None:
    """What is no request is never answered in the place of the change before it, which is made."""
    assert _answers(running, WHOLE + behind) == [b"201"]
    assert _answers(running, HEALTH + WHOLE + behind, 2) == [b"200", b"201"]


def test_nonsense_by_itself_is_told_so(running: Running) -> None:
    """Where no answer is awaited, or its own, what cannot be read is 400."""
    assert _answers(running, b"\0\r\n\r\n") == [b"400"]
    assert _answers(running, CHUNKED + b"no size\r\n") == [b"400"]


def test_a_request_is_answered_once(running: Running) -> None:
    """A body that turns out to be nonsense behind its answer is not answered once more."""
    early = CHUNKED.replace(b"POST", b"PATCH") + b"2\r\n{}\r\n"
    with socket.create_connection(running.place, SECONDS) as connection:
        connection.sendall(early)
        connection.settimeout(SECONDS)
        came = connection.recv(65_536)
        connection.sendall(b"no size\r\n")
        while found := connection.recv(65_536):
            came += found
    assert re.findall(rb"HTTP/1\.1 (\d{3})", came) == [b"405"]


def test_a_few_may_wait(running: Running) -> None:
    """Some requests that are sent at once are all answered, and one behind them as well."""
    count = PIPELINED + 1
    assert _answers(running, HEALTH * count, count) == [b"200"] * count


@pytest.mark.attack(61)
def test_no_more_than_a_few_wait(running: Running) -> None:
    """Of a hundred thousand at once, those that may wait are answered and the rest is not read.

    Anybody can send them: kept until each is answered, they would take this server's memory, and to
    read them holds up everybody else.
    """
    status = Path(f"/proc/{running.process.pid}/status")
    before = status.read_text()
    sent = b"GET / HTTP/1.1\r\n\r\n" * 100_000
    assert len(_answers(running, sent, PIPELINED + 2)) <= PIPELINED + 1
    assert _kib(status.read_text()) - _kib(before) < MOST_KIB


def _kib(status: str) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found[1])
