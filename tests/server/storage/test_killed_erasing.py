"""A process that is killed while it erases an account: nothing is served, and it is finished."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from server.leaving import dump, erased, eraser, holding, known, leave, step
from server.stand import Clock, Stand, code, serving
from server.storage.test_killed_servers import Copies

if TYPE_CHECKING:
    from pathlib import Path

    from server import forge

pytestmark = pytest.mark.asyncio
ENDED = (401, "session-ended")


async def filled(stand: Stand, memories: int) -> forge.Owner:
    """An owner with so many memories."""
    owner = await stand.sign_up("ana-of-lisbon")
    for start in range(0, memories, 500):
        records = [owner.memory() for _ in range(min(500, memories - start))]
        assert (await stand.append(owner, owner.put(*records))).is_success
    return owner


async def test_a_killed_process_leaves_nothing_that_is_served(
    database: str, clock: Clock, tmp_path: Path
) -> None:
    """Killed between two steps, on either database: the next process erases what is left."""
    async with serving(database, clock) as stand:
        owner = await filled(stand, 4_000)
    words = ("delete-account", "ana-of-lisbon", "--yes", "--database", database)
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "coffret_server",
        *words,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    assert killed.stderr is not None
    async with asyncio.timeout(60):
        while b"it is gone" not in await killed.stderr.readline():
            pass
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    async with serving(database, clock) as stand:
        assert (await dump(stand))["entries"]
        assert code(await stand.get("/sync", owner.token)) == ENDED
        await erased(stand, owner)
        rows = await dump(stand)
        assert holding(rows, owner.account.bytes) == {"departures"}
        assert not holding(rows, b"ana-of-lisbon")


async def test_a_deletion_is_whole_at_every_statement(tmp_path: Path, clock: Clock) -> None:
    """Each state that a kill could leave has the account whole, or gone; each is finished."""
    path = tmp_path / "coffret.db"
    images: list[Path] = []
    async with serving(f"sqlite:///{path}", clock) as stand:
        owner = await filled(stand, 600)
        await eraser(stand).close()
        copies = Copies(path, tmp_path / "images")
        with copies.of(stand.app.state.services.storage._writer):
            assert (await leave(stand, owner)).status_code == 204
            assert await step(stand)
            assert await step(stand)
        copies.take()
        images = copies.taken
    assert len(images) > 10
    states = [await _found(image, owner, clock) for image in images]
    assert set(states) == {"there", "gone"}
    assert states == sorted(states, reverse=True)


async def _found(image: Path, owner: forge.Owner, clock: Clock) -> str:
    async with serving(f"sqlite:///{image}", clock) as stand:
        answer = await stand.get("/accounts/me", owner.token)
        if answer.is_success:
            assert answer.json()["usage"]["memories"] == 600
            assert code(await known(stand, owner)) == (404, "not-found")
            return "there"
        assert code(answer) == ENDED
        await erased(stand, owner)
        assert holding(await dump(stand), owner.account.bytes) == {"departures"}
        return "gone"
