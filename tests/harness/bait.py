"""A server whose every answer names keys, places and settings, and what a weak client does then."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from harness.network import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REDIRECTS = range(300, 400)


class Bait(Recorder):
    """Adds fields to every object in every answer, but never replaces one that is there."""

    def __init__(self, more: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Add these fields, and these headers."""
        super().__init__()
        self.more = dict(more)
        self.headers = dict(headers or {})

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and put the bait into what comes back."""
        response = super().handle_request(request)
        kind = response.headers.get("content-type", "")
        if "json" not in kind:
            return response
        content = json.dumps(self._baited(response.json())).encode()
        headers = {"content-type": kind, **self.headers}
        return httpx.Response(response.status_code, content=content, headers=headers)

    def _baited(self, value: Any) -> Any:
        if isinstance(value, dict):
            inner = {name: self._baited(item) for name, item in value.items()}
            return {**self.more, **inner}
        return [self._baited(item) for item in value] if isinstance(value, list) else value


def byte_strings(request: httpx.Request) -> Iterator[bytes]:
    """Every byte string in a request's body, taken out of MessagePack, or of JSON's base64."""
    if not request.content:
        return
    packed = "msgpack" in request.headers.get("content-type", "")
    body = msgspec.msgpack.decode(request.content) if packed else json.loads(request.content)
    yield from _strings(body)


def _strings(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
        try:
            yield base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


class Elsewhere:
    """Another machine, which notes what reaches it."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback address."""
        heard = self.heard = list[dict[str, str]]()

        class Handler(BaseHTTPRequestHandler):
            """Answers everything, in as few words as there are."""

            def do_GET(self) -> None:
                heard.append({**self.headers, ":path": self.path})
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names are the library's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Listen meanwhile; the address."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self.url
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Following(httpx.BaseTransport):
    """A weak client's network: it goes where it is sent, and takes its token along."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        """Go out through another network."""
        self._inner = inner

    def close(self) -> None:
        """Close the network."""
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and follow where the answer points."""
        response = self._inner.handle_request(request)
        if response.status_code not in _REDIRECTS:
            return response
        place = httpx.URL(response.headers["location"])
        again = httpx.Request(
            "GET", place, headers={**request.headers, "host": place.netloc.decode()}
        )
        with httpx.HTTPTransport() as network:
            answer = network.handle_request(again)
            answer.read()
            return answer
