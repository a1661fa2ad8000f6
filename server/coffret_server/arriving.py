"""How long a body may take: nobody holds a place here by sending next to nothing.

A network may be bad, so the time of a whole body has no limit. What has one is silence, and after
the same time a body has to have come at some pace on the average. Only waiting is counted: what the
server itself takes is nobody's delay.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from coffret_server.problems import ProblemError

if TYPE_CHECKING:
    from starlette.types import Message, Receive

PACE: Final = 500
"""Bytes a second, far below what a bad mobile network carries."""
_RETRY_SECONDS: Final = 1


class Arriving:
    """The parts of one body as they come."""

    __slots__ = ("_is_whole", "_patience", "_read", "_receive", "_waited")

    def __init__(self, receive: "Receive", patience: float) -> None:
        """Take parts from `receive`; `patience` is how many seconds nothing need come."""
        self._receive = receive
        self._patience = patience
        self._read = 0
        self._waited = 0.0
        self._is_whole = False

    async def next(self) -> "Message":
        """The next part; behind the last one, whatever comes, whenever it does.

        Raises:
            ProblemError: `too-slow`.
        """
        if self._is_whole:
            return await self._receive()
        left = self._patience + self._read / PACE - self._waited
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(min(left, self._patience)):
                message = await self._receive()
        except TimeoutError:
            code = "too-slow"
            detail = "the body did not come in time"
            raise ProblemError(code, detail, retry_after=_RETRY_SECONDS) from None
        self._waited += clock() - began
        self._read += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message
