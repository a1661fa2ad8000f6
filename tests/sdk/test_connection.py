"""The real connection, over loopback: what leaves in one piece, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coffret import async_connection, connection, transport
from coffret.flows.http import Request, Response
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import FormatError, NetworkError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from coffret.flows.http import Flow

    Act = Callable[["Listener", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

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


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., list[Response]]]:
    """Each driver, without waiting between tries."""
    with patch.object(transport, "_FIRST_BACKOFF", 0.0):
        yield request.param


def test_a_request_arrives_in_one_piece(run: Callable[..., list[Response]]) -> None:
    """Head and body are one packet, on one kept connection, with the headers that say so."""
    listener = Listener(OK)
    with listening(listener) as port:
        answers = run(f"http://127.0.0.1:{port}", one(), one(b"another"))
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 2
    assert len(listener.reads) == 2
    head, _, body = listener.reads[0].partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.startswith(b"POST /api/v1/x HTTP/1.1\r\n")
    assert b"Host: 127.0.0.1:%d\r\n" % port in head
    assert b"\r\nContent-Length: 4" in head


def test_a_large_body_arrives_whole(run: Callable[..., list[Response]]) -> None:
    """What is too much to hold is sent as it comes; nothing is lost or sent twice."""
    sizes: list[int] = []

    class Counting(Listener):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            sizes.append(len(await reader.readexactly(length)))
            writer.write(OK)
            writer.close()

    with listening(Counting(OK)) as port:
        run(f"http://127.0.0.1:{port}", one(b"x" * 3_000_000))
    assert sizes == [3_000_000]


def test_headers_have_small_letters_and_doubles_are_joined(
    run: Callable[..., list[Response]],
) -> None:
    """Whatever way a server writes them, what we look for is found."""
    answer = b"HTTP/1.1 200 OK\r\nRETRY-After: 7\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    with listening(Listener(answer)) as port:
        (found,) = run(f"http://127.0.0.1:{port}", one())
    assert found.headers["retry-after"] == "7"
    assert found.headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    "encoding",
    [b"Content-Encoding: gzip", b"content-encoding: identity\r\nCONTENT-ENCODING: deflate"],
)
def test_what_is_compressed_is_refused(run: Callable[..., list[Response]], encoding: bytes) -> None:
    """Also where a second header says so."""
    answer = b"HTTP/1.1 200 OK\r\n" + encoding + b"\r\nContent-Length: 2\r\n\r\nok"
    with listening(Listener(answer)) as port, pytest.raises(FormatError):
        run(f"http://127.0.0.1:{port}", one())


@pytest.mark.parametrize("length", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
def test_an_answer_over_the_cap_is_refused(
    run: Callable[..., list[Response]], length: bytes
) -> None:
    """Whether it says its size or not."""
    body = b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n" if b"chunked" in length else b"x" * 11
    answer = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n" + body
    with (
        listening(Listener(answer)) as port,
        patch.object(transport, "MAX_ANSWER", 10),
        pytest.raises(FormatError),
    ):
        run(f"http://127.0.0.1:{port}", one())


def test_a_redirect_is_not_followed(run: Callable[..., list[Response]]) -> None:
    """It is an answer like any other; nobody else is asked."""
    elsewhere = Listener(OK)
    with listening(elsewhere) as other:
        answer = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        with listening(Listener(answer % other)) as port:
            (found,) = run(f"http://127.0.0.1:{port}", one())
    assert found.status == 307
    assert elsewhere.reads == []


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"?\r\n"]
)
def test_a_broken_answer_is_our_error(run: Callable[..., list[Response]], answer: bytes) -> None:
    """A connection that ends early, or talks something else, never shows the library's errors."""
    with listening(Listener(answer, hang_up=True)) as port, pytest.raises(NetworkError) as found:
        run(f"http://127.0.0.1:{port}", one())
    assert found.value.__cause__ is None


def test_nobody_there_is_our_error(run: Callable[..., list[Response]]) -> None:
    """A port where nobody listens."""
    with listening(Listener(OK)) as port:
        pass
    with pytest.raises(NetworkError):
        run(f"http://127.0.0.1:{port}", one())


def _certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return file


@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_is_known_by_its_certificate(
    run: Callable[..., list[Response]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trusted: bool,
) -> None:
    """Nothing of a request is sent to a server whose certificate nobody we trust has signed."""
    file = _certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    listener = Listener(OK)
    with listening(listener, context) as port:
        if trusted:
            (found,) = run(f"https://localhost:{port}", one())
            assert found.body == b"ok"
            assert listener.reads[0].endswith(b"\r\n\r\nbody")
        else:
            with pytest.raises(NetworkError):
                run(f"https://localhost:{port}", one())
            assert listener.reads == []


class Scripted(Listener):
    """Does one thing a connection, in order; notes what each was asked."""

    def __init__(self, *acts: Act) -> None:
        """Take them; the last one stands for all that follow."""
        super().__init__(OK)
        self.acts = list(acts)

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
    listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one request and hang up."""
    await _ask(listener, reader)
    writer.write(OK)


async def twice(
    listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request with two answers, the second a moment later, that of another."""
    while await _ask(listener, reader):
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(OK.replace(b"ok", b"no"))


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


def spaced(*bodies: bytes) -> Flow[list[bytes]]:
    """Requests with a moment between them."""
    found = []
    for body in bodies:
        answer = yield Request("POST", "/x", body)
        found.append(answer.body)
        time.sleep(0.1)
    return found


def test_an_answer_that_nobody_asked_for_is_nobodys(run: Callable[..., list[Any]]) -> None:
    """What comes on a connection while nothing is awaited is not taken for the next answer."""
    listener = Scripted(twice)
    with listening(listener) as port:
        (found,) = run(f"http://127.0.0.1:{port}", spaced(b"a", b"b", b"c"))
    assert found == [b"ok"] * 3
    assert len(listener.reads) == 3


def test_a_connection_that_ended_while_it_was_idle_is_not_used(
    run: Callable[..., list[Any]],
) -> None:
    """A request that works once is sent on a new connection, and arrives once."""
    listener = Scripted(once, answering)
    with listening(listener) as port:
        (found,) = run(f"http://127.0.0.1:{port}", spaced(b"a", b"b"))
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
