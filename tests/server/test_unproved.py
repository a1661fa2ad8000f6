"""Appends that come with a token and no proof: their head is to prove them, and may not."""

from base64 import b64decode
from typing import Any

import httpx
import msgspec
import pytest

from coffret_server import append
from coffret_server.data import owner as data
from server import forge
from server.stand import Clock, Stand, code, plain, serving

pytestmark = pytest.mark.asyncio
RATE = 5


async def append_alone(
    stand: Stand, token: str, body: Any, address: str = "1.1.1.1"
) -> httpx.Response:
    """Send an append by a token, without a proof, from an address."""
    headers = {
        "Authorization": f"DPoP {token}",
        "Content-Type": "application/msgpack",
        "X-Forwarded-For": address,
    }
    raw = body if isinstance(body, bytes) else msgspec.msgpack.encode(plain(body))
    return await stand.http.post("/api/v1/log", content=raw, headers=headers)


def forged(append: dict[str, Any]) -> dict[str, Any]:
    """An append whose head somebody else signed."""
    text, _, end = append["head"].rpartition(" ")
    raw = bytearray(b64decode(end))
    raw[-1] ^= 1
    return append | {"head": f"{text} {forge.b64(bytes(raw))}\n"}


@pytest.mark.attack(45)
async def test_a_token_alone_uses_nothing_up(sqlite_url: str, clock: Clock) -> None:
    """What no head proves is counted by its token where it comes from, and not to its holder."""
    async with serving(sqlite_url, clock, account_rate=RATE, trust_forwarded=True) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        tries: list[tuple[str, Any, tuple[int, str]]] = [
            (owner.token, b"\x80", (400, "malformed")),
            (owner.token, forged(owner.put(owner.memory())), (422, "bad-signature")),
            (app.token, b"\x80", (403, "forbidden")),
        ]
        for number, (token, body, refusal) in enumerate(tries):
            where = f"6.{number}.6.6"
            seen = [code(await append_alone(stand, token, body, where)) for _ in range(RATE + 1)]
            assert seen == [refusal] * RATE + [(429, "rate-limited")]
        assert (await stand.get("/grants", app.token)).status_code == 200
        assert (await stand.get("/sync", owner.token)).status_code == 200
        append = owner.put(owner.memory())
        assert (await append_alone(stand, owner.token, append)).status_code == 200


async def test_what_a_head_proves_is_its_owner_s(sqlite_url: str, clock: Clock) -> None:
    """Appends are counted together with all that the owner asks; a proof counts them once."""
    async with serving(sqlite_url, clock, account_rate=RATE) as stand:
        owner = await stand.sign_up()
        for _ in range(2):
            append = owner.put(owner.memory())
            assert (await append_alone(stand, owner.token, append)).status_code == 200
            owner.commit(append)
            assert (await stand.append(owner, owner.put(owner.memory()))).status_code == 200
        assert (await stand.get("/sync", owner.token)).status_code == 200
        answer = await append_alone(stand, owner.token, owner.put(owner.memory()))
        assert code(answer) == (429, "rate-limited")
        assert code(await stand.get("/sync", owner.token)) == (429, "rate-limited")


async def test_a_guess_is_counted_as_a_guess(sqlite_url: str, clock: Clock) -> None:
    """An append by a token that is none of this server's takes nothing of that of appends."""
    async with serving(sqlite_url, clock, account_rate=2, failure_rate=4) as stand:
        await stand.sign_up()
        wrong = "cfs_" + forge.b64(bytes(48))
        seen = [(await append_alone(stand, wrong, b"\x80")).status_code for _ in range(5)]
        assert seen == [401] * 4 + [429]
        assert not stand.app.state.limits.unproved._whole


async def test_a_guess_too_many_is_not_looked_at(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever used up what a token alone may try costs no more signatures to be verified."""
    async with serving(sqlite_url, clock, account_rate=RATE) as stand:
        owner, looked = await stand.sign_up(), list[None]()
        wrong = forged(owner.put(owner.memory()))
        real = append.prepare

        def counted(*given: Any) -> Any:
            looked.append(None)
            return real(*given)

        monkeypatch.setattr(data, "prepare", counted)
        for _ in range(RATE):
            await append_alone(stand, owner.token, wrong)
        before = len(looked)
        assert code(await append_alone(stand, owner.token, wrong)) == (429, "rate-limited")
        assert before
        assert len(looked) == before
