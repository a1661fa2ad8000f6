"""A PostgreSQL that goes, hangs, or wants TLS: said as what it is, and never waited for forever."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.engine import make_url

from coffret_server import services
from coffret_server.storage import postgres as engine
from coffret_server.storage.addresses import DatabaseError
from coffret_server.storage.open import check, migrate
from coffret_server.storage.trouble import Readiness
from server import postgres
from server.stand import Clock, Stand, code, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio
PATIENCE = 30.0
UNAVAILABLE = (503, "unavailable")


class Held:
    """The processes of one PostgreSQL, which a test stops and ends."""

    def __init__(self, server: int) -> None:
        self.server = server

    @classmethod
    async def of(cls, url: str) -> Held:
        """That of a database."""
        connection = await asyncpg.connect(url)
        server = _parent(await connection.fetchval("SELECT pg_backend_pid()"))
        await connection.close()
        assert server > 1, "never signal a whole group"
        return cls(server)

    def send(self, number: signal.Signals) -> None:
        """Tell all of them."""
        every = [int(found.name) for found in Path("/proc").iterdir() if found.name.isdigit()]
        for pid in (self.server, *[pid for pid in every if _parent(pid) == self.server]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def _ready(stand: Stand) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE):
        answer = await stand.http.get("/readyz")
    return (200, "") if answer.is_success else code(answer)


async def _until_ready(stand: Stand) -> None:
    for _ in range(100):
        if await _ready(stand) == (200, ""):
            return
        await asyncio.sleep(0.1)
    pytest.fail("it is not ready again")


async def test_a_database_that_went_is_unavailable(clock: Clock) -> None:
    """To readiness and to every route, from the first request on the connections that it left."""
    with postgres.running() as url:
        await migrate(url)
        async with serving(url, clock) as stand:
            owner = await stand.sign_up()
            assert await _ready(stand) == (200, "")
            held = await Held.of(url)
            held.send(signal.SIGKILL)
            await asyncio.sleep(0.5)
            assert await _ready(stand) == UNAVAILABLE
            for path in ("/auth/sessions", "/tags", "/sync"):
                assert code(await stand.get(path, owner.token)) == UNAVAILABLE
            answer = await stand.append(owner, owner.put(owner.memory()))
            assert code(answer) == UNAVAILABLE


async def test_a_frozen_database_is_not_waited_for_forever(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness says so soon; a change is not acknowledged, and sent again it is there."""
    monkeypatch.setattr(engine, "COMMAND_SECONDS", 1.0)
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(services, "READY_SECONDS", 0.5)
    with postgres.running() as url:
        await migrate(url)
        async with serving(url, clock) as stand:
            owner = await stand.sign_up()
            held, append = await Held.of(url), owner.put(owner.memory())
            held.send(signal.SIGSTOP)
            try:
                assert await _ready(stand) == UNAVAILABLE
                async with asyncio.timeout(PATIENCE):
                    for _ in range(2):
                        answer = await stand.send("POST", "/log", append, owner.token)
                        assert code(answer) == UNAVAILABLE
                    answers = await asyncio.gather(
                        *[stand.get("/auth/sessions", owner.token) for _ in range(3)]
                    )
                    assert {code(answer) for answer in answers} == {UNAVAILABLE}
            finally:
                held.send(signal.SIGCONT)
            await _until_ready(stand)
            assert (await stand.append(owner, append)).status_code == 200
            assert (await stand.sync(owner))[1] == owner.head


async def test_a_server_ends_while_its_database_is_frozen(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letting go of connections that answer nothing has an end."""
    monkeypatch.setattr(engine, "CLOSE_SECONDS", 0.5)
    with postgres.running() as url:
        await migrate(url)
        held = await Held.of(url)
        try:
            async with asyncio.timeout(PATIENCE), serving(url, clock) as stand:
                await stand.sign_up()
                asked = asyncio.ensure_future(stand.app.state.services.storage.one("SELECT 1"))
                held.send(signal.SIGSTOP)
                await asyncio.sleep(0.1)
                asked.cancel()
        finally:
            held.send(signal.SIGCONT)


async def test_what_does_not_answer_is_asked_once() -> None:
    """However many ask whether it is ready; when it answers, it is asked anew."""
    asked, free = 0, asyncio.Event()

    async def ping() -> None:
        nonlocal asked
        asked += 1
        await free.wait()

    readiness = Readiness(0.05)
    found = await asyncio.gather(
        *[readiness.check(ping) for _ in range(20)], return_exceptions=True
    )
    assert {type(error) for error in found} == {TimeoutError}
    assert asked == 1
    free.set()
    await readiness.check(ping)
    await readiness.check(ping)
    assert asked <= 3
    await readiness.close()


def _certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = (
        builder.not_valid_before(now - day).not_valid_after(now + day).sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, plain)
    path = folder / "tls.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def _behind_tls(url: str, folder: Path) -> AsyncIterator[str]:
    """The database behind a proxy that takes nothing without TLS."""
    context, port = _certificate(folder), make_url(url).port

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(8)
        if asked != bytes.fromhex("0000000804d2162f"):  # SSLRequest
            writer.close()
            return
        writer.write(b"S")
        await writer.start_tls(context)
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pipe(reader, inner[1]), _pipe(inner[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        found = make_url(url).set(port=server.sockets[0].getsockname()[1])
        yield found.render_as_string(hide_password=False)
    finally:
        server.close()


async def test_tls_is_spoken_by_both_drivers(postgresql: str, tmp_path: Path, clock: Clock) -> None:
    """`sslmode=require` encrypts the data plane's connections and the control plane's."""
    async with _behind_tls(postgresql, tmp_path) as url:
        for mode in ("sslmode=require", "ssl=require"):
            await migrate(f"{url}?{mode}")
            await check(f"{url}?{mode}")
        async with serving(f"{url}?sslmode=require", clock) as stand:
            assert (await stand.http.get("/readyz")).status_code == 200
            assert await stand.app.state.services.storage.one("SELECT 1") is not None
        with pytest.raises(DatabaseError):
            await check(f"{url}?sslmode=disable")
    with pytest.raises(DatabaseError, match="cannot be opened"):
        await check(f"{postgresql}?sslmode=require")


@pytest.mark.parametrize(
    ("end", "says"),
    [("/none", "no database of that name"), (":9/postgres", "nothing listens")],
)
async def test_what_is_wrong_with_a_database_is_said(postgresql: str, end: str, says: str) -> None:
    """A name that is none, a server that is not there: a sentence, whichever command it is."""
    start = postgresql.removesuffix("/postgres")
    url = (start.rpartition(":")[0] if end.startswith(":") else start) + end
    for command in (check, migrate):
        with pytest.raises(DatabaseError, match=says):
            await command(url)
