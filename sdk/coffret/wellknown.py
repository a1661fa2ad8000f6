"""Ask an app's own domain who its apps are: the one connection that is not to the server.

``docs/adr/0017-who-an-app-is.md`` says when it is made. What is asked for is one fixed path at a
host that the app itself signed; the server has no say in it. Nothing of a person goes with it: no
cookie, no token, no address of a page. But the connection tells the domain this device's address.
Redirects are not followed, and addresses inside this machine or its network are not connected to,
or a stranger's app could have a device call its owner's router. The name is looked up once, and
what was looked up is what is connected to, so that a name cannot change between the two.
"""

from __future__ import annotations

import io
import socket
import ssl
from http.client import HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from coffret.flows.http import Response
from coffret.lookups import Lookups
from coffret_vault.errors import FormatError, InputError, NetworkError
from coffret_vault.grants.domain import MAX_DOCUMENT, WELL_KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Addresses = Callable[[str], Iterable[tuple[str, int]]]

_PORT = 443
_SECONDS = 10.0
_MOST = MAX_DOCUMENT + (16 << 10)  # the file and what goes before it
_CHUNK = 16 << 10
_NAT64 = IPv6Network("64:ff9b::/96")


def look_up(host: str) -> list[tuple[str, int]]:
    """The addresses of a host, as this machine's resolver gives them.

    Raises:
        NetworkError: there is none, or this machine goes out through a proxy: a connection past
            it would show an address that its user may want hidden.
    """
    proxies = getproxies()
    if (proxies.get("https") or proxies.get("all")) and not proxy_bypass(host):
        message = "this machine goes out through a proxy, which the check would pass by"
        raise NetworkError(message)
    try:
        found = socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NetworkError from None
    return [(str(address[0]), _PORT) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's on the internet: not this machine's nor its network's.

    IPv6 addresses that stand for an IPv4 address (RFC 4291, 3056, 6052) are judged by that one.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is None and found.is_site_local:
            return False
        found = found if inner is None else inner
    return found.is_global and not found.is_multicast and not found.is_reserved


class Web:
    """Fetches the file of a domain's apps, over verified TLS, once, within ten seconds in all."""

    def __init__(
        self,
        *,
        addresses: Addresses = look_up,
        allowed: Callable[[str], bool] = is_public,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        """Use this machine's resolver and its certificates; tests bring their own.

        Args:
            addresses: gives a host's ``(IP address, port)`` pairs.
            allowed: says which IP addresses may be connected to.
            context: makes what verifies TLS.
        """
        self._look_up = Lookups(addresses)
        self._allowed = allowed
        self._context = context

    def __call__(self, host: str) -> Response:
        """The answer of ``https://host/.well-known/coffret-app.json``; its headers are left out.

        Raises:
            NetworkError: it cannot be reached like this, or not in time.
            FormatError: the answer is too long, compressed, or not HTTP.
        """
        deadline = monotonic() + _SECONDS
        found = self._look_up(host, _left(deadline))
        if not found or not all(self._allowed(address) for address, _ in found):
            message = "the app's website has no address on the internet"
            raise NetworkError(message)
        try:
            return _parse(self._exchange(host, found, deadline))
        except (OSError, UnicodeError, InputError):  # the last: no certificates can be read
            message = "the app's website could not be reached"
            raise NetworkError(message) from None

    def _exchange(self, host: str, found: list[tuple[str, int]], deadline: float) -> bytes:
        context = self._context()
        with _connect(found, deadline) as plain:
            plain.settimeout(_left(deadline))
            with context.wrap_socket(plain, server_hostname=host) as tls:
                tls.settimeout(_left(deadline))
                tls.sendall(_request(host))
                return _read(tls, deadline)


def _connect(found: list[tuple[str, int]], deadline: float) -> socket.socket:
    failure: OSError = OSError()
    for address in found:
        try:
            return socket.create_connection(address, _left(deadline))
        except OSError as error:
            failure = error
    raise failure


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(host: str) -> bytes:
    lines = (
        f"GET {WELL_KNOWN} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: coffret",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _read(tls: ssl.SSLSocket, deadline: float) -> bytes:
    """Everything until the other side closes; a slow drip does not outlast the deadline."""
    data = bytearray()
    while True:
        tls.settimeout(_left(deadline))
        chunk = tls.recv(_CHUNK)
        if not chunk:
            return bytes(data)
        data += chunk
        if len(data) > _MOST:
            message = "the file of the app's website is too long"
            raise FormatError(message)


class _Received:
    """Bytes that were read already, in the shape that ``HTTPResponse`` reads from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parse(data: bytes) -> Response:
    answer = HTTPResponse(_Received(data), method="GET")  # type: ignore[arg-type]
    try:
        answer.begin()
        body = answer.read()
    except (HTTPException, ValueError, OverflowError):  # the last for a length beyond 64 bits
        message = "the app's website does not answer as a website does"
        raise FormatError(message) from None
    if answer.getheader("content-encoding", "identity").strip().lower() != "identity":
        message = "the app's website answers compressed, which nobody asked for"
        raise FormatError(message)
    return Response(answer.status, {}, body)
