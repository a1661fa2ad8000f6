"""A network between the SDK and the real server that loses, records and rewrites."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from coffret_vault.formats.checkpoint import parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BASE = "/api/v1"


class Gate(httpx.BaseTransport):
    """A transport around the real one, which is closed with it."""

    def __init__(self) -> None:
        """Go through to the network."""
        self.inner: httpx.BaseTransport = httpx.HTTPTransport(verify=False)

    def close(self) -> None:
        """Close the real one."""
        self.inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and read the answer whole."""
        response = self.inner.handle_request(request)
        response.read()
        return response


class Recorder(Gate):
    """Keeps every request as it goes out."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and keep it."""
        self.requests.append(request)
        return super().handle_request(request)

    @property
    def paths(self) -> list[str]:
        """The paths in their order, behind the base."""
        return [request.url.path.removeprefix(BASE) for request in self.requests]

    def sent(self) -> bytes:
        """Every byte that went out: lines, headers and bodies."""
        parts = []
        for request in self.requests:
            parts += [str(request.url).encode(), request.content]
            parts += [name + b": " + value for name, value in request.headers.raw]
        return b"\n".join(parts)


class Losing(Gate):
    """A network that goes away: from some request on, or for chosen answers."""

    def __init__(self) -> None:
        """Begin whole."""
        super().__init__()
        self.left = -1
        """Requests that still get through; -1 for all."""
        self.lose: Callable[[httpx.Request], bool] = lambda _: False
        """Chooses the requests whose answers are lost after the server gave them."""
        self.reaching = True
        """Whether the server gets those requests, or it is they that are lost."""
        self.between: Callable[[], None] = lambda: None
        """Called after such an answer was lost, before the next try."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, or fail as a network does."""
        if self.left == 0:
            message = "gone"
            raise httpx.ConnectError(message)
        self.left -= self.left > 0
        if not self.reaching and self.lose(request):
            message = "lost on its way"
            raise httpx.ReadError(message)
        response = super().handle_request(request)
        if self.lose(request):
            self.between()
            message = "lost"
            raise httpx.ReadError(message)
        return response


class Signed(Losing):
    """A network that goes away, and keeps every head that was sent through it or lost."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self.heads: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Keep the head of an append, whatever becomes of it."""
        if request.method != "GET" and "msgpack" in request.headers.get("content-type", ""):
            body = msgspec.msgpack.decode(request.content)
            self.heads += [body["head"]] if "head" in body else []
        return super().handle_request(request)

    def sizes(self) -> list[int]:
        """The size of each head, those sent again left out."""
        return [parse_head(note).head.size for note in dict.fromkeys(self.heads)]


def once(method: str, path: str) -> Callable[[httpx.Request], bool]:
    """Chooses the first request of this method to a path that begins so."""
    chosen: list[httpx.Request] = []

    def choose(request: httpx.Request) -> bool:
        fits = request.method == method and request.url.path.startswith(BASE + path)
        if fits and not chosen:
            chosen.append(request)
            return True
        return False

    return choose


class Evil(Recorder):
    """A hostile server: the real one, with some of its answers rewritten.

    ``rewrite[path]`` takes the decoded answer (JSON or MessagePack) and gives another one, an
    ``httpx.Response``, or changes it in place and gives None.
    """

    def __init__(self) -> None:
        """Begin honest."""
        super().__init__()
        self.rewrite: dict[str, Callable[[Any], Any]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and rewrite what comes back."""
        response = super().handle_request(request)
        path = request.url.path.removeprefix(BASE)
        change = self.rewrite.get(path)
        if change is None or response.is_error:
            return response
        packed = "msgpack" in response.headers.get("content-type", "")
        decoded = msgspec.msgpack.decode(response.content) if packed else response.json()
        changed = change(decoded)
        if isinstance(changed, httpx.Response):
            return changed
        body = decoded if changed is None else changed
        content = msgspec.msgpack.encode(body) if packed else json.dumps(body).encode()
        kind = response.headers["content-type"]
        return httpx.Response(response.status_code, content=content, headers={"content-type": kind})


class Fabricating(Recorder):
    """A hostile server that answers some paths itself, whatever the real one would say."""

    def __init__(self) -> None:
        """Begin honest."""
        super().__init__()
        self.invented: dict[str, httpx.Response] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or send it on."""
        answer = self.invented.get(request.url.path.removeprefix(BASE))
        if answer is None:
            return super().handle_request(request)
        self.requests.append(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def updating(values: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Rewrites some fields of an answer."""

    def rewrite(answer: dict[str, Any]) -> None:
        answer.update(values)

    return rewrite


def answering(answer: Any) -> Callable[[Any], Any]:
    """Gives this answer whatever the real one was."""
    return lambda _: answer
