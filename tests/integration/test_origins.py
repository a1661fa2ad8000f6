"""A server that is known by other addresses than the one in use says so."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from cli_harness import Cli
from coffret import AsyncVault, Vault
from coffret.origins import elsewhere, told_origins
from coffret.transport import probe
from coffret_vault.errors import InputError, NotFoundError, TimedOutError
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, write_code
from server.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.process import Running

KNOWN = "https://memory.example"


@pytest.fixture
def astray(tmp_path: Path) -> Iterator[Running]:
    """A server that devices are meant to reach by another address."""
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder, "--origin", KNOWN) as running:
        yield running


def test_no_vault_is_made_where_no_login_would_fit(astray: Running, tmp_path: Path) -> None:
    """`init`, `login` and `recover` name the addresses, before anything is sent or asked."""
    person = Cli(tmp_path / "ada")
    to = ("--server", astray.address, "--username", "ada")
    for command in ("init", "login", "recover"):
        ran = person(command, *to, "--json", code=2)
        assert KNOWN in ran.error()["message"]
        assert "passphrase" not in ran.err
    assert not any("/api/v1/" in line for line in astray.out)
    assert not (person.home / "data/vaults").exists()


def test_the_sdk_refuses_an_address_that_no_login_fits(astray: Running, tmp_path: Path) -> None:
    """Sync and async, before anything is sent or kept."""
    key, code = write_code(SECRET_KEY, bytes(20)), write_code(RECOVERY_CODE, bytes(32))
    folder = tmp_path / "vault"

    async def entering() -> None:
        to = (astray.address, "ada")
        with pytest.raises(InputError, match=KNOWN):
            await AsyncVault.create(*to, "pw", folder)
        with pytest.raises(InputError, match=KNOWN):
            await AsyncVault.login(*to, "pw", key, folder)
        with pytest.raises(InputError, match=KNOWN):
            await AsyncVault.recover(*to, code, "pw", folder)

    to = (astray.address, "ada")
    with pytest.raises(InputError, match=KNOWN):
        Vault.create(*to, "pw", folder)
    with pytest.raises(InputError, match=KNOWN):
        Vault.login(*to, "pw", key, folder)
    with pytest.raises(InputError, match=KNOWN):
        Vault.recover(*to, code, "pw", folder)
    asyncio.run(entering())
    assert not any("/api/v1/" in line for line in astray.out)
    with pytest.raises(NotFoundError):
        Vault.open(folder)


def test_the_doctor_compares_the_addresses(astray: Running, tmp_path: Path) -> None:
    """It is what is bad about the server, with what to do."""
    ran = Cli(tmp_path / "ada")("doctor", "--server", astray.address, "--json", code=1)
    checks = {check["name"]: check for check in ran.data()["checks"]}
    assert (checks["server"]["state"], KNOWN in checks["server"]["found"]) == ("bad", True)
    assert "--origin" in checks["server"]["advice"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"origins": "https://a.example"}',
        b'{"origins": ["\\u001b[31mred"]}',
        b'{"origins": ["https://a.example/\\n\\nYour passphrase is wrong"]}',
        b'{"origins": [' + b'"https://a.example",' * 40 + b'"https://b.example"]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=range(9),
)
def test_whatever_a_server_says_of_itself_is_an_address_or_nothing(body: bytes) -> None:
    """Nothing else of its words reaches a person."""
    assert told_origins(body) == ()
    assert elsewhere("https://a.example", told_origins(body)) == ""


def test_addresses_are_compared_in_one_form() -> None:
    """How somebody types an address makes no other one of it."""
    told = told_origins(b'{"origins": ["https://Memory.Example:443/", "http://localhost:80"]}')
    assert told == (KNOWN, "http://localhost")
    assert elsewhere("HTTPS://memory.example/", told) == ""
    assert KNOWN in elsewhere("https://memory.example:8443", told)


def test_a_probe_waits_for_no_head_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it has one deadline: each byte would begin the time of a connection anew."""
    monkeypatch.setattr("coffret.transport._PROBE_SECONDS", 0.5)
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        with listening.accept()[0] as peer, suppress(OSError):
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.1):
                peer.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=(listening,)).start()
        timer = threading.Timer(8, ended.set)
        timer.start()
        begun = time.monotonic()
        try:
            with pytest.raises(TimedOutError):
                probe(f"http://127.0.0.1:{listening.getsockname()[1]}")
            assert time.monotonic() - begun < 5
        finally:
            ended.set()
            timer.cancel()


def test_a_probe_waits_for_no_long_answer() -> None:
    """More than a few addresses take, and what drips, is left; its status counts all the same."""
    read = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal read
            while True:
                read += 1_000
                yield bytes(1_000)

    network = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    answer = probe(KNOWN, transport=network)
    assert (answer.status, answer.body) == (200, b"")
    assert read < 100_000
