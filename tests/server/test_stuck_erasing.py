"""An account that cannot be erased, among others that were deleted after it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from coffret_server import deleting, departing
from coffret_server.erasing import ERRORS
from coffret_server.settings import Settings
from server.leaving import erased, eraser, known, leave

if TYPE_CHECKING:
    from server import forge
    from server.stand import Stand

pytestmark = pytest.mark.asyncio


def _stick(monkeypatch: pytest.MonkeyPatch, owner: forge.Owner) -> None:
    """Let erasing this owner's rows fail, as it does where a page of them is damaged."""
    erase = departing._erase

    async def fails(tx: Any, account: bytes, part: Any, rows: Any) -> None:
        if account == owner.account.bytes:
            message = "canary"
            raise RuntimeError(message)
        await erase(tx, account, part, rows)

    monkeypatch.setattr(departing, "_erase", fails)


async def test_what_cannot_be_erased_keeps_nothing_else_here(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others that were deleted later are erased; what failed is said once, and tried again."""
    owners = [await stand.sign_up(name) for name in ("ana", "bob", "cleo")]
    await eraser(stand).close()
    for owner in owners:
        await stand.remember(owner)
        await leave(stand, owner)
        stand.clock.advance(1)
    with monkeypatch.context() as broken:
        _stick(broken, owners[0])
        eraser(stand).start()
        for owner in owners[1:]:
            await erased(stand, owner)
        async with asyncio.timeout(30):
            while not (said := _said(caplog)):  # noqa: ASYNC110 - of another task
                await asyncio.sleep(0.01)
        assert (await known(stand, owners[0])).json()["erased"] is False
    assert len(said) == 1
    assert json.loads(said[0]).items() >= {"failed": 1, "error": "RuntimeError"}.items()
    assert "canary" not in said[0]
    eraser(stand).wake()
    await erased(stand, owners[0])


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == ERRORS.name]


async def test_an_operator_erases_the_account_that_was_named(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the way of an older deletion is not in the way of this one."""
    owners = [await stand.sign_up(name) for name in ("ana", "bob")]
    await eraser(stand).close()
    await stand.remember(owners[0])
    await leave(stand, owners[0])
    _stick(monkeypatch, owners[0])
    stand.clock.advance(1)
    monkeypatch.setattr(deleting, "system_clock", stand.clock)
    assert await deleting._delete(Settings(stand.database), "bob", yes=True) == 0
    assert (await known(stand, owners[1])).json()["erased"] is True
    assert (await known(stand, owners[0])).json()["erased"] is False
