"""A server does the same work for a user who exists and for one who does not: docs/attacks.md, 46.

Times are not compared, which would fail on a busy machine, but what is done: calls of our own code,
verifications, MACs and statements to the database, for many requests in turn.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_server.control import auth, credentials
from coffret_server.storage import pace
from coffret_server.wire import identity
from server import forge
from server.stand import ORIGIN, Stand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from coffret_server.wire.identity import Keyslot

SAMPLES = 12
COSTLY = frozenset(
    ("verify", "digest", "from_public_bytes", "compare_digest", "loads", "dumps", "execute")
)
_OURS = re.compile(r"coffret_server/(?!storage/)")
"""What is written is gathered with what else there is to write, at no request's time."""
Work = Counter[str]


@pytest.fixture(autouse=True)
def _a_disk_that_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit is waited for by this thread, whatever the disk is busy with: it is counted here."""
    monkeypatch.setattr(pace, "SLOW_SECONDS", float("inf"))


@contextmanager
def counting() -> Iterator[Work]:
    """What this thread does of ours, by the name of the function; and what is costly elsewhere."""
    work: Work = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and _OURS.search(frame.f_code.co_filename):
            work[frame.f_code.co_qualname] += 1
        elif event == "c_call" and argument.__name__ in COSTLY:
            work[argument.__name__] += 1

    sys.setprofile(note)
    try:
        yield work
    finally:
        sys.setprofile(None)


async def challenged(stand: Stand, username: str, kind: str) -> tuple[dict[str, Any], Work]:
    """A challenge, and the work that it was."""
    with counting() as work:
        answer = await stand.post("/auth/challenge", {"username": username, "kind": kind})
    assert answer.status_code == 200
    return answer.json(), work


async def answered(stand: Stand, body: dict[str, Any]) -> Work:
    """A login by somebody else, and the work that it was."""
    with counting() as work:
        answer = await stand.post("/auth/login", body)
    assert answer.status_code == 401
    return work


@pytest.mark.attack(46)
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["passphrase", "recovery"])
async def test_a_challenge_is_the_same_work_for_everybody(sqlite_stand: Stand, kind: str) -> None:
    """For known and unknown names, in turn, the same is done, as often."""
    await sqlite_stand.sign_up("ada")
    seen = []
    for number in range(SAMPLES):
        _, known = await challenged(sqlite_stand, "ada", kind)
        _, unknown = await challenged(sqlite_stand, f"nobody{number % 3}", kind)
        seen.append((known, unknown))
    for known, unknown in seen[2:]:
        assert known == unknown


@pytest.mark.attack(46)
@pytest.mark.asyncio
async def test_a_wrong_login_is_the_same_work_for_everybody(sqlite_stand: Stand) -> None:
    """For known and unknown names a wrong signature is verified, and refused, alike."""
    await sqlite_stand.sign_up("ada")
    stranger = forge.Owner("ada")
    seen = []
    for number in range(SAMPLES):
        works = []
        for name in ("ada", f"nobody{number % 3}"):
            found, _ = await challenged(sqlite_stand, name, "passphrase")
            works.append(await answered(sqlite_stand, stranger.login_body(found, ORIGIN)))
        seen.append(works)
        sqlite_stand.clock.advance(100)  # more in a row would be refused
    for known, unknown in seen[2:]:
        assert known == unknown
    assert seen[-1][0]["Verifier.verify"] >= 1


@pytest.mark.attack(46)
@pytest.mark.asyncio
async def test_a_row_is_read_for_everybody(stand: Stand) -> None:
    """Whether a name or a slot exists or not, one row with a keyslot comes from the database.

    Reading its pages is most of what could be told from outside (`make bench BENCH=logins`).
    """
    await stand.sign_up("kim")
    owner = await stand.sign_up("lea")
    storage = stand.app.state.services.storage
    for name, found in (("kim", "kim"), ("lea", "lea"), ("ada", "kim"), ("kit", "lea")):
        row = await storage.one(auth._FIND_USER, name, "recovery")
        assert (row[0], bool(row[2])) == (found, True)
    assert (await storage.one(auth._FIND_USER, "zoe", "recovery"))[0] == "kim"
    mine = owner.account.bytes, owner.slots[0].slot.bytes
    for place in (mine, (owner.account.bytes, bytes(16)), (bytes(16),) * 2, (b"\xff" * 16,) * 2):
        row = await storage.one(credentials._FIND_SLOT_OR_NEXT, *place)
        assert row[2]
        assert ((row[0], row[1]) == place) is (place == mine)


@pytest.mark.control(46)
@pytest.mark.asyncio
async def test_work_that_only_real_users_cause_is_seen(sqlite_stand: Stand) -> None:
    """Control: were the keyslots of real users looked at once more, the counts would differ."""
    await sqlite_stand.sign_up("ada")
    parse = identity.parse_keyslot

    def eagerly(raw: bytes) -> Keyslot:
        found = parse(raw)
        return parse(raw) if found.created else found  # a stand-in was made at no time

    with patch("coffret_server.control.auth.parse_keyslot", eagerly):
        known, unknown = Work(), Work()
        for _ in range(3):
            _, known = await challenged(sqlite_stand, "ada", "passphrase")
            _, unknown = await challenged(sqlite_stand, "nobody", "passphrase")
    assert known != unknown
