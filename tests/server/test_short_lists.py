"""What one answer holds of an account in whole cannot grow without end."""

from typing import Any

import pytest

from coffret_server.control import auth, keys
from server import forge
from server.changes import Change, make
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
FEW = 3


async def _sessions(stand: Stand, token: str) -> Any:
    return (await stand.get("/auth/sessions", token)).json()


@pytest.mark.attack(61)
async def test_an_account_has_so_many_sessions(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login too many ends the session that was seen longest ago, and is never refused.

    Whoever logs in without end makes no list, and no server that makes one, wait; who is seen
    stays, and other accounts have nothing to do with it.
    """
    monkeypatch.setattr(auth, "SESSIONS_LIMIT", FEW)
    owner, other = await stand.sign_up(), await stand.sign_up("grace")
    seen, unseen = owner.token, []
    for _ in range(FEW + 2):
        stand.clock.advance(600)
        assert len(await _sessions(stand, seen)) <= FEW
        await stand.log_in(owner)
        unseen.append(owner.token)
    assert len(await _sessions(stand, owner.token)) == FEW
    assert [code(await stand.get("/tags", token)) for token in unseen[:-2]] == [
        (401, "session-ended")
    ] * FEW
    for token in (seen, *unseen[-2:], other.token):
        assert (await stand.get("/tags", token)).status_code == 200


@pytest.mark.attack(61)
async def test_an_account_has_so_many_generations(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every device reads all steps between its keys at once: there are no more than it can take."""
    monkeypatch.setattr(keys, "GENERATIONS_LIMIT", FEW)
    owner = await stand.sign_up()
    for _ in range(FEW - 1):
        change = Change(owner)
        assert (await make(stand, change)).is_success
        change.after.commit(change.append())
        owner = change.after
    assert code(await make(stand, Change(owner))) == (409, "conflict")
    steps = (await stand.get("/accounts/me/successions", owner.token)).json()
    assert [step["generation"] for step in steps] == [2, 3]
    assert (await stand.append(owner, owner.put(owner.memory()))).is_success
    assert (
        forge.b64(owner.card())
        == (await stand.get("/accounts/me", owner.token)).json()["account_card"]
    )
