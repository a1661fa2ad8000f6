"""What the server acknowledged survives `kill -9`."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from server import forge

WRITERS = 4
ROUNDS = 3
ACKNOWLEDGED_BEFORE_KILL = 25
PATIENCE_SECONDS = 30.0
PACK = {"Content-Type": "application/msgpack"}
ORIGIN = "http://crash.example"


class Server:
    """A server process, its log in a file."""

    def __init__(self, database: Path, origin: str, log: Path) -> None:
        command = [sys.executable, "-m", "coffret_server", "serve", "--port", "0"]
        command += ["--database", f"sqlite:///{database}", "--origin", origin]
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COFFRET_AUTH_RATE": "10000"},
            )
        try:
            self.address = self._address()
            # A proof of before the server began is refused: it takes none before it is ready.
            httpx.get(f"{self.address}/readyz", timeout=PATIENCE_SECONDS).raise_for_status()
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "\n" not in self.log.read_text():
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        return self.log.read_text().split("\n")[0].split()[-1]

    def client(self) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=f"{self.address}/api/v1", timeout=PATIENCE_SECONDS)

    def end(self, how: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(20)


def sign_up(http: httpx.Client, name: str, origin: str) -> forge.Owner:
    """A new owner, logged in."""
    owner = forge.Owner(name)
    first = owner.first_append()
    assert http.post("/accounts", json=owner.creation(first)).status_code == 201
    owner.commit(first)
    body = {"username": name, "kind": "passphrase"}
    challenge = http.post("/auth/challenge", json=body).json()
    owner.token = http.post("/auth/login", json=owner.login_body(challenge, origin)).json()["token"]
    forge.HOLDERS[owner.token] = owner.session
    return owner


class Writer:
    """Appends to one vault until the server is gone; remembers what was acknowledged."""

    def __init__(self, owner: forge.Owner) -> None:
        self.owner = owner
        self.last: dict[str, object] | None = None
        self.enough = threading.Event()

    def run(self, address: str) -> None:
        """Write until the connection breaks."""
        acknowledged = 0
        headers = PACK | {"Authorization": f"DPoP {self.owner.token}"}
        with httpx.Client(base_url=f"{address}/api/v1", timeout=PATIENCE_SECONDS) as http:
            while True:
                self.last = self.owner.put(self.owner.memory())
                try:
                    answer = http.post(
                        "/log", content=msgspec.msgpack.encode(self.last), headers=headers
                    )
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                self.owner.commit(self.last)
                self.last = None
                acknowledged += 1
                if acknowledged >= ACKNOWLEDGED_BEFORE_KILL:
                    self.enough.set()

    def check(self, http: httpx.Client) -> None:
        """Everything acknowledged is there; the append in flight is whole or absent."""
        url, now = f"{ORIGIN}/api/v1/sync?limit=5000", int(time.time())
        headers = forge.bound("GET", url, token=self.owner.token, at=now)
        answer = http.get("/sync?limit=5000", headers=headers)
        assert answer.status_code == 200, answer.text
        size, head, items = msgspec.msgpack.decode(answer.content)
        if size == self.owner.tree.size + 1 and self.last is not None:
            self.owner.commit(self.last)
        assert (size, head) == (self.owner.tree.size, self.owner.head)
        tree = forge.Tree()
        for leaf, _ in items:
            tree.add(leaf)
        assert tree.root() == self.owner.tree.root()
        assert all(record is not None for _, record in items[3:])


@pytest.mark.timeout(120)
def test_acknowledged_appends_survive_a_kill(tmp_path: Path) -> None:
    """Killed in the middle of writing, several times, the server has lost nothing it confirmed."""
    origin = ORIGIN
    database = tmp_path / "coffret.db"
    writers: list[Writer] = []
    log = tmp_path / "log"
    for _ in range(ROUNDS):
        server = Server(database, origin, log)
        try:
            with server.client() as http:
                for writer in writers:
                    writer.check(http)
                if not writers:
                    writers = [Writer(sign_up(http, f"writer{n}", origin)) for n in range(WRITERS)]
            for writer in writers:
                writer.enough.clear()
            threads = [threading.Thread(target=w.run, args=(server.address,)) for w in writers]
            for thread in threads:
                thread.start()
            assert all(writer.enough.wait(PATIENCE_SECONDS) for writer in writers)
        finally:
            server.end(signal.SIGKILL)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    server = Server(database, origin, log)
    try:
        with server.client() as http:
            for writer in writers:
                writer.check(http)
    except BaseException:
        server.end(signal.SIGKILL)
        raise
    assert server.end(signal.SIGTERM) in {0, -signal.SIGTERM}
    assert writers[0].owner.token not in log.read_text()


def test_a_database_that_cannot_be_served_is_said_plainly(tmp_path: Path) -> None:
    """The command ends with 3 and one sentence, without a traceback."""
    command = [sys.executable, "-m", "coffret_server", "serve", "--port", "0"]
    ended = subprocess.run(  # noqa: S603 - our own command
        [*command, "--database", "mysql://localhost/x"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert ended.returncode == 3
    assert "sqlite:///" in ended.stderr
    assert "Traceback" not in ended.stderr
