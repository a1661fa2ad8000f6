"""An answer leaves in one piece, and nothing that was written is held for long or lost."""

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from coffret_server.joined import JoiningTransport

pytestmark = pytest.mark.asyncio


class Wire:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[bytes | str] = []

    def writelines(self, parts: Iterable[bytes]) -> None:
        """What goes out in one piece."""
        self.said.append(b"|".join(parts))

    def get_write_buffer_size(self) -> int:
        """All of it was taken."""
        return 0

    def close(self) -> None:
        """The end."""
        self.said.append("closed")

    def get_extra_info(self, name: str) -> str:
        """Anything else that a transport can do."""
        return name


def joining(wire: Wire) -> JoiningTransport:
    """The transport under test, on the running loop."""
    return JoiningTransport(cast("asyncio.Transport", wire), asyncio.get_running_loop(), 1)


async def test_head_and_body_leave_together_and_at_once() -> None:
    """Two writes are one call of the transport, made with the second."""
    wire = Wire()
    transport = joining(wire)
    transport.write(b"head")
    assert wire.said == []
    transport.write(b"body")
    assert wire.said == [b"head|body"]
    await asyncio.sleep(0)
    assert wire.said == [b"head|body"]


async def test_a_head_alone_leaves_when_the_loop_turns() -> None:
    """What is followed by nothing is sent all the same: a 304, or a body that takes long."""
    wire = Wire()
    transport = joining(wire)
    transport.write(b"head")
    await asyncio.sleep(0)
    assert wire.said == [b"head"]
    transport.write(b"late")
    await asyncio.sleep(0)
    assert wire.said == [b"head", b"late"]


async def test_closing_sends_first_what_is_held() -> None:
    """The last answer of a connection is not lost."""
    wire = Wire()
    transport = joining(wire)
    transport.writelines([b"he", b"ad"])
    transport.close()
    assert wire.said == [b"head", "closed"]


async def test_everything_else_is_the_transport_s_own() -> None:
    """Addresses, pausing and the like go to the transport inside."""
    assert joining(Wire()).get_extra_info("peername") == "peername"
