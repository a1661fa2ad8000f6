"""Talk to the agent, start one, and end it."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from coffret.cli.agent_wire import (
    READY,
    Ask,
    Asked,
    Keep,
    Keys,
    Left,
    Lock,
    Look,
    Start,
    Timed,
    Told,
    is_same_user,
    process_of,
    read_told,
    write_frame,
)
from coffret.cli.private import is_ours
from coffret_vault.errors import FormatError, InputError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 5.0
_A_MOMENT = 0.05
_END_IT = "It may hold the keys still. End it: pkill -f coffret.cli.agent"


class Agent:
    """The agent of one vault, if there is one."""

    def __init__(self, path: Path) -> None:
        """Talk over the socket at ``path``."""
        self._path = path

    def keys(self) -> Keys | None:
        """What it holds; None where no agent answers."""
        with suppress(StoreError):  # of one that does not answer the person is asked instead
            told = self._ask(Ask())
            return told if isinstance(told, Keys) else None
        return None

    def keep(self, session: bytes) -> None:
        """Give it a newer session; no matter if it is gone."""
        with suppress(StoreError):
            self._ask(Keep(session))

    def seconds_left(self) -> float | None:
        """How long it holds the keys without use; None where there is no agent.

        Raises:
            StoreError: there is one that does not answer.
        """
        told = self._ask(Look())
        return told.seconds if isinstance(told, Left) and told.seconds else None

    def lock(self) -> bool:
        """End it, and say whether there was one.

        One that does not answer is ended as a process.

        Raises:
            StoreError: there is one that does not answer, and it cannot be ended.
        """
        return self._ask(Lock()) is not None

    def start(self, keys: Keys, idle: float) -> None:
        """Start an agent that holds these keys, in the place of one that is running.

        Raises:
            InputError: this system has no sockets of the kind that only one user can reach.
            StoreError: it did not start.
        """
        check_possible()
        self.lock()
        start = Start(os.fspath(self._path), idle, keys.account_key, keys.login_seed, keys.session)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "coffret.cli.agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        if not _hand_over(process, start):
            process.wait()
            message = "the process that keeps the vault unlocked did not start"
            raise StoreError(message)

    def _ask(self, asked: Asked) -> Told | None:
        if not hasattr(socket, "AF_UNIX") or not self._is_there(asked):
            return None
        deadline = time.monotonic() + _PATIENCE
        try:
            return self._exchange(asked, deadline)
        except (ConnectionError, FormatError):  # it ended just now: then there is none
            time.sleep(_A_MOMENT)
        except OSError:  # in time, or at all: modes that somebody changed keep us out
            raise _silent() from None
        try:
            return self._exchange(asked, deadline)
        except (OSError, FormatError):
            raise _silent() from None

    def _exchange(self, asked: Asked, deadline: float) -> Told | None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            try:
                self._connect(peer, deadline)
            except (FileNotFoundError, ConnectionRefusedError):  # nobody listens
                return None
            if not is_same_user(peer):
                return None
            try:
                stream = Timed(peer, deadline)
                write_frame(stream, asked)
                return read_told(stream)
            except TimeoutError:
                if isinstance(asked, Lock) and _end(peer):
                    return Left(0.0)
                raise

    def _connect(self, peer: socket.socket, deadline: float) -> None:
        peer.settimeout(_PATIENCE)
        while True:
            try:
                peer.connect(os.fspath(self._path))
            except BlockingIOError:  # too many wait there
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                time.sleep(_A_MOMENT)
            else:
                return

    def _is_there(self, asked: Asked) -> bool:
        """Whether the socket, and the folder it is in, are ours alone: nobody else listens.

        To lock, that is no condition: modes that somebody changed must not keep the keys, and who
        listens learns nothing.
        """
        try:
            found = self._path.lstat()
            if isinstance(asked, Lock):
                return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid()
            return (
                stat.S_ISSOCK(found.st_mode)
                and is_ours(found)
                and is_ours(self._path.parent.lstat())
            )
        except OSError:
            return False


def _silent() -> StoreError:
    message = "the process that keeps the vault unlocked does not answer"
    return StoreError(message, hint=_END_IT)


def _end(peer: socket.socket) -> bool:
    """End the process that listens at the other end, and say whether it has ended.

    A handle of it, taken while its socket is open, is of no other process that has its number.
    """
    number = process_of(peer)
    if number is None or number == os.getpid() or sys.platform != "linux":
        return False
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:  # it has ended meanwhile
        return True
    except OSError:
        return False
    try:
        return any(_told_to_end(process, number) for number in (signal.SIGTERM, signal.SIGKILL))
    finally:
        os.close(process)


def _told_to_end(process: int, number: signal.Signals) -> bool:
    try:
        for each in (number, signal.SIGCONT):  # one that was stopped takes it only afterwards
            signal.pidfd_send_signal(process, each)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return bool(select.select([process], [], [], _PATIENCE)[0])


def check_possible() -> None:
    """Whether an agent can be run here.

    Raises:
        InputError: it cannot.
    """
    if not hasattr(socket, "AF_UNIX") or not hasattr(os, "getuid"):
        message = "on this system, every command asks for the passphrase"
        raise InputError(message, hint="Name a file in COFFRET_PASSPHRASE_FILE to be asked less.")


def _hand_over(process: subprocess.Popen[bytes], start: Start) -> bool:
    if process.stdin is None or process.stdout is None:
        return False
    try:
        with process.stdin as pipe:
            write_frame(pipe, start)
    except BrokenPipeError:
        return False
    with process.stdout as pipe:
        return pipe.read(len(READY)) == READY
