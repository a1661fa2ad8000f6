"""The two drivers: what is asked ahead, and what is done while an answer is awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import bodies, transport
from coffret.flows.http import Request, Response
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import FormatError, NetworkError
from harness import listening
from harness.listening import OK, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret.flows.http import Flow

ORIGIN = "http://127.0.0.1:1"


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces, or breaks; notes whether it was let go."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        """Take the pieces."""
        self.pieces = pieces
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Give them."""
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> Any:
        """Give them."""
        for piece in self:
            yield piece

    def close(self) -> None:
        """Note it."""
        self.closed.set()

    async def aclose(self) -> None:
        """Note it."""
        self.closed.set()


class Network(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes each request whole, then does the next step."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        """Take the steps."""
        self.steps = list(steps)
        self.told: list[str] = []

    def _next(self, request: httpx.Request, body: bytes) -> httpx.Response:
        self.told.append(f"{request.url.path[len('/api/v1') :]} {body.decode()}".strip())
        assert int(request.headers.get("content-length", "0")) == len(body)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The same for both."""
        return self._next(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same for both."""
        return self._next(request, await request.aread())


class ByPath(Network):
    """Answers by path, in whatever order it is asked."""

    def __init__(self, known: dict[str, httpx.Response]) -> None:
        """Take the answers."""
        super().__init__()
        self.known = known

    def _next(self, request: httpx.Request, body: bytes) -> httpx.Response:
        self.steps = [self.known[request.url.path[len("/api/v1") :]]]
        return super()._next(request, body)


def answer(text: bytes, status: int = 200) -> httpx.Response:
    """An answer whose body has not come yet."""
    return httpx.Response(status, headers={"retry-after": "0"}, stream=Stream(text))


def run_sync(network: Network | None, steps: Flow[Any], origin: str = ORIGIN) -> Any:
    """On the synchronous driver; without a network of ours, on sockets."""
    driver = SyncDriver(origin, transport=network)
    try:
        return driver.run(steps)
    finally:
        driver.close()


def run_async(network: Network | None, steps: Flow[Any], origin: str = ORIGIN) -> Any:
    """On the asynchronous driver; without a network of ours, on sockets."""

    async def main() -> Any:
        driver = AsyncDriver(origin, transport=network)
        try:
            return await driver.run(steps)
        finally:
            await driver.close()

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Each driver, without waiting between tries."""
    with patch.object(transport, "_FIRST_BACKOFF", 0.0):
        yield request.param


def test_work_is_done_once_while_an_answer_is_awaited(run: Callable[..., Any]) -> None:
    """Whether the request works at once or is tried again, the work is done once."""
    for lost in ([], [httpx.ReadError(""), httpx.ConnectError("")]):
        network = Network(*lost, answer(b"yes"))
        done: list[str] = []

        def steps(work: list[str] = done) -> Flow[Response]:
            return (yield Request("POST", "/x", b"body", meanwhile=lambda: work.append("done")))

        assert run(network, steps()).body == b"yes"
        assert done == ["done"]
        assert set(network.told) == {"/x body"}


def test_the_request_is_under_way_before_the_work_begins(run: Callable[..., Any]) -> None:
    """Whoever works meanwhile finds the whole body taken by the network."""
    network = Network(answer(b""))
    found: list[list[str]] = []

    def steps() -> Flow[Response]:
        return (yield Request("POST", "/x", b"b", meanwhile=lambda: found.append([*network.told])))

    run(network, steps())
    assert found == [["/x b"]]


def test_a_failure_after_the_work_is_raised(run: Callable[..., Any]) -> None:
    """A request that fails for good fails, though work was done meanwhile."""
    network = Network(*[httpx.ReadError("")] * 4)

    def steps() -> Flow[Response]:
        return (yield Request("POST", "/x", b"b", meanwhile=lambda: None))

    with pytest.raises(NetworkError):
        run(network, steps())


def ahead() -> Flow[list[bytes]]:
    """Two pages, the second asked for with the first."""
    second = Request("GET", "/2")
    one = yield Request("GET", "/1", ahead=second)
    two = yield second
    return [one.body, two.body]


def test_what_is_asked_ahead_is_under_way_while_the_flow_works(run: Callable[..., Any]) -> None:
    """The server has the next request before the flow that asks for it is done with this answer."""
    asked = threading.Event()

    class Told(Listener):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while b"/2 " not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
            asked.set()
            writer.write(OK)
            writer.close()

    def steps() -> Flow[bytes]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        assert asked.wait(30)  # the flow works: on the asynchronous driver, no loop turns meanwhile
        response: Response = yield Request("GET", "/2")
        return response.body

    with listening.listening(Told(OK)) as port:
        assert run(None, steps(), f"http://127.0.0.1:{port}") == b"ok"


def test_what_was_asked_ahead_is_not_asked_again(run: Callable[..., Any]) -> None:
    """An answer to what comes next is taken when it is asked for."""
    network = Network(answer(b"one"), answer(b"two"))
    assert run(network, ahead()) == [b"one", b"two"]
    assert network.told == ["/1", "/2"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: httpx.ReadError(""),
        lambda: httpx.Response(200, stream=Stream(b"t", httpx.ReadError(""))),
        lambda: answer(b"", 503),
    ],
    ids=["lost", "broken off", "busy"],
)
def test_what_failed_ahead_is_asked_again(
    run: Callable[..., Any], bad: Callable[[], httpx.Response | Exception]
) -> None:
    """Nobody notices that the first try of what was asked ahead failed."""
    network = Network(answer(b"one"), bad(), answer(b"two"))
    assert run(network, ahead()) == [b"one", b"two"]
    assert network.told == ["/1", "/2", "/2"]


def test_what_was_asked_ahead_is_refused_as_any_answer(run: Callable[..., Any]) -> None:
    """The cap holds for it too."""
    network = Network(answer(b"one"), answer(b"x" * 11))
    with patch.object(bodies, "MAX_ANSWER", 10), pytest.raises(FormatError):
        run(network, ahead())


@pytest.mark.parametrize("run_all", [listening.run_sync, listening.run_async])
def test_what_was_asked_ahead_for_one_flow_answers_no_other(run_all: Callable[..., Any]) -> None:
    """A flow that ended early leaves nothing: the next one hears what the server says by then."""
    asked = threading.Event()

    class Counting(Listener):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    self.reads.append(head)
                    seconds = sum(b"/2 " in one for one in self.reads)
                    writer.write(OK.replace(b"ok", b"%02d" % seconds))
                    if seconds:
                        asked.set()
            writer.close()

    def leaves() -> Flow[None]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        assert asked.wait(30)

    def asks() -> Flow[Response]:
        return (yield Request("GET", "/2"))

    with listening.listening(Counting(OK)) as port:
        _, found = run_all(f"http://127.0.0.1:{port}", leaves(), asks())
    assert found.body == b"02"


def test_what_cannot_leave_keeps_no_flow_from_its_answer() -> None:
    """What is asked ahead may need a connection that is not to be had: the flow has its page."""

    class Stuck(Network):
        """Takes what is asked ahead once the flow has worked, or no more."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/2"):
                await asyncio.wait_for(worked.wait(), 10)
            return await super().handle_async_request(request)

    worked = asyncio.Event()

    def steps() -> Flow[bytes]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        worked.set()
        response: Response = yield Request("GET", "/2")
        return response.body

    with patch.object(transport, "_LEAVING_SECONDS", 0.0):
        assert run_async(Stuck(answer(b"one"), answer(b"two")), steps()) == b"two"


def test_who_is_cancelled_leaves_nothing_that_was_asked_ahead() -> None:
    """What was to be fetched for a flow ends with it, though the network took it and is silent."""

    class Silent(Network):
        asked = asyncio.Event()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/2"):
                self.asked.set()
                await asyncio.Event().wait()
            return await super().handle_async_request(request)

    async def main() -> set[asyncio.Task[Any]]:
        network = Silent(answer(b"one"))
        driver = AsyncDriver(ORIGIN, transport=network)
        going = asyncio.create_task(driver.run(ahead()))
        await network.asked.wait()
        going.cancel()
        await asyncio.wait([going])
        left = asyncio.all_tasks() - {asyncio.current_task()}
        pending = (await asyncio.wait(left, timeout=10))[1] if left else set()
        await driver.close()
        return pending

    assert not asyncio.run(main())


def test_nobody_waits_behind_what_is_not_wanted_any_more() -> None:
    """A request that was asked ahead in vain, and is not answered, keeps no other from going."""
    asked, freed = threading.Event(), threading.Event()

    class Silent(ByPath):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/2"):
                asked.set()
                assert freed.wait(30)
            return super().handle_request(request)

    def leaves() -> Flow[None]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        assert asked.wait(30)

    def writes() -> Flow[bytes]:
        response: Response = yield Request("POST", "/3", meanwhile=lambda: None)
        return response.body

    known = {"/1": answer(b"1"), "/2": answer(b"2"), "/3": answer(b"3")}
    driver = SyncDriver(ORIGIN, transport=Silent(known))
    try:
        driver.run(leaves())
        assert driver.run(writes()) == b"3"
    finally:
        freed.set()
        driver.close()


def test_what_nobody_wants_any_more_is_let_go() -> None:
    """An answer that was asked ahead in vain is closed, not kept open."""
    stream = Stream(b"two")
    network = ByPath({"/1": answer(b"one"), "/2": httpx.Response(200, stream=stream)})
    network.known["/3"] = answer(b"three")

    def steps() -> Flow[bytes]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        while "/2" not in network.told:
            time.sleep(0.001)
        response: Response = yield Request("GET", "/3")
        return response.body

    driver = SyncDriver(ORIGIN, transport=network)
    assert driver.run(steps()) == b"three"
    driver.close()
    assert stream.closed.wait(30)
