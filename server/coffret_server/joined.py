"""An answer's head and body in one packet, and no connection that is held for nothing.

Uvicorn writes them one after the other, and with Nagle's algorithm off (as it has to be) each is a
system call here, a packet, and a wake-up of whoever waits for it: of a small answer, half the time.

Uvicorn's own time limit begins anew with each byte, so that a head, or a body behind its answer,
could take forever. Here the time between an answer and the next request's whole head has an end.
Nor does it look whether an answer is taken, and a connection that is closed waits for that first;
here it is cut off where next to nothing of it is. It has no bound for what surrounds a body either,
which is kept until it is whole, and it takes a body for the next request where the head asks for
another protocol: whoever shares a connection behind a proxy would get the answer. And it reads on
however many requests wait for their turn, and refuses what it cannot read ahead of the answers that
are still to come; here what was read is answered in order, and no more than a few requests wait.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from coffret_server.arriving import PACE

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_ENOUGH: Final = 2
"""The head, and the first part of a body."""
HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a head, and of whatever else surrounds a body. Our own heads have two thousand."""
PIPELINED: Final = 16
"""Requests that may wait on a connection for the answer before theirs. Hardly anybody sends one."""
_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


class JoiningTransport:
    """A transport that holds back what is written until something else is, or the loop turns.

    It ends when the other side takes less than `PACE` of what waits, on the average of some
    seconds: `patience`. What waits is in this server's memory.
    """

    def __init__(
        self, inner: "asyncio.Transport", loop: "asyncio.AbstractEventLoop", patience: float
    ) -> None:
        self._inner = inner
        self._loop = loop
        self._patience = patience
        self._held: list[bytes] = []
        self._written = 0
        self._look: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Send this soon, with what else is written in this turn of the loop."""
        self._held.append(data)
        if len(self._held) == _ENOUGH:
            self._flush()
        else:
            self._loop.call_soon(self._flush)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send these in order."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Send what is held, and close when it is taken."""
        self._flush()
        self._inner.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._written += sum(map(len, held))
            self._inner.writelines(held)
            self._watch()

    def _watch(self) -> None:
        """Look after a while whether the other side takes what waits now, if anything does."""
        waiting = self._inner.get_write_buffer_size()
        if waiting and self._look is None:
            least = min(waiting, round(PACE * self._patience))
            due = self._written - waiting + least
            self._look = self._loop.call_later(self._patience, self._cut_off_unless, due)

    def _cut_off_unless(self, due: int) -> None:
        """Go on if so many bytes were taken, of all that were ever written."""
        self._look = None
        if self._written - self._inner.get_write_buffer_size() < due:
            self._inner.abort()
        else:
            self._watch()


class JoinedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, writing the head of an answer together with its body."""

    head_seconds = 105.0
    """More than a connection may rest (75 s in `cli`), by what a head may take on a bad network."""
    answer_seconds = 30.0
    """For so long an answer need not be taken, and at `PACE` after that."""
    _ending: "asyncio.TimerHandle | None" = None
    _unheard = 0
    """Bytes that came since a head or a part of a body was whole."""
    _is_in_head = True
    _is_over = False
    """Something was refused: what comes behind it is not read."""
    _is_body_due = False
    """Of the newest request the end has not come yet."""
    _answered: "RequestResponseCycle | None" = None
    """The request that is being answered, or was the last to be."""

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]
        """Begin on a transport that joins."""
        joining = JoiningTransport(transport, self.loop, self.answer_seconds)
        super().connection_made(cast("asyncio.Transport", joining))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was waited for."""
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and no more of a head, or behind a body, than one may have."""
        if self._is_over:
            return
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > HEAD_LIMIT:
            self.send_400_response("The head of the request is too long.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and read no more; what was whole before it is answered.

        Nothing says which request an answer is of but its place: the refusal of one must not come
        where the answer to the one before it is awaited, or in its midst.
        """
        if self._is_over or self.transport.is_closing():
            return
        self._is_over = True
        is_part = self._is_body_due
        if is_part and self.pipeline:  # it waits for the answers before it, and is dropped
            self.pipeline.popleft()
            is_part = False
        last = self.pipeline[0][0] if self.pipeline else self._answered
        if last is not None and not (is_part or last.response_complete):
            last.keep_alive = False  # the connection ends behind its answer
        elif is_part and last and last.response_started:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; what comes behind a body is none, and says nothing."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve a request; its body's time is the gate's to watch.

        Raises:
            ValueError: the head is too long, its body would be read as something else, or too many
                requests wait already.
        """
        self._have_head()
        self._is_in_head = False
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        is_other = self.parser.should_upgrade()
        is_else = is_other and any(name in _BODIES for name, _ in self.headers)
        if size > HEAD_LIMIT or is_else or len(self.pipeline) >= PIPELINED:
            message = "the request is refused"
            raise ValueError(message)
        super().on_headers_complete()
        self._is_body_due = True
        self._unheard = 0
        if is_other:
            self.cycle.keep_alive = False  # nor is what comes behind it read as anything

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; what comes now is the next one's head."""
        self._is_body_due = False
        self._unheard = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here."""
        is_next_here = bool(self.pipeline)
        super().on_response_complete()
        if not is_next_here:
            self._await_head()

    def _start_asgi_task(self, cycle: "RequestResponseCycle", app: "ASGI3Application") -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _await_head(self) -> None:
        self._have_head()
        if not self.transport.is_closing():
            self._ending = self.loop.call_later(self.head_seconds, self.transport.close)

    def _have_head(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
