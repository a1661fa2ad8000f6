"""What a server answered, kept, and given again: honestly, or with one answer altered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import msgspec

from coffret.http1 import Answer, WireError
from harness.network import BASE, Gate

if TYPE_CHECKING:
    from collections.abc import Sequence


class Exchange(NamedTuple):
    """A request's method and path with query; the answer's status, media type and body.

    `headers` are those of the answer beside its media type.
    """

    method: str
    target: str
    status: int
    media: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def packed(self) -> bool:
        """Whether the answer is MessagePack, not JSON."""
        return "msgpack" in self.media

    def decoded(self) -> Any:
        """The answer, taken apart anew each time."""
        decode = msgspec.msgpack.decode if self.packed else msgspec.json.decode
        return decode(self.content) if self.content else None

    def encoded(self, answer: Any) -> bytes:
        """Another answer in the same encoding."""
        return msgspec.msgpack.encode(answer) if self.packed else json.dumps(answer).encode()


def _target(request: httpx.Request) -> str:
    return request.url.raw_path.decode("ascii").removeprefix(BASE)


class Taping(Gate):
    """Goes through to the server, and keeps every exchange."""

    def __init__(self, server: httpx.BaseTransport | None = None) -> None:
        """Begin with an empty tape; go through to ``server`` where one is given."""
        super().__init__()
        self.inner = server or self.inner
        self.tape: list[Exchange] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and keep what was said."""
        response = super().handle_request(request)
        media = response.headers.get("content-type", "")
        said = (request.method, _target(request))
        self.tape.append(Exchange(*said, response.status_code, media, response.content))
        return response


class Replay(httpx.BaseTransport):
    """Answers from a tape: to each request what it got then, the last again when it is repeated.

    What was never asked gets no answer at all, as if the network were gone.
    """

    def __init__(
        self, tape: Sequence[Exchange], place: int = -1, instead: Exchange | None = None
    ) -> None:
        """Answer from ``tape``, but at ``place`` as it is said in ``instead``."""
        self._left = dict(enumerate(tape))
        self._last: dict[tuple[str, str], Exchange] = {}
        self._place, self._instead = place, instead
        self._hosts: set[str] = set()
        self.was_asked = False
        """Whether the altered answer was given."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as then. Only one server is ever asked, and it gets back nothing that it said."""
        self._hosts.add(f"{request.url.scheme}://{request.url.netloc.decode()}")
        assert len(self._hosts) == 1, "two hosts were asked"
        assert not {"cookie", "referer"} & set(request.headers)
        key = request.method, _target(request)
        for place, exchange in self._left.items():
            if (exchange.method, exchange.target) == key:
                del self._left[place]
                self._last[key] = exchange
                break
        else:
            place = -2
        found = self._last.get(key)
        if found is None:
            message = "nothing of the kind was asked"
            raise httpx.ConnectError(message)
        if place == self._place and self._instead is not None:
            self.was_asked = True
            found = self._instead
        return self.answer(found)

    def answer(self, found: Exchange) -> httpx.Response:
        """What is said in an exchange, as a network brings it."""
        media = [("content-type", found.media)] if found.media else []
        headers = [*media, *found.headers]
        return httpx.Response(found.status, headers=headers, stream=httpx.ByteStream(found.content))


class Wire(Replay):
    """The same, byte by byte as a connection brings it, through the parser that devices use."""

    def answer(self, found: Exchange) -> httpx.Response:
        """As it is read from a connection that is closed behind it."""
        given = {name.lower() for name, _ in found.headers}
        lines = [f"HTTP/1.1 {found.status} Said"]
        lines += [f"content-type: {found.media}"] if found.media else []
        if not given & {"content-length", "transfer-encoding"}:
            lines.append(f"content-length: {len(found.content)}")
        lines += [f"{name}: {value}" for name, value in found.headers]
        read = Answer()
        try:
            read.feed("\r\n".join([*lines, "", ""]).encode("latin-1") + found.content)
            if not read.is_whole:
                read.feed(b"")
        except WireError as error:
            raise httpx.RemoteProtocolError(str(error)) from None
        body = httpx.ByteStream(b"".join(read.taken()))
        return httpx.Response(read.status, headers=read.headers, stream=body)
