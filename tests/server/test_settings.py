"""Settings of a vault: entries of the owner's that the server takes in turn and never reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server import forge
from server.stand import Stand, code

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.asyncio
ON = b"\1" + bytes(31)


def settling(owner: forge.Owner, *versions: int) -> list[bytes]:
    """Entries of these versions."""
    return [owner.entry("settings", owner.account, version, ON) for version in versions]


async def put(stand: Stand, owner: forge.Owner, append: dict[str, Any]) -> httpx.Response:
    """Settle."""
    raw = json.dumps({"append": forge.as_json(append)}).encode()
    headers = {"Content-Type": "application/json"}
    return await stand.request("PUT", "/accounts/me/settings", raw, owner.token, headers)


async def test_settings_follow_one_another(stand: Stand) -> None:
    """Each entry is one version on, the same call again is the same, and all are in the log."""
    owner = await stand.sign_up()
    for version in (1, 2, 3):
        append = owner.append(*settling(owner, version))
        for _ in range(2):
            assert (await put(stand, owner, append)).status_code == 204
        owner.commit(append)
        await stand.remember(owner)
    leaves = [leaf for leaf, _ in (await stand.sync(owner))[2]]
    assert sum(b"settings" in leaf for leaf in leaves) == 3


async def test_only_the_next_settings_are_taken(stand: Stand) -> None:
    """Out of turn, twice at once, none, or beside another entry that speaks of no memory."""
    owner = await stand.sign_up()
    pause = owner.entry("pause", owner.account, 1, ON)
    for leaves in ([], settling(owner, 2), settling(owner, 1, 2), [pause]):
        assert code(await put(stand, owner, owner.append(*leaves))) == (422, "invalid-input")
    append = owner.append(*settling(owner, 1))
    assert (await put(stand, owner, append)).status_code == 204
    owner.commit(append)
    again = owner.append(*settling(owner, 1))
    assert code(await put(stand, owner, again)) == (422, "invalid-input")
    assert (await put(stand, owner, owner.append(*settling(owner, 2)))).status_code == 204


async def test_settings_are_of_the_account_and_by_their_own_call(stand: Stand) -> None:
    """About a memory they are malformed, and the log's own call takes entries of memories only."""
    owner = await stand.sign_up()
    astray = owner.entry("settings", forge.new_id(), 1, ON)
    assert code(await put(stand, owner, owner.append(astray))) == (400, "malformed")
    append = owner.append(*settling(owner, 1))
    assert code(await stand.send("POST", "/log", append, owner.token)) == (422, "invalid-input")


async def test_settings_on_an_older_log_wait(stand: Stand) -> None:
    """An append on a log that has grown since is refused with what is there."""
    owner = await stand.sign_up()
    append = owner.append(*settling(owner, 1))
    await stand.remember(owner)
    assert code(await put(stand, owner, append)) == (409, "log-moved")


async def test_a_head_in_force_settles_nothing(stand: Stand) -> None:
    """The head of another change, with settings beside it, is not taken for settings."""
    owner = await stand.sign_up()
    append = owner.put(owner.memory())
    assert (await stand.append(owner, append)).is_success
    forged = {**append, "records": [], "leaves": settling(owner, 1)}
    assert code(await put(stand, owner, forged)) == (409, "conflict")
    assert not any(b"settings" in leaf for leaf, _ in (await stand.sync(owner))[2])


@pytest.mark.parametrize("versions", [(1,), (2,), (1, 2)])
async def test_a_vault_begins_with_settings_once_at_most(
    stand: Stand, versions: tuple[int, ...]
) -> None:
    """A new vault may bring its first settings in its first append, and no others."""
    owner = forge.Owner()
    leaves = [*owner.first_append()["leaves"], *settling(owner, *versions)]
    answer = await stand.post("/accounts", owner.creation(owner.append(*leaves)))
    if versions == (1,):
        assert answer.status_code == 201
    else:
        assert code(answer) == (422, "invalid-input")
