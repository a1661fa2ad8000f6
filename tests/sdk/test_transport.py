"""The two drivers: what is tried again, what is not, and what is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffret import bodies, transport
from coffret.flows.http import Request, Response, succeed
from coffret.http1 import address_of
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import (
    FormatError,
    NetworkError,
    ServerError,
    StoreError,
    TimedOutError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from coffret.flows.http import Flow

ORIGIN = "http://127.0.0.1:1"


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers, or fails, as it was told to, in order; the last step again and again."""

    def __init__(self, *steps: int | Exception | httpx.Response) -> None:
        """Take the steps."""
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []
        self.closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Do the next step."""
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            return step
        return httpx.Response(step, headers={"retry-after": "0"}, content=b"{}")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same."""
        return self.handle_request(request)

    def close(self) -> None:
        """Note it."""
        self.closed = True

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


def flow(**options: Any) -> Flow[Response]:
    """One request."""
    return succeed((yield Request("POST", "/x", b"body", **options)))


def run_sync(script: Script, steps: Flow[Response], *, begin: bool = False) -> Response:
    """On the synchronous driver."""
    driver = SyncDriver(ORIGIN, transport=script)
    return driver.begin(steps) if begin else driver.run(steps)


def run_async(script: Script, steps: Flow[Response], *, begin: bool = False) -> Response:
    """On the asynchronous driver."""

    async def main() -> Response:
        driver = AsyncDriver(ORIGIN, transport=script)
        return await (driver.begin(steps) if begin else driver.run(steps))

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., Response]]:
    """Each driver, without waiting between tries."""
    with patch.object(transport, "_FIRST_BACKOFF", 0.0):
        yield request.param


@pytest.mark.parametrize(
    "error", [httpx.ConnectError(""), httpx.ReadError(""), httpx.ReadTimeout("")]
)
def test_a_lost_connection_is_tried_again(run: Callable[..., Response], error: Exception) -> None:
    """Two failures and an answer are an answer; the request is the same each time."""
    script = Script(error, error, 200)
    assert run(script, flow()).status == 200
    assert len(script.requests) == 3
    assert len({(str(item.url), item.content) for item in script.requests}) == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [(httpx.ConnectError(""), NetworkError), (httpx.ReadTimeout(""), TimedOutError)],
)
def test_the_last_failure_is_raised_as_ours(
    run: Callable[..., Response], error: Exception, raised: type[Exception]
) -> None:
    """After four tries the failure is one of our errors, without the library's own."""
    script = Script(error)
    with pytest.raises(raised) as found:
        run(script, flow())
    assert type(found.value) is raised
    assert found.value.__cause__ is None
    assert len(script.requests) == 4


class Stuck(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that cannot be let go of."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"{}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{}"

    def close(self) -> None:
        """Fail."""
        message = "stuck"
        raise httpx.CloseError(message)

    async def aclose(self) -> None:
        """Fail."""
        self.close()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_that_cannot_be_let_go_of_is_a_failure_of_ours(
    run: Callable[..., Response], encoding: str
) -> None:
    """Read to its end or refused at its head, whatever a transport raises as it closes."""
    script = Script(httpx.Response(200, headers={"content-encoding": encoding}, stream=Stuck()))
    with pytest.raises(NetworkError):
        run(script, flow(repeatable=False))


def test_what_works_once_is_sent_once(run: Callable[..., Response]) -> None:
    """A request that may not be repeated is not."""
    script = Script(httpx.ReadError(""))
    with pytest.raises(NetworkError):
        run(script, flow(repeatable=False))
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_busy_server_is_asked_again_when_it_says(
    run: Callable[..., Response], status: int
) -> None:
    """Too many requests and unavailability are waited for, within reason."""
    script = Script(status, 200)
    assert run(script, flow()).status == 200
    late = httpx.Response(status, headers={"retry-after": "3600"}, content=b"{}")
    script = Script(late, 200)
    with pytest.raises(ServerError):
        run(script, flow())
    assert len(script.requests) == 1


def test_an_answer_that_is_too_large_is_refused(run: Callable[..., Response]) -> None:
    """A body over the cap is not read to its end."""
    with patch.object(bodies, "MAX_ANSWER", 10), pytest.raises(FormatError):
        run(Script(httpx.Response(200, content=b"x" * 11)), flow())


def test_a_flow_can_catch_a_failure_and_go_on(run: Callable[..., Response]) -> None:
    """Failures are thrown into the flow, which may ask something else."""

    def caring() -> Flow[Response]:
        try:
            response = yield Request("GET", "/first", repeatable=False)
        except NetworkError:
            response = yield Request("GET", "/second")
        return response

    script = Script(httpx.ReadError(""), 200)
    assert run(script, caring()).status == 200
    assert [item.url.path for item in script.requests] == ["/api/v1/first", "/api/v1/second"]


def test_a_beginning_that_fails_closes_the_connection(run: Callable[..., Response]) -> None:
    """Where nobody gets the driver, nobody could close it."""
    script = Script(404)
    with pytest.raises(ServerError):
        run(script, flow(), begin=True)
    assert script.closed
    script = Script(200)
    run(script, flow(), begin=True)
    assert not script.closed


def test_requests_say_what_they_carry(run: Callable[..., Response]) -> None:
    """Token, kind and parameters are where they belong; a token shows in no representation."""
    script = Script(200)
    request = Request(
        "POST", "/x", b"b", "application/msgpack", "token-of-mine", params=(("from", "1"),)
    )

    def one() -> Flow[Response]:
        return (yield request)

    run(script, one())
    (sent,) = script.requests
    assert str(sent.url) == f"{ORIGIN}/api/v1/x?from=1"
    assert sent.headers["authorization"] == "Bearer token-of-mine"
    assert sent.headers["content-type"] == sent.headers["accept"] == "application/msgpack"
    assert "token-of-mine" not in repr(request)


_TEXT = st.text(st.characters(codec="utf-8"))
_NO_PATH = '\x7f%?#[]|^`"<>{}\\.'  # what paths of ours have none of, and httpx reads as more
_SEGMENT = st.text(
    st.characters(codec="utf-8", min_codepoint=32, exclude_characters=_NO_PATH),
)
_ORIGINS = (
    "http://localhost:8440",
    "https://memory.example",
    "https://memory.example:8443",
    "http://[::1]",
    "http://[::1]:81",
    "http://127.0.0.1:8440",
)


@given(
    st.sampled_from(_ORIGINS),
    st.lists(_SEGMENT, min_size=1).map(lambda names: "/" + "/".join(names)),
    st.dictionaries(_TEXT, _TEXT).map(lambda found: tuple(found.items())),
)
def test_addresses_are_written_as_a_general_client_writes_them(
    origin: str, path: str, params: tuple[tuple[str, str], ...]
) -> None:
    """Whatever is asked for, where: the same host, port, target and query as httpx has."""
    found = address_of(origin, path, params)
    url = httpx.URL(origin + path, **({"params": dict(params)} if params else {}))
    assert (found.scheme, found.host) == (url.scheme, url.raw_host.decode())
    assert found.port == (url.port or {"http": 80, "https": 443}[url.scheme])
    assert found.authority == url.netloc.decode()
    assert (found.target, found.query) == (url.raw_path.decode(), url.query)


def _closing(end: Callable[[], None], cleared: list[bool]) -> Flow[None]:
    """A flow that is under way when another thread or task closes its driver."""
    try:
        yield Request("GET", "/x")
        end()
        yield Request("GET", "/x")
    finally:
        cleared.append(True)


def test_what_is_under_way_at_the_end_asks_no_more() -> None:
    """Whoever closes it while a flow goes on ends that at its next question; none follows."""
    script, cleared = Script(200), list[bool]()
    driver = SyncDriver(ORIGIN, transport=script)
    for steps in (_closing(driver.close, cleared), flow()):
        with pytest.raises(StoreError, match="closed"):
            driver.run(steps)
    with pytest.raises(StoreError, match="closed"):
        driver.alone(cleared.clear)
    driver.close()
    assert (len(script.requests), cleared) == (1, [True])


def test_what_is_under_way_at_the_end_awaits_no_more() -> None:
    """The same for asyncio."""
    script, cleared = Script(200), list[bool]()

    async def main() -> None:
        driver, ends = AsyncDriver(ORIGIN, transport=script), list[asyncio.Task[None]]()

        def end() -> None:
            driver.end()  # as close() begins
            ends.append(asyncio.create_task(driver.close()))

        for steps in (_closing(end, cleared), flow()):
            with pytest.raises(StoreError, match="closed"):
                await driver.run(steps)
        with pytest.raises(StoreError, match="closed"):
            await driver.alone(cleared.clear)
        await asyncio.gather(*ends, driver.close())

    asyncio.run(main())
    assert (len(script.requests), cleared) == (1, [True])
