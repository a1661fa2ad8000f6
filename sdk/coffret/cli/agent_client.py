"""Talk to the agent, start one, and end it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
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
    Told,
    is_same_user,
    read_told,
    write_frame,
)
from coffret.cli.private import is_ours
from coffret_vault.errors import FormatError, InputError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 5.0


class Agent:
    """The agent of one vault, if there is one."""

    def __init__(self, path: Path) -> None:
        """Talk over the socket at ``path``."""
        self._path = path

    def keys(self) -> Keys | None:
        """What it holds; None where no agent answers."""
        told = self._ask(Ask())
        return told if isinstance(told, Keys) else None

    def keep(self, session: bytes) -> None:
        """Give it a newer session; no matter if it is gone."""
        self._ask(Keep(session))

    def seconds_left(self) -> float | None:
        """How long it holds the keys without use; None where no agent answers."""
        told = self._ask(Look())
        return told.seconds if isinstance(told, Left) and told.seconds else None

    def lock(self) -> bool:
        """End it, and say whether there was one."""
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
        if not hasattr(socket, "AF_UNIX") or not self._is_ours():
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_PATIENCE)
            try:
                peer.connect(os.fspath(self._path))
                if not is_same_user(peer):
                    return None
                with peer.makefile("rwb") as stream:
                    write_frame(stream, asked)
                    return read_told(stream)
            except (OSError, FormatError):
                return None

    def _is_ours(self) -> bool:
        """Whether the socket, and the folder it is in, are ours alone: nobody else listens."""
        try:
            found = self._path.lstat()
            return (
                stat.S_ISSOCK(found.st_mode)
                and is_ours(found)
                and is_ours(self._path.parent.lstat())
            )
        except OSError:
            return False


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
