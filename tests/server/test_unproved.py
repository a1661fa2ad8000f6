"""Appends that come with a token and no proof: their head is to prove them, and may not."""

import tracemalloc
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
SLACK = 1 << 20


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


LONG = 60_000
ITEMS = {
    "leaves": b"\xc4\x00",
    "records": b"\x94" + b"\xc4\x00" * 4,
    "accepts": b"\x94\xc4\x10" + bytes(16) + b"\x01" + b"\xc4\x00" * 2,
    "wraps": b"\x94" + (b"\xc4\x10" + bytes(16)) * 2 + b"\x01\xc4\x00",
    "unwraps": b"\x92" + (b"\xc4\x10" + bytes(16)) * 2,
}
"""Of each list of an append, the shortest item that can be read."""


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", ITEMS)
async def test_a_long_list_is_refused_by_its_length(sqlite_stand: Stand, name: str) -> None:
    """A body may have two million items: none is made of a list that may have fewer than it says.

    To make them takes seconds, in which nobody is answered, and a token alone is enough to send
    them. Nor is the list of a name read that comes again.
    """
    owner = await sqlite_stand.sign_up()
    items = b"\xdd" + LONG.to_bytes(4, "big") + ITEMS[name] * LONG
    field = bytes([0xA0 | len(name)]) + name.encode()
    twice = b"\x88" + (field + b"\xdc\xc3\x50" + ITEMS[name] * 50_000) * 8
    bodies = {
        b"\x83\xa4base\x00\xa4head\xa0" + field + items: (413, "too-large"),
        twice: (400, "malformed"),
        b"\xde\x00" + twice[:1].replace(b"\x88", b"\x08") + twice[1:]: (400, "malformed"),
    }
    await append_alone(sqlite_stand, owner.token, b"\x80")  # all is imported now
    for body, refusal in bodies.items():
        tracemalloc.start()
        answer = await append_alone(sqlite_stand, owner.token, body)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert code(answer) == refusal
        assert used < 3 * len(body) + SLACK


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
