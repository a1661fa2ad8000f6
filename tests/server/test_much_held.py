"""What a grant holds, or waits for a key change, makes no small call a long one for all others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from server import forge
from server.changes import Change, stage
from server.test_scattered_grants import count_steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server.stand import Stand

pytestmark = pytest.mark.asyncio
MANY = 20_000


async def _steps(stand: Stand, call: Callable[[], Awaitable[Any]]) -> int:
    """How much the one writer of SQLite does, which is done while all others wait."""
    writer: Any = stand.app.state.services.storage
    taken = count_steps(writer._writer)
    answer = await call()
    writer._writer.set_progress_handler(None, 0)
    assert answer is None or answer.is_success
    return len(taken)


@pytest.mark.attack(61)
async def test_a_key_more_for_a_grant_is_no_more_work_for_all_that_it_has(
    sqlite_stand: Stand,
) -> None:
    """One wrap takes the writer as long beside twenty thousand as beside none."""
    stand = sqlite_stand
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), await stand.remember(owner)

    async def call() -> None:
        await stand.share(owner, grant, memory)

    before = await _steps(stand, call)

    async def fill(tx: Any) -> None:
        some = [
            (owner.account.bytes, grant.bytes, os.urandom(16), 1, bytes(113), 1)
            for _ in range(MANY)
        ]
        await tx.many("INSERT INTO grant_wraps VALUES (?, ?, ?, ?, ?, ?)", some)

    await stand.app.state.services.storage.submit(fill)
    assert await _steps(stand, call) < 2 * before + 10
    listed = (await stand.get("/grants", owner.token)).json()
    assert [each["memories"] for each in listed] == [MANY + 1]


@pytest.mark.attack(61)
async def test_a_wrap_more_for_a_key_change_is_no_more_work_for_all_that_wait(
    sqlite_stand: Stand,
) -> None:
    """Nor does staging one; all that is there is counted, and what nobody waits for goes."""
    stand = sqlite_stand
    owner = await stand.sign_up()
    memory, change = await stand.remember(owner), Change(owner)

    async def call() -> Any:
        return await stage(stand, change, (memory, 1, forge.wrapped()))

    before = await _steps(stand, call)
    row = await stand.app.state.services.storage.one("SELECT session_id FROM rewraps")
    gone = os.urandom(16)

    async def fill(tx: Any) -> None:
        some = [
            (owner.account.bytes, session, os.urandom(16), 1, change.id.bytes, bytes(113))
            for session in (row[0], row[0], row[0], gone)
            for _ in range(MANY // 4)
        ]
        await tx.many("INSERT INTO rewraps VALUES (?, ?, ?, ?, ?, ?)", some)

    await stand.app.state.services.storage.submit(fill)
    answer = await call()
    assert msgspec.msgpack.decode(answer.content) == {"staged": MANY // 4 * 3 + 1}
    rest = await stand.app.state.services.storage.one("SELECT COUNT(*) FROM rewraps")
    assert rest[0] == MANY // 4 * 3 + 1
    assert await _steps(stand, call) < 2 * before + 10
