"""What ends a command from outside lets it clean up: no plaintext stays behind."""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDINGS = ("SIGTERM", "SIGHUP")  # the second is not there on Windows
_AT_ONCE = 1.0


class _Ending:
    """Raises what ends a command; signals that come together are one."""

    def __init__(self) -> None:
        self._last = -math.inf

    def __call__(self, number: int, _frame: object) -> None:
        # The end of a session sends both: the second is not to end the cleaning up. Later ones do,
        # or a command that waits for a server could not be ended.
        now = time.monotonic()
        if now - self._last < _AT_ONCE:
            return
        self._last = now
        raise SystemExit(128 + number)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end what runs here as an exception would.

    A signal that is ignored (``nohup``) stays so. A command that does more with them, as ``serve``
    does, sets its own.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may set them
        yield
        return
    handler = _Ending()
    numbers = [number for name in _ENDINGS if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers}
    replaced = {number: was for number, was in before.items() if was is signal.SIG_DFL}
    for number in replaced:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in replaced.items():
            signal.signal(number, was)
