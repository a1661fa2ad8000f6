"""The real connection, over loopback: what leaves in one piece, and what is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coffret import async_connection, bodies, connection, transport
from coffret.http1 import Address
from coffret.lookups import Lookups
from coffret_vault.errors import FormatError, InputError, NetworkError, TimedOutError
from harness.listening import OK, Listener, listening, one, run_async, run_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret.flows.http import Response


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
        patch.object(bodies, "MAX_ANSWER", 10),
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


@pytest.mark.parametrize(
    "proxy", ["socks5://pu:a1b2@127.0.0.1:1", "ftp://pu:a1b2@h.invalid", "http://pu:a1@b2:a1b2"]
)
def test_a_proxy_that_cannot_be_used_is_our_error(
    run: Callable[..., list[Response]], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """Its scheme or its port is none that is known here; what it is stays unsaid."""
    monkeypatch.setattr("coffret.origins.getproxies", lambda: {"https": proxy})
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(InputError, match="proxy") as caught:
        run("https://h.invalid", one())
    assert "a1b2" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(InputError, match="proxy"):
        transport.probe("https://h.invalid")


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
@pytest.mark.parametrize("said", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_our_error(
    run: Callable[..., list[Response]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: str | None,
    proxy: str | None,
) -> None:
    """A file of them that was named and is not there, or holds none, is not a crash."""
    monkeypatch.setattr("coffret.origins.getproxies", lambda: {"https": proxy} if proxy else {})
    named = tmp_path / "certificates.pem"
    if said is not None:
        named.write_text(said)
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    with pytest.raises(InputError, match="certificates"):
        run("https://h.invalid", one())
    with pytest.raises(InputError, match="certificates"):
        transport.probe("https://h.invalid")


def test_a_proxy_that_is_away_is_named_as_such(
    run: Callable[..., list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a proxy does not answer, nobody says that the server does not."""
    with listening(Listener(OK)) as port:
        pass
    away = {"https": f"http://pu:a1b2@127.0.0.1:{port}"}
    monkeypatch.setattr("coffret.origins.getproxies", lambda: away)
    with pytest.raises(NetworkError, match=r"this machine's proxy: nothing listens there$"):
        run("https://h.invalid", one())


def test_nobody_there_is_our_error(run: Callable[..., list[Response]]) -> None:
    """A port where nobody listens, or a name of no host: the error says which, and where."""
    with listening(Listener(OK)) as port:
        pass
    with pytest.raises(NetworkError, match=rf"127\.0\.0\.1:{port} .*: nothing listens there$"):
        run(f"http://127.0.0.1:{port}", one())
    with pytest.raises(NetworkError, match=r"https://no-such\.invalid .*: nobody knows a host"):
        run("https://no-such.invalid", one())


def test_a_name_that_is_not_found_in_time_is_our_error(
    run: Callable[..., list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that does not answer is waited for as long as a connection is, and no longer.

    Nor is it when an event loop ends.
    """
    answered, ended = threading.Event(), threading.Event()

    def slow(*_args: Any, **_named: Any) -> list[Any]:
        answered.wait(30)
        ended.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.05)
    try:
        with pytest.raises(TimedOutError):
            run("http://vault.example", one(repeatable=False))
        assert not ended.is_set()
    finally:
        answered.set()


def test_every_address_of_a_name_is_tried(
    run: Callable[..., list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one address refuses, the next is asked; where there is none, that is our error."""
    real = socket.getaddrinfo
    known = {"both.example": ["127.0.0.2", "127.0.0.1"], "none.example": []}

    def found(host: str, *more: Any, **named: Any) -> list[Any]:
        hosts = known.get(host, [host])
        return [place for one in hosts for place in real(one, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with listening(Listener(OK)) as port:
        (answer,) = run(f"http://both.example:{port}", one())
        assert answer.status == 200
        with pytest.raises(NetworkError):
            run(f"http://none.example:{port}", one(repeatable=False))


def test_a_socket_that_nobody_waits_for_any_more_is_closed() -> None:
    """Where a task ends before its connection is there, that is let go of."""
    begun, go_on, made = threading.Event(), threading.Event(), []

    def late(address: Address) -> socket.socket:
        begun.set()
        go_on.wait(30)
        made.append(socket.create_connection((address.host, address.port), 10))
        return made[0]

    async def leave(port: int) -> None:
        address = Address("http", "127.0.0.1", port, f"127.0.0.1:{port}", "/", b"")
        task = asyncio.create_task(async_connection._reached(address))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        patch.object(async_connection, "reached", late),
    ):
        asyncio.run(leave(server.getsockname()[1]))
        line, _ = server.accept()
        with line:
            assert line.recv(1) == b""
    assert made[0].fileno() == -1


def test_a_handshake_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses a name has, what is left for one of them is not TLS's time."""
    real, given = socket.getaddrinfo, []

    def many(host: str, *more: Any, **named: Any) -> list[Any]:
        return real(host, *more, **named) if host == "127.0.0.1" else _PLACES

    class Context:
        def wrap_socket(self, plain: socket.socket, **_named: Any) -> socket.socket:
            given.append(plain.gettimeout())
            return plain

    monkeypatch.setattr(socket, "getaddrinfo", many)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        address = Address("https", "many.example", port, f"many.example:{port}", "/", b"")
        connection._Line(address, cast("ssl.SSLContext", Context())).close()
    assert given == [connection.CONNECT_SECONDS]


_PLACES = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 0)) for n in (1, 2, 3)]


def test_an_address_of_ones_own_network_keeps_its_network() -> None:
    """A link-local address is of an interface, without which it leads nowhere."""
    assert connection._numeric(("fe80::1", 0, 0, 2)) == "fe80::1%2"
    assert connection._numeric(("2001:db8::1", 0, 0, 0)) == "2001:db8::1"
    assert connection._numeric(("192.0.2.1", 0)) == "192.0.2.1"


def test_a_lookup_that_cannot_begin_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had, that is an error of ours each time, and passes."""

    def full(_thread: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    look_up = Lookups(lambda host: [host])
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        for _ in range(9):
            with pytest.raises(OSError, match=r"^$"):
                look_up("a.example", 0.01)
    assert look_up("a.example", 10) == ["a.example"]


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
            with pytest.raises(NetworkError, match="its certificate is not one that this device"):
                run(f"https://localhost:{port}", one())
            assert listener.reads == []
