"""Connections: sockets, or a transport of httpx where one is given or a proxy is between.

A general client takes longer over a request than sealing, signing and keeping a memory take
together, mostly for parsing in Python what httptools parses in C (docs/adr/0027). Everything that
such a client does on top (redirects, cookies, credentials from files, decoding) is left out on
purpose: see ``coffret.transport``.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from coffret.http1 import (
    Answer,
    NotReachedError,
    Outgoing,
    WireError,
    WireTimeoutError,
)
from coffret.lookups import Lookups
from coffret_vault.errors import InputError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from coffret.http1 import Address

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 60.0
KEPT_SECONDS = 5.0
"""How long a connection that nobody uses is kept: less than a server does."""
KEPT = 2
_LEAST_SECONDS = 0.05
"""For the last of a host's addresses, where those before it took all the time."""
_AT_ONCE = 256 << 10

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not one that this device trusts"),
    (ssl.SSLError, "it does not speak TLS as this device does"),
    (socket.gaierror, "nobody knows a host of that name"),
    (UnicodeError, "nobody knows a host of that name"),
    (ConnectionRefusedError, "nothing listens there"),
)


class Incoming(Protocol):
    """An answer whose body is still to be read."""

    status: int
    headers: dict[str, str]

    def __iter__(self) -> Iterator[bytes]:
        """The body, piece by piece."""
        ...

    def close(self) -> None:
        """Let go of it, read or not."""
        ...


class Connection(Protocol):
    """Where requests go, one after another."""

    def send(self, request: Outgoing, sent: threading.Event | None = None) -> Incoming:
        """Send a request, say so, and wait until its answer begins."""
        ...

    def close(self) -> None:
        """Let go of the network."""
        ...


def connect(origin: str, proxy: str | None, given: httpx.BaseTransport | None) -> Connection:
    """A connection to an origin, made when the first request goes out."""
    if given is not None or proxy is not None:
        from coffret.bridge import Bridge  # noqa: PLC0415 - loads httpx: only for this

        return Bridge(proxy, given)
    return Sockets(trusted(origin))


def trusted(origin: str) -> ssl.SSLContext | None:
    """What a connection to an origin is secured by; None for one that is in the clear.

    Errors as :func:`certificates`.
    """
    if not origin.startswith("https://"):
        return None
    context = certificates()
    context.set_alpn_protocols(["http/1.1"])
    return context


def certificates() -> ssl.SSLContext:
    """The certificates that are trusted: those of certifi, or that this machine's settings name.

    Reading them takes a while.

    Raises:
        InputError: they cannot be read.
    """
    import certifi  # noqa: PLC0415 - when used

    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        if file or folder:
            return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
        return ssl.create_default_context(cafile=certifi.where())
    except OSError:
        message = "the certificates that this machine's settings name cannot be read"
        raise InputError(message, hint="Look at SSL_CERT_FILE and SSL_CERT_DIR.") from None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(_numeric(place) for *_, place in found))


def _numeric(place: tuple[object, ...]) -> str:
    """An address as text; a link-local one leads nowhere without its interface."""
    host, scope = place[0], place[3:]
    return f"{host}%{scope[0]}" if any(scope) else f"{host}"


_look_up = Lookups(_addresses)


def reached(address: Address) -> socket.socket:
    """A socket to the first of a host's addresses that takes it; each has its share of the time.

    Raises:
        OSError: none does.
        UnicodeError: the host is no name.
        TimedOutError: its name is not found in time.
    """
    end = time.monotonic() + CONNECT_SECONDS
    host = address.host
    hosts = [host] if _is_address(host) else _look_up(host, CONNECT_SECONDS)
    failure: OSError | None = None
    for left, host in zip(range(len(hosts), 0, -1), hosts, strict=True):
        share = max(end - time.monotonic(), _LEAST_SECONDS) / left
        try:
            return socket.create_connection((host, address.port), share)
        except OSError as error:
            failure = error
    raise failure or OSError


class _Line:
    """One socket."""

    def __init__(self, address: Address, context: ssl.SSLContext | None) -> None:
        self.used = 0.0
        try:
            self._socket = reached(address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(CONNECT_SECONDS)  # the handshake has a time of its own
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
            self._socket.settimeout(SILENT_SECONDS)
        except (OSError, UnicodeError, TimedOutError) as error:
            raise not_reached(error) from None

    def is_fresh(self) -> bool:
        """Whether it can be used again: what came unasked, or its end, makes it worthless."""
        return time.monotonic() - self.used <= KEPT_SECONDS and not is_readable(self._socket)

    def send(self, data: bytes) -> None:
        """Send all of it; the silence that ends it is of a single step, not of all."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise WireTimeoutError from None
        except OSError:
            return  # the other side hung up: its answer may say why, and is read

    def receive(self) -> bytes:
        """What there is; nothing at the end."""
        try:
            return self._socket.recv(_AT_ONCE)
        except OSError as error:
            raise _failure(error) from None

    def end(self) -> None:
        """Have who waits for it, in another thread, wait no more.

        Not as a TLS socket does it, which would take what comes then for plain text.
        """
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def is_readable(line: socket.socket) -> bool:
    """Whether something came, or the end."""
    if sys.platform == "win32":
        return bool(select.select([line], [], [], 0)[0])
    waiting = select.poll()  # which takes descriptors beyond 1,024, too
    waiting.register(line, select.POLLIN)
    return bool(waiting.poll(0))


def _failure(error: Exception) -> WireError:
    late = isinstance(error, TimeoutError | TimedOutError)
    return WireTimeoutError() if late else WireError()


def not_reached(error: Exception) -> WireError:
    """The same where no connection was made."""
    late = isinstance(error, TimeoutError | TimedOutError)
    return WireTimeoutError() if late else NotReachedError()


def reason_of(error: BaseException | None) -> str:
    """Why there is no connection, in words that a person can use; nothing of it is the server's."""
    while error is not None:  # what happened is wrapped, by httpx twice
        for kind, reason in _REASONS:
            if isinstance(error, kind):
                return reason
        error = error.__cause__ or error.__context__
    return ""


class Sockets:
    """Connections to one server: mostly one, and one more while an answer is read ahead."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._idle: list[_Line] = []
        self._used = set[_Line]()
        self._lock = threading.Lock()
        self._is_open = True

    def send(self, request: Outgoing, sent: threading.Event | None = None) -> Incoming:
        """Send a request, say so, and wait until its answer begins.

        Raises:
            WireError: there is no connection, or no answer.
        """
        data, line = request.wire(), self._line(request.address)
        answer = Answer()
        try:
            line.send(data)
            if sent is not None:
                sent.set()
            while not answer.has_begun:
                answer.feed(line.receive())
        except BaseException:
            self.drop(line)
            raise
        return _Received(self, line, answer)

    def _line(self, address: Address) -> _Line:
        line = self._kept() or _Line(address, self._context)
        with self._lock:
            if self._is_open:
                self._used.add(line)
                return line
        line.close()
        raise WireError

    def _kept(self) -> _Line | None:
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None or line.is_fresh():
                return line
            line.close()

    def keep(self, line: _Line) -> None:
        """Take a connection back whose answer was read to its end."""
        line.used = time.monotonic()
        with self._lock:
            if self._is_open and len(self._idle) < KEPT:
                self._used.discard(line)
                self._idle.append(line)
                return
        self.drop(line)

    def drop(self, line: _Line) -> None:
        """Close a connection that is of no more use."""
        with self._lock:  # so that nobody ends what has its number by then
            self._used.discard(line)
        line.close()

    def close(self) -> None:
        """Let go of the network; who waits for an answer, in another thread, waits no more."""
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, []
            for line in self._used:
                line.end()
        for line in idle:
            line.close()


class _Received:
    """An answer on a socket."""

    def __init__(self, sockets: Sockets, line: _Line, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._sockets = sockets
        self._line: _Line | None = line
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.taken()
        while not self._answer.is_whole and self._line is not None:
            self._answer.feed(self._line.receive())
            yield from self._answer.taken()

    def close(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if self._answer.is_whole and self._answer.may_go_on:
            self._sockets.keep(line)
        else:
            self._sockets.drop(line)
