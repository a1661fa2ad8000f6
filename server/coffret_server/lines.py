"""A log handler that writes many lines at once.

To write and flush each line by itself takes a server longer than to check a memory's signature.
Lines keep their order, are written within a twentieth of a second, and at the end of the process
all of them are: `logging` closes its handlers then. Whoever reads them may stop reading, and a pipe
is full then. That holds up the thread alone: what comes to be too much meanwhile is left out, and
it is said how many lines that were. Where writing fails midway it goes on from there, as soon as it
can: on a disk that was full, say, or a pipe that takes no more at once.
"""

import logging
import os
import threading
import traceback
from collections import deque
from types import TracebackType
from typing import Final, Protocol

import msgspec

_SECONDS: Final = 0.05
MOST: Final = 10_000
"""Lines that may wait; one more is left out, so that memory stays bounded and nobody waits."""
LAST_SECONDS: Final = 5.0
"""For so long the end of a process waits for whoever reads, of each of its handlers."""


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Write lines."""
        ...

    def flush(self) -> object:
        """Have them written."""
        ...


class Descriptor:
    """A descriptor of the process, without a buffer that a thread could be left with at the end."""

    def __init__(self, number: int) -> None:
        """Write to it; several handlers may, one after the other."""
        self._number = number
        self._turn = threading.Lock()
        self._left = b""

    def write(self, text: str, /) -> None:
        """Write lines, however long whoever reads takes for it."""
        data = text.encode("utf-8", "backslashreplace")
        with self._turn:
            self._left += data
            self._push()

    def flush(self) -> None:
        """Write what is left where writing failed."""
        with self._turn:
            self._push()

    def _push(self) -> None:
        while self._left:
            self._left = self._left[os.write(self._number, self._left) :]


class BatchedHandler(logging.Handler):
    """Writes to a stream from a thread of its own, which begins with the first line."""

    def __init__(self, stream: Stream) -> None:
        """Write to `stream`."""
        super().__init__()
        self._stream = stream
        self._left_out = 0
        self._waiting: deque[str] = deque()
        self._arrived = threading.Event()
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if len(self._waiting) < MOST:
            self._waiting.append(self.format(record))
        else:
            self._left_out += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="coffret-log", daemon=True)
            self._thread.start()
        if not self._arrived.is_set():
            self._arrived.set()

    def _write(self) -> None:
        """Write what waits. `logging` is not to do that at the end: it would wait for a reader."""
        with self._writing:
            self._stream.flush()  # first what was left: until that is written, the rest waits
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if self._left_out:
                lines.append(f'{{"log":"nobody read it","lines_left_out":{self._left_out}}}')
                self._left_out = 0
            if lines:
                self._stream.write("\n".join((*lines, "")))
                self._stream.flush()

    def close(self) -> None:
        """End the thread, and write what waits, unless nobody reads."""
        self._ended.set()
        self._arrived.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
        if self._thread is None or not self._thread.is_alive():
            self._write()
        super().close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._arrived.wait()
            self._ended.wait(_SECONDS)
            self._arrived.clear()
            try:
                self._write()
            except OSError:  # a log that cannot be written stops nobody; it is tried again
                self._arrived.set()


def places(found: TracebackType | None) -> list[str]:
    """Where an error was, innermost last; never what its lines or its message hold."""
    frames = traceback.walk_tb(found)
    return [f"{frame.f_code.co_name}:{line}" for frame, line in frames][-8:]


class PlainFormatter(logging.Formatter):
    """What a library has to say, as a line of JSON like our own.

    Of its words only the first line of what it formats: the arguments that go into it, and the
    message and the lines of an error, may hold data. Words that were put together before would
    pass; a run with known secrets has its log searched for them (tests/adversary/test_canary.py).
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = str(record.msg).partition("\n")[0] if isinstance(record.msg, str) else ""
        line: dict[str, object] = {"logger": record.name, "said": said}
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "at": places(record.exc_info[2])}
        return msgspec.json.encode(line).decode()
