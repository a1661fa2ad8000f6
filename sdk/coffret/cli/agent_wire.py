"""What the agent and a command say to each other, over a socket that only their user can reach.

A frame is a length of four bytes, big-endian, and a MessagePack message of at most 4 KiB. The keys
of :class:`Start` and :class:`Keys` cross a pipe or a socket between two processes of one person,
and are nowhere else: not on a disk, in an argument, in an environment or in a log.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from coffret_vault.errors import FormatError

T = TypeVar("T")

MOST = 4096
READY = b"ready\n"
_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")


class Stream(Protocol):
    """A pipe's end, or both directions of a socket."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer at the end."""

    def write(self, data: bytes, /) -> int:
        """Take bytes."""

    def flush(self) -> None:
        """Send them."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Start(_Message, frozen=True, tag="start"):
    """What a new agent holds, where it answers, and for how many seconds without use."""

    socket: str
    idle: float
    account_key: bytes
    login_seed: bytes
    session: bytes


class Ask(_Message, frozen=True, tag="ask"):
    """Give me the keys; answered by :class:`Keys`. Counts as use."""


class Keep(_Message, frozen=True, tag="keep"):
    """Hold this newer session; answered by :class:`Left`."""

    session: bytes


class Look(_Message, frozen=True, tag="look"):
    """How long do you hold them yet? Answered by :class:`Left`; does not count as use."""


class Lock(_Message, frozen=True, tag="lock"):
    """Forget them and end; answered by :class:`Left` of 0."""


class Keys(_Message, frozen=True, tag="keys"):
    """The keys."""

    account_key: bytes
    login_seed: bytes
    session: bytes


class Left(_Message, frozen=True, tag="left"):
    """Seconds until the agent locks by itself."""

    seconds: float


Asked: TypeAlias = Ask | Keep | Look | Lock
Told: TypeAlias = Keys | Left

_encode = msgspec.msgpack.Encoder().encode
_asked: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)
_told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
_start = msgspec.msgpack.Decoder(Start)


class Timed:
    """A socket as a stream: all that is read and written is done by one deadline.

    A socket's own time begins anew with each byte, so that a peer that drips is waited for forever.
    """

    def __init__(self, peer: socket.socket, deadline: float) -> None:
        """Raise TimeoutError once ``time.monotonic()`` is past the deadline."""
        self._peer = peer
        self._deadline = deadline

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer where the other end has closed."""
        data = b""
        while len(data) < size and (more := self._ready().recv(size - len(data))):
            data += more
        return data

    def write(self, data: bytes, /) -> int:
        """Send all of it."""
        self._ready().sendall(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _ready(self) -> socket.socket:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._peer.settimeout(left)
        return self._peer


def frame_of(message: _Message) -> bytes:
    """A message as it is sent."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


def write_frame(stream: Stream, message: _Message) -> None:
    """Send a message."""
    stream.write(frame_of(message))
    stream.flush()


def asked_in(data: bytes) -> Asked | None:
    """What a command asks, once all of it is there. Errors as :func:`read_asked`."""
    if len(data) < _LENGTH.size:
        return None
    size = _LENGTH.unpack_from(data)[0]
    return None if len(data) - _LENGTH.size < size <= MOST else read_asked(io.BytesIO(data))


def read_start(stream: Stream) -> Start:
    """The message an agent is started with. Errors as :func:`read_asked`."""
    return _read(stream, _start)


def read_asked(stream: Stream) -> Asked:
    """What a command asks.

    Raises:
        FormatError: it is no message of ours, or cut short.
    """
    return _read(stream, _asked)


def read_told(stream: Stream) -> Told:
    """What the agent answers. Errors as :func:`read_asked`."""
    return _read(stream, _told)


def _read(stream: Stream, decoder: msgspec.msgpack.Decoder[T]) -> T:
    head = stream.read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else MOST + 1
    body = stream.read(size) if size <= MOST else b""
    try:
        if len(body) != size:
            raise msgspec.DecodeError
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "this is not a message of Coffret's agent"
        raise FormatError(message) from None


def is_same_user(peer: socket.socket) -> bool:
    """Whether the process at the other end is this user's, as far as the system tells.

    Where it does not tell, the modes of the socket and its folder keep others out alone.
    """
    found = _credentials(peer)
    return found is None or found[1] == os.getuid()


def process_of(peer: socket.socket) -> int | None:
    """The process at the other end, or that listens there; None where the system does not tell."""
    found = _credentials(peer)
    return found[0] or None if found else None


def _credentials(peer: socket.socket) -> tuple[int, int, int] | None:
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, group = _CREDENTIALS.unpack(found)
    return process, user, group
