"""The agent by itself: what it holds, for how long, and to whom it talks."""

from __future__ import annotations

import io
import socket
import stat
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.cli.agent import Held, listen, serve
from coffret.cli.agent_client import Agent
from coffret.cli.agent_wire import (
    Ask,
    Keep,
    Keys,
    Left,
    Lock,
    Look,
    Start,
    read_asked,
    read_start,
    read_told,
    write_frame,
)
from coffret_vault.errors import FormatError, InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START = Start("/nowhere", 60.0, b"A" * 32, b"L" * 32, b"session")
KEYS = Keys(START.account_key, START.login_seed, b"session")
FOREVER = 86_400.0


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1000.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


class Hog:
    """A program of the same user that says a length, and then drips."""

    def __init__(self, path: Path) -> None:
        """Connect."""
        self._client = socket.socket(socket.AF_UNIX)
        self._client.connect(str(path))
        self._client.sendall(struct.pack(">I", 4096))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()

    def _drip(self) -> None:
        with suppress(OSError):
            while not self._stop.wait(0.1):
                self._client.sendall(b"x")

    def close(self) -> None:
        """Go away."""
        self._stop.set()
        self._thread.join()
        self._client.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Agent, Path]]:
    """An agent in a thread, and its socket."""
    path = tmp_path / "run" / "a.sock"
    with listen(path) as listening:
        thread = threading.Thread(target=serve, args=(listening, path, Held(START)))
        thread.start()
        yield Agent(path), path
        Agent(path).lock()
        thread.join()


def test_keys_are_held_until_nobody_has_used_them_for_a_while() -> None:
    """Each use begins the time anew; looking and keeping do not; then there is nothing left."""
    clock = Clock()
    held = Held(START, clock)
    clock.now += 59
    assert held.answer(Ask()) == KEYS
    clock.now += 59
    assert held.answer(Look()) == Left(1.0)
    assert held.answer(Keep(b"newer")) == Left(1.0)
    assert held.answer(Ask()) == Keys(KEYS.account_key, KEYS.login_seed, b"newer")
    clock.now += 61
    assert held.answer(Ask()) == Left(0.0)
    clock.now -= 60
    assert held.answer(Ask()) == Left(0.0)


def test_lock_overwrites_the_keys() -> None:
    """After it, nothing of them is in what held them."""
    held = Held(START, Clock())
    assert held.answer(Lock()) == Left(0.0)
    assert held.left() == 0
    assert not any(held._account_key + held._login_seed)
    assert held._session == b""


def test_the_messages_survive_the_wire_and_show_nothing() -> None:
    """What is written is what is read; no repr holds a key or a token."""
    stream = io.BytesIO()
    for message in (START, Ask(), Keep(b"secret"), KEYS, Left(3.0)):
        write_frame(stream, message)
        assert "secret" not in repr(message)
        assert "AAAA" not in repr(message)
    stream.seek(0)
    assert (read_start(stream), read_asked(stream), read_asked(stream)) == (
        START,
        Ask(),
        Keep(b"secret"),
    )
    assert (read_told(stream), read_told(stream)) == (KEYS, Left(3.0))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0", b"\0\0\0\x05ab", b"\xff\xff\xff\xff", b"\0\0\0\x01\xc0", b"\0\0\0\x02\x91\xa0"],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """Cut short, too long, or of another kind: all are the same error."""
    with pytest.raises(FormatError):
        read_asked(io.BytesIO(data))


def test_an_agent_answers_and_ends(running: tuple[Agent, Path]) -> None:
    """It gives its keys as often as asked, and after Lock its socket is gone."""
    agent, path = running
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert agent.keys() == agent.keys() == KEYS
    agent.keep(b"newer")
    found = agent.keys()
    assert found is not None
    assert found.session == b"newer"
    left = agent.seconds_left()
    assert left is not None
    assert 0 < left <= 60
    assert agent.lock()
    assert agent.keys() is None


def test_nonsense_does_not_end_an_agent(running: tuple[Agent, Path]) -> None:
    """A client that talks nonsense or hangs up is passed over."""
    agent, path = running
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x01\xc0"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(data)
    assert agent.keys() == KEYS


def test_who_keeps_an_agent_busy_keeps_nobody_else_from_it(
    running: tuple[Agent, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside many that drip and say nothing, and end never, it gives its keys and locks."""
    monkeypatch.setattr("coffret.cli.agent_peers._PATIENCE", FOREVER)
    agent, path = running
    hogs, silent = [Hog(path) for _ in range(3)], [socket.socket(socket.AF_UNIX) for _ in range(80)]
    try:
        for client in silent:
            client.connect(str(path))
        assert agent.keys() == KEYS
        assert agent.lock()
        assert agent.keys() is None
    finally:
        for hog in hogs:
            hog.close()
        for client in silent:
            client.close()


def test_who_drips_is_heard_for_a_short_time(running: tuple[Agent, Path]) -> None:
    """All of its bytes have one deadline."""
    _, path = running
    hog = Hog(path)
    try:
        hog._thread.join(10)
        assert not hog._thread.is_alive()
    finally:
        hog.close()


def test_an_agent_forgets_in_time_whoever_keeps_it_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who drips does not make its time longer."""
    monkeypatch.setattr("coffret.cli.agent_peers._PATIENCE", FOREVER)
    path = tmp_path / "run" / "a.sock"
    held = Held(Start("/nowhere", 0.5, b"A" * 32, b"L" * 32, b""))
    with listen(path) as listening:
        thread = threading.Thread(target=serve, args=(listening, path, held))
        thread.start()
        hog = Hog(path)
        try:
            thread.join(30)
            assert not thread.is_alive()
        finally:
            hog.close()
            thread.join()
    assert not any(held._account_key)


def test_an_agent_whose_socket_was_opened_is_locked_all_the_same(
    running: tuple[Agent, Path],
) -> None:
    """A mode that somebody changed makes no agent disappear."""
    agent, path = running
    path.chmod(0o666)
    path.parent.chmod(0o755)
    assert agent.lock()
    path.parent.chmod(0o700)
    assert not path.exists()


def test_an_agent_that_does_not_answer_is_not_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be ended, that is an error with what to do; to give keys, it is none."""
    monkeypatch.setattr("coffret.cli.agent_client._PATIENCE", 0.2)
    path = tmp_path / "run" / "a.sock"
    with listen(path):  # by this very process, which is not ended
        agent = Agent(path)
        with pytest.raises(StoreError, match="does not answer") as caught:
            agent.lock()
        assert "End it" in caught.value.hint
        with pytest.raises(StoreError):
            agent.seconds_left()
        assert agent.keys() is None


def test_an_agent_that_modes_keep_from_its_user_is_not_said_to_be_gone(
    running: tuple[Agent, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that nobody may connect to any more is an error with what to do, and no crash."""
    agent, _ = running
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", _refused)
        for ask in (agent.lock, agent.seconds_left):
            with pytest.raises(StoreError, match="does not answer"):
                ask()
        assert agent.keys() is None
    assert agent.keys() == KEYS


def test_an_agent_locks_though_its_socket_cannot_be_removed(
    running: tuple[Agent, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that was closed meanwhile the socket stays, and it is told that it is locked."""
    agent, path = running
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", _refused)
        assert agent.lock()
    path.unlink(missing_ok=True)  # the agent tries once more as it ends


def _refused(*_: object, **_named: object) -> None:
    raise PermissionError


def test_a_socket_that_others_could_have_made_is_not_trusted(
    running: tuple[Agent, Path],
) -> None:
    """With a folder or socket that others can enter, no agent is talked to."""
    agent, path = running
    path.parent.chmod(0o755)
    assert agent.keys() is None
    path.parent.chmod(0o700)
    path.chmod(0o666)
    assert agent.keys() is None
    path.chmod(0o600)
    assert agent.keys() == KEYS


def _of_another_user(where: str) -> Callable[..., bytes]:
    """What the system says of the peer, which is another user's in the agent or in the command."""
    real: Callable[..., bytes] = socket.socket.getsockopt

    def told(peer: socket.socket, *asked: int) -> bytes:
        found = real(peer, *asked)
        asks = "command" if threading.current_thread() is threading.main_thread() else "agent"
        process, user, group = struct.unpack("3i", found)
        return struct.pack("3i", process, user + (asks == where), group)

    return told


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell")
@pytest.mark.parametrize("where", ["agent", "command"])
def test_a_peer_of_another_user_is_not_talked_to(running: tuple[Agent, Path], where: str) -> None:
    """An agent gives such a peer no keys and does not lock for it, nor does a command ask one."""
    agent, _ = running
    with patch.object(socket.socket, "getsockopt", _of_another_user(where)):
        assert agent.keys() is None
        with suppress(StoreError):  # an agent that hangs up is said not to answer
            assert not agent.lock()
    with patch.object(socket.socket, "getsockopt", _of_another_user("nobody")):
        assert agent.keys() == KEYS


def test_an_agent_does_not_listen_in_a_folder_that_others_can_enter(tmp_path: Path) -> None:
    """It refuses to start rather than to be reachable."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(StoreError):
        listen(folder / "a.sock")


def test_without_an_agent_there_is_nothing(tmp_path: Path) -> None:
    """No socket, a file in its place, or a dead socket: all mean locked."""
    path = tmp_path / "a.sock"
    tmp_path.chmod(0o700)
    assert Agent(path).keys() is None
    path.write_text("")
    assert Agent(path).lock() is False
    path.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    path.chmod(0o600)
    assert Agent(path).seconds_left() is None


def test_where_there_are_no_such_sockets_unlock_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such a system each command asks, and the message says what to do."""
    monkeypatch.delattr(socket, "AF_UNIX")
    agent = Agent(tmp_path / "a.sock")
    assert agent.keys() is None
    with pytest.raises(InputError, match="asks for the passphrase") as caught:
        agent.start(KEYS, 60)
    assert "COFFRET_PASSPHRASE_FILE" in caught.value.hint
