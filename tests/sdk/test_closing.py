"""Drivers that are closed while a server is silent: nobody waits for it any more."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from coffret import connection, transport
from coffret.bridge import Bridge
from coffret.flows.http import Request, Response
from coffret.http1 import Outgoing, WireError, address_of
from coffret.threads import beside
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import StoreError
from harness.listening import OK, Listener, listening

if TYPE_CHECKING:
    from concurrent.futures import Future

    from coffret.flows.http import Flow

LONG = 30.0


class Silent(Listener):
    """Answers what is asked for first, and nothing else, until its caller hangs up."""

    def __init__(self, *, begins: bool = False) -> None:
        """Begin an answer to the second request, or not."""
        super().__init__(OK)
        self.begins = begins
        self.asked, self.left = threading.Event(), threading.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while b"/1 " in await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
            if self.begins:
                writer.write(OK[:-1])
            self.asked.set()
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.left.set()


def ahead(silent: Silent, *, asks: bool) -> Flow[Response | None]:
    """The second page asked for with the first, and then asked for, or not."""
    second = Request("GET", "/2")
    yield Request("GET", "/1", ahead=second)
    assert silent.asked.wait(LONG)
    return (yield second) if asks else None


def alone() -> Flow[Response]:
    """One request that is not answered."""
    return (yield Request("GET", "/2"))


@pytest.mark.parametrize("begins", [False, True], ids=["silent", "begun"])
def test_what_was_asked_ahead_keeps_nobody_from_closing(*, begins: bool) -> None:
    """The connection ends with its driver, not when the server has been silent for a minute."""
    silent = Silent(begins=begins)
    with listening(silent) as port:
        driver = SyncDriver(f"http://127.0.0.1:{port}")
        driver.run(ahead(silent, asks=False))
        closing = threading.Thread(target=driver.close)
        closing.start()
        closing.join(LONG)
        assert not closing.is_alive()
        assert silent.left.wait(LONG)


@pytest.mark.parametrize("begins", [False, True], ids=["silent", "begun"])
@pytest.mark.parametrize("is_ahead", [False, True], ids=["asked", "asked ahead"])
def test_who_waits_when_it_is_closed_is_told_so(*, begins: bool, is_ahead: bool) -> None:
    """Another thread that closes it ends the flow that waits, with what any closed one says."""
    silent, found = Silent(begins=begins), list[BaseException]()

    def close() -> None:
        assert silent.asked.wait(LONG)
        driver.close()

    with listening(silent) as port:
        driver = SyncDriver(f"http://127.0.0.1:{port}")
        closing = threading.Thread(target=close)
        closing.start()
        try:
            driver.run(ahead(silent, asks=True) if is_ahead else alone())
        except StoreError as error:
            found.append(error)
        closing.join()
    assert ["closed" in str(error) for error in found] == [True]


@pytest.mark.parametrize("begins", [False, True], ids=["silent", "begun"])
@pytest.mark.parametrize("is_ahead", [False, True], ids=["asked", "asked ahead"])
def test_who_awaits_when_it_is_closed_is_told_so(*, begins: bool, is_ahead: bool) -> None:
    """The same for asyncio; nothing is cancelled there."""
    silent = Silent(begins=begins)

    async def main(port: int) -> None:
        driver = AsyncDriver(f"http://127.0.0.1:{port}")
        going = asyncio.create_task(driver.run(ahead(silent, asks=True) if is_ahead else alone()))
        await asyncio.to_thread(silent.asked.wait, LONG)
        await driver.close()
        with pytest.raises(StoreError, match="closed"):
            await going

    with listening(silent) as port:
        asyncio.run(main(port))


def test_what_connects_when_it_is_closed_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is there only after the end is not used: no request goes out on it."""

    def late(_address: object) -> socket.socket:
        driver.close()
        return socket.create_connection(server.getsockname())

    monkeypatch.setattr(connection, "reached", late)
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = SyncDriver("http://127.0.0.1:1")
        with pytest.raises(StoreError, match="closed"):
            driver.run(alone())
        line, _ = server.accept()
        with line:
            assert line.recv(1) == b""


def test_what_is_taken_while_it_is_closed_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread lets go of no answer that was asked ahead: half of one is not the whole."""
    silent, coming = Silent(begins=True), list["Future[Any]"]()

    def noted(*given: Any) -> Future[Any]:
        coming.append(beside(*given))
        return coming[-1]

    def late(*given: Any, **changes: Any) -> Any:
        closing = threading.Thread(target=driver.close)
        closing.start()
        closing.join()
        return replace(*given, **changes)

    def taking() -> Flow[Response]:
        second = Request("GET", "/2")
        yield Request("GET", "/1", ahead=second)
        assert coming[0].exception(LONG) is None
        monkeypatch.setattr(msgspec.structs, "replace", late)  # what was asked ahead is looked at
        return (yield second)

    replace = msgspec.structs.replace
    monkeypatch.setattr(transport, "beside", noted)
    with listening(silent) as port:
        driver = SyncDriver(f"http://127.0.0.1:{port}")
        with pytest.raises(StoreError, match="closed"):
            driver.run(taking())


class Held(httpx.BaseTransport):
    """A network that gives its second answer when it is told to."""

    def __init__(self) -> None:
        """Wait to be told."""
        self.asked, self.told, self.closed = (threading.Event() for _ in range(3))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, sooner or later."""
        if request.url.path.endswith("/2"):
            self.asked.set()
            assert self.told.wait(LONG)
        return httpx.Response(200, content=b"ok")

    def close(self) -> None:
        """Note it."""
        self.closed.set()


def test_a_network_of_httpx_is_closed_after_its_last_answer() -> None:
    """Not under the thread that waits for it: whatever has its descriptor next would be read."""
    held = Held()

    def leaves() -> Flow[None]:
        yield Request("GET", "/1", ahead=Request("GET", "/2"))
        assert held.asked.wait(LONG)

    driver = SyncDriver("http://127.0.0.1:1", transport=held)
    driver.run(leaves())
    driver.close()
    assert not held.closed.is_set()
    held.told.set()
    assert held.closed.wait(LONG)


def test_a_network_of_httpx_that_was_let_go_of_asks_nothing() -> None:
    """A request that comes as it is closed would make a connection that nobody closes."""
    held = Held()
    bridge = Bridge(None, held)
    bridge.close()
    assert held.closed.is_set()
    request = Outgoing("GET", address_of("http://127.0.0.1:1", "/1", ()), {}, b"")
    with pytest.raises(WireError):
        bridge.send(request)
