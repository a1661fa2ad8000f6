"""Answers as they come in: their bodies, and whether they are to be asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.http import MAX_ANSWER, Response, retry_after
from coffret_vault.errors import FormatError

if TYPE_CHECKING:
    from coffret.async_connection import AsyncIncoming
    from coffret.connection import Incoming

TRY_LATER = frozenset((408, 429, 503))
"""Statuses of answers that took nothing: docs/spec/7-http.md."""
_LONGEST_WAIT = 10.0


def asks_to_wait(response: Response) -> float | None:
    """Seconds until it is to be asked for again, or None when this answer stands."""
    if response.status not in TRY_LATER:
        return None
    asked = retry_after(response)
    return asked if asked <= _LONGEST_WAIT else None


class Body:
    """An answer's body as it comes in, refused when it is encoded or grows past the cap."""

    def __init__(self, answer: Incoming | AsyncIncoming) -> None:
        """Begin with an answer's status and headers."""
        self._status = answer.status
        self._headers = answer.headers
        self._data = bytearray()
        if self._headers.get("content-encoding", "identity").strip().lower() != "identity":
            message = "the server's answer is compressed, which nobody asked for"
            raise FormatError(message)

    def take(self, chunk: bytes) -> None:
        """Add what came.

        Raises:
            FormatError: it is more by now than an answer may be.
        """
        self._data += chunk
        if len(self._data) > MAX_ANSWER:
            message = "the server's answer is larger than it may be"
            raise FormatError(message)

    def response(self) -> Response:
        """The answer, whole."""
        return Response(self._status, self._headers, bytes(self._data))
