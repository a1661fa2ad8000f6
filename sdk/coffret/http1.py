"""HTTP/1.1 (RFC 9112) as far as a device speaks it: a request's bytes, and what an answer says.

No sockets here. Answers are parsed by llhttp, with none of its leniencies, by way of httptools. An
answer has to say its length, or be chunked: where the end of the connection is the end of the body,
nobody could tell a whole one from one that was cut.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urlencode

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_LIMIT = 64 << 10
"""Bytes of an answer, and of interim ones before it, that may come without any body in them."""
_FINAL = 200
_PORTS = {"http": 80, "https": 443}
_PORT = re.compile(r":[0-9]+$")
_IN_PATHS = "/:@!$&'()*+,;="  # what need not be quoted there: RFC 3986, 3.3


class WireError(Exception):
    """A connection was lost, or what came over it is not HTTP."""


class NotReachedError(WireError):
    """No connection was made."""


class WireTimeoutError(WireError):
    """The other side was silent for too long."""


class Address(msgspec.Struct, frozen=True):
    """Where a request goes: the connection's ends, the ``Host`` header, the target; its query."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str
    query: bytes

    def url(self) -> str:
        """The address as one text."""
        return f"{self.scheme}://{self.authority}{self.target}"


@lru_cache(maxsize=64)
def address_of(origin: str, path: str, params: tuple[tuple[str, str], ...]) -> Address:
    """Where a path of an origin is: of one in the form that ``coffret.origins.check_url`` gives."""
    scheme, _, authority = origin.partition("://")
    host, _, port = authority.rpartition(":") if _PORT.search(authority) else (authority, "", "")
    target, query = quote(path, safe=_IN_PATHS), urlencode(params)
    return Address(
        scheme,
        host.strip("[]"),
        int(port or _PORTS[scheme]),
        authority,
        f"{target}?{query}" if query else target,
        query.encode("ascii"),
    )


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it is sent. Neither token nor body shows in a repr."""

    method: str
    address: Address
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Outgoing {self.method} {self.address.target}>"

    def wire(self) -> bytes:
        """Head and body, in one piece.

        Raises:
            WireError: a header would break out of its line, or is not ASCII.
        """
        lines = [f"{self.method} {self.address.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        text = "\r\n".join(lines)
        breaks = len(lines) - 1
        is_whole = text.count("\n") == text.count("\r") == breaks
        if not is_whole or "\0" in text or not text.isascii():
            message = "a header holds a line break, or what is not ASCII"
            raise WireError(message)
        return b"%b\r\n\r\n%b" % (text.encode("ascii"), self.body)


def add_header(headers: dict[str, str], name: bytes, value: bytes) -> None:
    """Take a header: names are in small letters, and what comes twice is joined."""
    key, text = name.decode("latin-1").lower(), value.decode("latin-1")
    headers[key] = f"{headers[key]}, {text}" if key in headers else text


class Answer:
    """An answer as its bytes come in.

    Attributes:
        status: three digits, once ``has_begun``.
        headers: by their names, see :func:`add_header`.
        has_begun: the head is there.
        is_whole: the body is, too.
        may_go_on: another request can follow on this connection.
    """

    __slots__ = (
        "_chunks",
        "_parser",
        "_silent",
        "has_begun",
        "headers",
        "is_whole",
        "may_go_on",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_begun = self.is_whole = self.may_go_on = False
        self._chunks: list[bytes] = []
        self._silent = 0
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            WireError: it is not HTTP, it came to its end too early, or has a head without an end.
        """
        if not data:
            message = "the connection ended within an answer"
            raise WireError(message)
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.may_go_on = False
            if self.is_whole:  # what follows is nobody's
                return
            message = "an answer is not HTTP"
            raise WireError(message) from None
        if self._silent > HEAD_LIMIT and not self.is_whole:
            message = "an answer's head is too large"
            raise WireError(message)

    def taken(self) -> list[bytes]:
        """The parts of the body that came since this was asked last."""
        found, self._chunks = self._chunks, []
        return found

    # What the parser tells. A second answer to one request makes the connection worthless; what it
    # says is not looked at.

    def on_message_begin(self) -> None:
        """One more answer begins: the one, or an interim one before it, or one too many."""
        if self.is_whole:
            self.may_go_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what stands behind the body is left."""
        if not self.has_begun:
            add_header(self.headers, name, value)

    def on_headers_complete(self) -> None:
        """The end of a head."""
        if self.has_begun:
            return
        self.status = self._parser.get_status_code()
        if self.status >= _FINAL:
            self.has_begun = True
        else:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        """A part of the body. An interim answer has none: it would be nobody's, and endless."""
        if not self.has_begun:
            raise WireError
        if not self.is_whole:
            self._silent = 0
            self._chunks.append(data)

    def on_message_complete(self) -> None:
        """The end of a body; of an interim answer, which has none."""
        if self.has_begun and not self.is_whole:
            self.is_whole = True
            self.may_go_on = self._parser.should_keep_alive()
