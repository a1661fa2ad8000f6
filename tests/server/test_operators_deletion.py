"""An operator deletes an account: by its name, typed again, while the server runs."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import pytest

from coffret_server import deleting, services
from coffret_server.cli import EXIT_DATABASE
from coffret_server.settings import Settings
from server.leaving import dump, eraser, holding, known, leave, step
from server.process import told
from server.stand import Clock, Stand, code, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from coffret_server.services import Services

ENDED = (401, "session-ended")


class _Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


async def _delete(stand: Stand, username: str, *, yes: bool = False) -> int:
    settings = Settings(stand.database)
    return await deleting._delete(settings, username, yes=yes)


@pytest.mark.asyncio
async def test_an_account_goes_by_its_name(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name typed nothing of it is left, in the running server too; others stay."""
    owner, other = await stand.sign_up("ana-of-lisbon"), await stand.sign_up("bob")
    for one in (owner, other):
        await stand.remember(one)
    monkeypatch.setattr("sys.stdin", _Terminal("ana-of-lisbon\n"))
    assert await _delete(stand, "ana-of-lisbon") == 0
    said = capsys.readouterr().err
    assert "1 memories" in said
    assert "1 sessions" in said
    assert code(await stand.get("/sync", owner.token)) == ENDED
    assert holding(await dump(stand), owner.account.bytes) == {"departures"}
    assert not holding(await dump(stand), b"ana-of-lisbon")
    shown = (await known(stand, owner)).json()
    assert (shown["deletion"], shown["signature"], shown["erased"]) == (None, None, True)
    assert (await stand.get("/accounts/me", other.token)).is_success


@pytest.mark.asyncio
@pytest.mark.parametrize("typed", ["bob\n", "y\n", "\n", "", "ANA\n"])
async def test_another_name_deletes_nothing(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """Whoever types anything but the very name has deleted nothing, and is told by the code."""
    owner = await sqlite_stand.sign_up("ana")
    monkeypatch.setattr("sys.stdin", _Terminal(typed))
    assert await _delete(sqlite_stand, "ana") == deleting.NOTHING_DELETED
    assert (await sqlite_stand.get("/accounts/me", owner.token)).is_success


@pytest.mark.asyncio
async def test_what_was_begun_is_finished(sqlite_stand: Stand) -> None:
    """An account of that name that is half erased is erased to its end, without a question."""
    owner = await sqlite_stand.sign_up("ana")
    await sqlite_stand.remember(owner)
    await eraser(sqlite_stand).close()
    await leave(sqlite_stand, owner)
    assert await step(sqlite_stand)
    assert await _delete(sqlite_stand, "ana") == 0
    assert (await known(sqlite_stand, owner)).json()["erased"] is True


@pytest.mark.asyncio
async def test_the_command_asks_and_says(sqlite_url: str, clock: Clock, tmp_path: Path) -> None:
    """Without a person it needs --yes; a name that nobody has is said, and neither is a success."""
    async with serving(sqlite_url, clock) as stand:
        await stand.sign_up("ana")
    words = "delete-account", "ana", "--database", sqlite_url
    asked = told(tmp_path, *words)
    assert (asked.returncode, "--yes" in asked.stderr) == (1, True)
    done = told(tmp_path, *words, "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    again = told(tmp_path, *words, "--yes")
    assert (again.returncode, "no account of that name" in again.stderr) == (1, True)


def test_it_is_of_a_database_that_is_there(tmp_path: Path) -> None:
    """Asked in a wrong folder, nothing is made there, and nobody is told that the name is gone."""
    ended = told(tmp_path, "delete-account", "ana", "--yes")
    assert ended.returncode == EXIT_DATABASE
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_an_owner_may_be_quicker(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An account that its owner deletes meanwhile is erased all the same, by the owner's word."""
    owner = await stand.sign_up("ana")

    @contextlib.asynccontextmanager
    async def opened(*given: Any) -> AsyncIterator[Services]:
        async with services.opened(*given) as found:
            submit = found.storage.submit

            async def late(job: Any) -> Any:
                found.storage.submit = submit  # type: ignore[method-assign]
                assert (await leave(stand, owner)).status_code == 204
                return await submit(job)

            found.storage.submit = late  # type: ignore[method-assign]
            yield found

    monkeypatch.setattr(deleting, "opened", opened)
    assert await _delete(stand, "ana", yes=True) == 0
    assert "its owner deleted it" in capsys.readouterr().err
    shown = (await known(stand, owner)).json()
    assert (bool(shown["deletion"]), shown["erased"]) == (True, True)
