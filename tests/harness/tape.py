"""What a server answered, kept, and given again: honestly, or with one answer altered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import msgspec

from harness.network import BASE, Gate

if TYPE_CHECKING:
    from collections.abc import Sequence


class Exchange(NamedTuple):
    """A request's method and path with query; the answer's status, media type and body."""

    method: str
    target: str
    status: int
    media: str
    content: bytes

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

    def __init__(self) -> None:
        """Begin with an empty tape."""
        super().__init__()
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

    def __init__(self, tape: Sequence[Exchange], place: int = -1, content: bytes = b"") -> None:
        """Answer from ``tape``, but the exchange at ``place`` with ``content``."""
        self._left = dict(enumerate(tape))
        self._last: dict[tuple[str, str], Exchange] = {}
        self._place, self._content = place, content
        self.was_asked = False
        """Whether the altered answer was given."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as then."""
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
        altered = place == self._place
        self.was_asked |= altered
        content = self._content if altered else found.content
        headers = {"content-type": found.media} if found.media else {}
        return httpx.Response(found.status, content=content, headers=headers)
