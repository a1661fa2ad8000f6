"""Bodies as they come in: nothing is unpacked, and nothing grows past the cap."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import bodies
from coffret.flows.http import Request, Response
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from coffret.flows.http import Flow

ORIGIN = "http://127.0.0.1:1"
CAP = 1_000
BOMB = gzip.compress(gzip.compress(bytes(CAP * 1_000)))


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in small pieces that counts what was taken of it."""

    def __init__(self, data: bytes, *, times: int = 1) -> None:
        """Give ``data`` so many times."""
        self.data = data
        self.times = times
        self.taken = 0
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.times):
            self.taken += len(self.data)
            yield self.data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part

    def close(self) -> None:
        """Note it."""
        self.closed = True

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


class Fixed(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Gives one answer and keeps what was asked."""

    def __init__(self, stream: Stream, encoding: str | None) -> None:
        """Answer with this body, said to be encoded like this."""
        self.stream = stream
        self.headers = {} if encoding is None else {"content-encoding": encoding}
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.asked.append(request)
        return httpx.Response(200, headers=self.headers, stream=self.stream)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same."""
        return self.handle_request(request)


def _flow() -> Flow[Response]:
    return (yield Request("GET", "/x"))


def _run_sync(network: Fixed) -> Response:
    return SyncDriver(ORIGIN, transport=network).run(_flow())


def _run_async(network: Fixed) -> Response:
    async def main() -> Response:
        return await AsyncDriver(ORIGIN, transport=network).run(_flow())

    return asyncio.run(main())


@pytest.fixture(params=[_run_sync, _run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Fixed], Response]]:
    """Each driver, with a cap that a test can reach."""
    with patch.object(bodies, "MAX_ANSWER", CAP):
        yield request.param


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "br", "x", "identity, gzip"])
def test_a_compressed_answer_is_refused_unread(
    run: Callable[[Fixed], Response], encoding: str
) -> None:
    """A bomb in any encoding is refused by its header; not a byte of it is taken or unpacked."""
    network = Fixed(Stream(BOMB), encoding)
    with pytest.raises(FormatError, match="compressed"):
        run(network)
    assert network.stream.taken == 0
    assert network.stream.closed


@pytest.mark.parametrize("encoding", [None, "identity", "IDENTITY"])
def test_a_body_comes_as_it_was_sent(
    run: Callable[[Fixed], Response], encoding: str | None
) -> None:
    """What looks compressed but is not said to be arrives as it is; we ask for nothing else."""
    network = Fixed(Stream(BOMB), encoding)
    assert run(network).body == BOMB
    assert network.asked[0].headers.get_list("accept-encoding") == ["identity"]
    assert network.stream.closed


@pytest.mark.parametrize("size", [1, 7, CAP])
def test_an_answer_is_taken_up_to_the_cap(run: Callable[[Fixed], Response], size: int) -> None:
    """A body of exactly the cap arrives; of one that goes on, no more than one piece is taken."""
    whole = Fixed(Stream(b"a" * size, times=CAP // size), None)
    assert run(whole).body == b"a" * (CAP // size * size)
    endless = Fixed(Stream(b"a" * size, times=10**9), None)
    with pytest.raises(FormatError, match="larger"):
        run(endless)
    assert endless.stream.taken <= CAP + size
    assert endless.stream.closed
