"""However a login is wrong, and however often, a name that exists is treated as one that does not.

As in `test_who_exists`, what is done is compared: here also which statements are run in turn and
whether they find a row, what is hashed and verified, and the whole answer. docs/attacks.md, 46.
"""

from __future__ import annotations

import base64
import hmac
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_server.control import credentials
from coffret_server.signatures import Verifier
from coffret_server.storage import pace
from coffret_server.storage.sqlite import SqliteTx
from coffret_server.wire.identity import login_key_of
from server import forge
from server.stand import ORIGIN, Clock, Stand, serving
from server.test_who_exists import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret_server.services import Services

    Body = dict[str, Any]
    Step = tuple[object, ...]

WARM = 2
"""The first ones are not compared: by them modules are loaded, and caches filled."""
OTHER = "9.9.9.9"
"""Where no session is open: ADR 0022 says what somebody beside an owner can tell."""


def b64(data: bytes) -> str:
    """Bytes as JSON carries them."""
    return base64.b64encode(data).decode()


WRONG: dict[str, Callable[[Body], Body]] = {
    "by another key": lambda body: body,
    "no signature": lambda body: body | {"signature": b64(bytes(64))},
    "a short signature": lambda body: body | {"signature": b64(bytes(63))},
    "a nonce of nobody's": lambda body: body | {"nonce": b64(bytes(40))},
    "a short nonce": lambda body: body | {"nonce": ""},
    "a session key of small order": lambda body: body | {"session_public_key": b64(bytes(32))},
    "a short session key": lambda body: body | {"session_public_key": b64(bytes(31))},
    "another keyslot": lambda body: body | {"slot_id": str(forge.new_id())},
    "its account for a keyslot": lambda body: body | {"slot_id": body["account_id"]},
    "a name": lambda body: body | {"name": b64(bytes(200))},
}


@pytest.fixture(autouse=True)
def _a_disk_that_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `test_who_exists`."""
    monkeypatch.setattr(pace, "SLOW_SECONDS", float("inf"))


@contextmanager
def watching() -> Iterator[list[Step]]:
    """Each statement and whether it found a row, each MAC and each verification, and their sizes.

    In their order, with the count of all calls of ours at the end.
    """
    steps: list[Step] = []
    find, digest, verify = SqliteTx.one, hmac.digest, Verifier.verify

    async def one(tx: SqliteTx, sql: str, *values: Any) -> Any:
        found = await find(tx, sql, *values)
        steps.append((sql, len(values), found is not None and len(found)))
        return found

    def digested(key: bytes, message: bytes, name: str) -> bytes:
        steps.append(("mac", len(message)))
        return digest(key, message, name)

    def verified(verifier: Verifier, signature: bytes, message: bytes) -> None:
        steps.append(("verify", len(signature), len(message)))
        verify(verifier, signature, message)

    with (
        patch.object(SqliteTx, "one", one),
        patch("hmac.digest", digested),
        patch.object(Verifier, "verify", verified),
        counting() as work,
    ):
        yield steps
    steps.append(tuple(sorted(work.items())))


async def treated(stand: Stand, name: str, kind: str, wrong: Callable[[Body], Body]) -> list[Step]:
    """How a wrong login by a name is: its challenge, what is done, and what comes of it."""
    from_there = {"X-Forwarded-For": OTHER}
    with watching() as steps:
        user = {"username": name, "kind": kind}
        asked = await stand.post("/auth/challenge", user, headers=from_there)
    stranger = forge.Owner(name)
    body = wrong(stranger.login_body(asked.json(), ORIGIN))
    with watching() as more:
        answer = await stand.post("/auth/login", body, headers=from_there)
    assert not answer.is_success
    shape = len(asked.content), *map(tuple, (asked.json(), asked.headers, answer.headers))
    said = answer.json() | {"request_id": ""}
    waits = answer.headers.get("retry-after"), answer.headers.get("ratelimit-policy")
    return [*steps, *more, shape, tuple(said.items()), waits]


@pytest.mark.attack(46)
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["passphrase", "recovery"])
async def test_whatever_is_wrong_it_is_the_same_for_everybody(
    sqlite_url: str, clock: Clock, kind: str
) -> None:
    """For known and unknown names the same is read, hashed and verified in turn, and answered."""
    async with serving(sqlite_url, clock, trust_forwarded=True) as stand:
        await stand.sign_up("ada")
        warming = ["by another key"] * WARM
        for number, how in enumerate([*warming, *WRONG, *WRONG]):
            seen = []
            for name in ("ada", "bob"):
                seen.append(await treated(stand, name, kind, WRONG[how]))
                clock.advance(100)  # more in a row would be refused, and counts end in between
            assert number < WARM or seen[0] == seen[1], how


@pytest.mark.attack(46)
@pytest.mark.asyncio
async def test_so_it_is_when_no_more_may_be_tried(sqlite_url: str, clock: Clock) -> None:
    """Behind too many tries it is refused alike, as long, and for as little work; and after it."""
    async with serving(sqlite_url, clock, trust_forwarded=True, login_failures=3) as stand:
        await stand.sign_up("ada")
        seen: dict[str, list[list[Step]]] = {}
        for name in ("eve", "eva", "ada", "bob"):  # it warms up with the first ones
            seen[name] = [
                await treated(stand, name, "passphrase", WRONG["by another key"]) for _ in range(6)
            ]
            clock.advance(61)
            seen[name].append(await treated(stand, name, "passphrase", WRONG["by another key"]))
            clock.advance(3_600)
        assert seen["ada"] == seen["bob"]
        codes = ["wrong-credentials"] * 3 + ["rate-limited"] * 3 + ["wrong-credentials"]
        for steps, code in zip(seen["ada"], codes, strict=True):
            assert ("code", code) in steps[-2]


@pytest.mark.control(46)
@pytest.mark.asyncio
async def test_a_server_that_saves_a_verification_is_seen(sqlite_url: str, clock: Clock) -> None:
    """Control: were nothing verified for who does not exist, what is done would differ."""
    is_signed, nobodys = credentials._is_signed, login_key_of(credentials._decoy())

    def hasty(services: Services, login_key: bytes, body: credentials.LoginBody) -> bool:
        return login_key != nobodys and is_signed(services, login_key, body)

    async with serving(sqlite_url, clock, trust_forwarded=True) as stand:
        await stand.sign_up("ada")
        with patch.object(credentials, "_is_signed", hasty):
            found = [
                await treated(stand, name, "passphrase", WRONG["by another key"])
                for name in ("eve", "ada", "bob")
            ]
    assert found[1] != found[2]
