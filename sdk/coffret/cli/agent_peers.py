"""Who talks to the agent: all at once, each for a short time, and nobody keeps it from the others.

Whoever runs programs as the agent's user can connect to it. One that says nothing, or drips, must
not keep the owner from locking, nor the agent from forgetting its keys in time.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from typing import TYPE_CHECKING, Self

from coffret.cli.agent_wire import MOST, asked_in, frame_of, is_same_user
from coffret_vault.errors import FormatError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from coffret.cli.agent_wire import Asked, Told

_PATIENCE = 2.0
_MOST_PEERS = 64
_LEAST_WAIT = 0.01


class _Peer:
    """A command at the other end, what it has said so far, and until when it may."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.said = b""
        self.until = time.monotonic() + _PATIENCE


class Peers:
    """Those that are connected, and the socket at which others do."""

    def __init__(self, listening: socket.socket, answer: Callable[[Asked], Told]) -> None:
        """Answer what is asked at this socket."""
        self._listening = listening
        self._answer = answer
        self._peers: list[_Peer] = []
        self._selector = selectors.DefaultSelector()
        listening.settimeout(0)
        self._selector.register(listening, selectors.EVENT_READ, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in list(self._peers):
            self._drop(peer)
        self._selector.close()

    def turn(self, seconds: float) -> None:
        """Wait so long at most for what is said, and answer it."""
        now = time.monotonic()
        wait = min([seconds, *(peer.until - now for peer in self._peers)])
        for key, _ in self._selector.select(max(_LEAST_WAIT, wait)):
            if key.data is None:
                self._welcome()
            elif key.data in self._peers:  # and not dropped for another that has come
                self._hear(key.data)
        now = time.monotonic()
        for peer in [peer for peer in self._peers if peer.until <= now]:
            self._drop(peer)

    def _welcome(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it has gone already
            return
        if not is_same_user(connection):
            connection.close()
            return
        if len(self._peers) >= _MOST_PEERS:
            self._drop(self._peers[0])
        connection.settimeout(0)
        peer = _Peer(connection)
        self._peers.append(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _hear(self, peer: _Peer) -> None:
        # A command that goes away, or talks nonsense, is no reason to lock.
        with contextlib.suppress(OSError, FormatError):
            more = peer.connection.recv(MOST)
            peer.said += more
            asked = asked_in(peer.said)
            if asked is None and more:
                return
            if asked is not None:
                peer.connection.send(frame_of(self._answer(asked)))  # far below what a socket takes
        self._drop(peer)

    def _drop(self, peer: _Peer) -> None:
        self._peers.remove(peer)
        self._selector.unregister(peer.connection)
        peer.connection.close()
