"""What a network recorded, sent again; and a login passed on by a server in between."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Vault
from coffret.testing import Server
from coffret_vault.errors import CoffretError, CredentialsError
from harness.network import BASE, Gate, Recorder
from harness.world import PASSPHRASE, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.world import Owner

OPEN = {"/readyz", "/auth/challenge", "/accounts"}
"""What is called without a token, and gives none."""
SIGNED = {"/memory-blobs"}
"""What carries a head by the owner: sent again it is the same change, or comes too late."""


def again(url: str, request: httpx.Request) -> httpx.Response:
    """The very bytes of a request, sent to a server."""
    target = url + request.url.raw_path.decode()
    kept = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
    return httpx.request(request.method, target, headers=kept, content=request.content)


def kept(database: Path) -> list[tuple[Any, ...]]:
    """The sessions and logs of a server."""
    with closing(sqlite3.connect(database)) as connection:
        sessions = connection.execute("SELECT account_id, session_id FROM sessions").fetchall()
        logs = connection.execute("SELECT account_id, size, head FROM logs").fetchall()
    return sorted(map(repr, [*sessions, *logs]))  # type: ignore[arg-type]


class Recorded:
    """An owner's first device and a second one's login, as the network saw them."""

    def __init__(self, folder: Path, server: Server, database: Path) -> None:
        """Sign up, write, log in elsewhere, sync, write there."""
        self.database, self.url = database, server.url
        self.network = Recorder()
        with World(server.url, folder) as world:
            owner = world.owner(transport=self.network)
            owner.vault.remember("one")
            device = world.device(owner, transport=self.network)
            device.remember("two")
            owner.vault.sync()
            owner.vault.server_view()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """What was recorded, and the server that it was said to."""
    folder = tmp_path_factory.mktemp("recorded")
    database = folder / "server.db"
    with Server(f"sqlite:///{database}") as server:
        yield Recorded(folder, server, database)


@pytest.mark.attack(43)
def test_nothing_that_was_recorded_works_again(recorded: Recorded) -> None:
    """Each request of a sign-up, a login and a session, sent again: no session, no change."""
    before = kept(recorded.database)
    paths = set(recorded.network.paths)
    assert {"/auth/challenge", "/auth/login", "/accounts", "/sync"} <= paths
    for request in recorded.network.requests:
        answer = again(recorded.url, request)
        path = request.url.path.removeprefix(BASE)
        assert path in OPEN | SIGNED or answer.status_code == 401, path
        assert '"token"' not in answer.text, path
    assert kept(recorded.database) == before


@pytest.mark.attack(43)
@pytest.mark.attack(44)
def test_nothing_that_was_recorded_works_elsewhere(recorded: Recorded, tmp_path: Path) -> None:
    """Nor at a second server, though that one has a copy of the first one's database."""
    with closing(sqlite3.connect(recorded.database)) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database = tmp_path / "copy.db"
    shutil.copy(recorded.database, database)
    with closing(sqlite3.connect(database)) as copy, copy:
        copy.execute("DELETE FROM used_nonces")
    before = kept(database)
    with Server(f"sqlite:///{database}") as other:
        for request in recorded.network.requests:
            answer = again(other.url, request)
            path = request.url.path.removeprefix(BASE)
            assert path in OPEN | SIGNED or answer.status_code == 401, path
            assert '"token"' not in answer.text, path
    assert kept(database) == before


async def _spend_nothing(*_: object) -> bool:
    """Let a nonce work as often as it likes."""
    return True


@pytest.mark.control(43)
def test_a_server_that_spends_no_nonces_logs_the_recording_in(world: World) -> None:
    """Control: were a challenge good twice, whoever recorded a login would have a session."""
    network = Recorder()
    with patch("coffret_server.control.credentials.spend", _spend_nothing):
        world.device(world.owner(), transport=network)
        (login,) = [item for item in network.requests if item.url.path.endswith("/auth/login")]
        answer = again(world.url, login)
    assert answer.status_code == 200
    assert answer.json()["token"]


# -- a server in between ------------------------------------------------------------------------


class Relay(Gate):
    """A server that passes everything on to another one, and keeps the tokens that come back."""

    def __init__(self, url: str) -> None:
        """Pass on to this address."""
        super().__init__()
        self.target = httpx.URL(url)
        self.answers: list[tuple[str, int]] = []
        self.tokens: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it to the other server as if it were ours; of ourselves, say nothing."""
        if request.url.path == "/readyz":
            return httpx.Response(200, json={})
        url = request.url.copy_with(host=self.target.host, port=self.target.port)
        headers = [item for item in request.headers.raw if item[0].lower() != b"host"]
        passed = httpx.Request(
            request.method, url, headers=headers, content=request.content,
            extensions=request.extensions,
        )  # fmt: skip
        response = super().handle_request(passed)
        self.answers.append((request.url.path.removeprefix(BASE), response.status_code))
        if request.url.path == f"{BASE}/auth/login" and response.is_success:
            self.tokens.append(response.json()["token"])
        return response


def entering(world: World, owner: Owner, url: str, relay: Relay) -> Vault:
    """Log a new device in at an address, through the relay."""
    return Vault.login(
        url, owner.username, PASSPHRASE, owner.secret_key, world.place(),
        **world.around(transport=relay),
    )  # fmt: skip


@pytest.mark.attack(44)
def test_a_login_that_is_passed_on_is_for_nobody(world: World) -> None:
    """A device that logs in at one server gives that server nothing for any other one."""
    owner = world.owner()
    with Server() as other:
        relay = Relay(world.url)
        with pytest.raises(CredentialsError):
            entering(world, owner, other.url, relay)
    assert ("/auth/challenge", 200) in relay.answers
    assert ("/auth/login", 401) in relay.answers
    assert relay.tokens == []


@pytest.mark.attack(44)
def test_the_same_secrets_make_other_keys_at_another_server(world: World, tmp_path: Path) -> None:
    """An owner of that name, passphrase and Secret Key elsewhere has nothing in common."""
    owner = world.owner()
    with Server() as other, World(other.url, tmp_path / "other") as there:
        vault, kit = Vault.create(
            other.url, owner.username, PASSPHRASE, there.place(), **there.around()
        )
        there.closing(vault)
        ours, theirs = owner.vault._state.keys.login.key, vault._state.keys.login.key
        assert ours.public != theirs.public
        relay = Relay(other.url)
        with pytest.raises(CoffretError):
            entering(world, owner, world.url, relay)
        assert relay.tokens == []
        assert kit.secret_key_code() != owner.secret_key


@pytest.mark.control(44)
def test_a_device_that_signs_for_the_other_server_gives_it_away(world: World) -> None:
    """Control: with the first server's address in its keys, the one between has a session."""
    owner = world.owner()
    relay = Relay(world.url)
    world.closing(entering(world, owner, world.url, relay))
    assert len(relay.tokens) == 1
