"""The agent: a small process that holds the keys of one vault while it is unlocked.

Started by ``coffret unlock`` as ``python -m coffret.cli.agent``, with the keys on its standard
input. It forgets them when it is told to, when nobody has used them for a while, or when it ends.
Python cannot promise to wipe memory, so what is relied on is that the process is gone.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from coffret.cli.agent_peers import Peers
from coffret.cli.agent_wire import (
    READY,
    Asked,
    Keep,
    Keys,
    Left,
    Lock,
    Look,
    Start,
    read_start,
)
from coffret.cli.hiding import hide_memory
from coffret.cli.private import private_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY = 5.0


def awake_seconds() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Held:
    """Keys in memory, until ``idle`` seconds after their last use."""

    def __init__(self, start: Start, clock: Callable[[], float] = awake_seconds) -> None:
        """Hold what the agent was started with."""
        self._account_key = bytearray(start.account_key)
        self._login_seed = bytearray(start.login_seed)
        self._session = bytearray(start.session)
        self._idle = start.idle
        self._clock = clock
        self._until = clock() + start.idle

    def __repr__(self) -> str:
        return "<Held>"

    def left(self) -> float:
        """Seconds until they are forgotten; 0 once they are."""
        return max(0.0, self._until - self._clock())

    def answer(self, asked: Asked) -> Keys | Left:
        """Do what a command asks; with nothing left, there is nothing to give."""
        if isinstance(asked, Lock) or not self.left():
            self.wipe()
            return Left(0.0)
        if isinstance(asked, Look):
            return Left(self.left())
        if isinstance(asked, Keep):
            self._session = bytearray(asked.session)
            return Left(self.left())
        self._until = self._clock() + self._idle
        return Keys(bytes(self._account_key), bytes(self._login_seed), bytes(self._session))

    def wipe(self) -> None:
        """Overwrite the keys and let nobody have them any more."""
        for key in (self._account_key, self._login_seed, self._session):
            key[:] = bytes(len(key))
        self._session = bytearray()
        self._until = -math.inf  # whatever the clock does next


def serve(listening: socket.socket, path: Path, held: Held) -> None:
    """Answer until the keys are forgotten, or another agent has taken the socket's place."""
    mine = _inode(path)

    def answer(asked: Asked) -> Keys | Left:
        told = held.answer(asked)
        if not held.left():
            _leave(path, mine)  # before it is said: who was told finds no agent afterwards
        return told

    try:
        with Peers(listening, answer) as peers:
            while held.left() and _inode(path) == mine:
                peers.turn(min(held.left(), _LOOK_EVERY))
    finally:
        held.wipe()
        _leave(path, mine)


def _leave(path: Path, mine: int | None) -> None:
    if _inode(path) == mine:
        with suppress(OSError):  # in a folder that was closed to us it stays, and leads nowhere
            path.unlink()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def listen(path: Path) -> socket.socket:
    """A socket at ``path`` that only this user can reach, in a folder of the same kind.

    Raises:
        StoreError: the folder is not this user's alone.
        OSError: the socket cannot be made.
    """
    private_folder(path.parent)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
    finally:
        os.umask(before)
    listening.listen()
    return listening


def _end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit


def main() -> None:
    """Hide, read the keys, answer, and end."""
    hide_memory()
    signal.signal(signal.SIGTERM, _end)
    start = read_start(sys.stdin.buffer)
    path = Path(start.socket)
    held = Held(start)
    del start
    with listen(path) as listening:
        os.write(1, READY)
        os.close(1)
        serve(listening, path, held)


if __name__ == "__main__":
    main()
