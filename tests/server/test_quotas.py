"""An operator shows and changes what an account may have, while it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret_server.cli import EXIT_DATABASE
from coffret_server.quotas import UnknownAccountError, quota
from server.process import told
from server.stand import code, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.asyncio
async def test_a_quota_is_changed_while_the_account_is_in_use(database: str, clock: Any) -> None:
    """Each number alone, for one account, in force at its next change; on both databases."""
    async with serving(database, clock, quota_memories=1) as stand:
        owner, other = await stand.sign_up(), await stand.sign_up("bea")
        await stand.remember(owner)
        await stand.remember(other)
        full = await stand.append(owner, owner.put(owner.memory()))
        assert code(full) == (429, "quota-exceeded")
        said = await quota(database, owner.username, memories=3)
        assert said.startswith(f"{owner.username}: 1 of 3 memories, ")
        await stand.remember(owner)
        assert code(await stand.append(other, other.put(other.memory())))[0] == 429
        assert " of 5 bytes" in await quota(database, owner.username, size=5)
        full = await stand.append(owner, owner.put(owner.memory()))
        assert code(full) == (429, "quota-exceeded")
        assert "2 of 3 memories" in await quota(database, owner.username)
        with pytest.raises(UnknownAccountError):
            await quota(database, "nobody-here")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nobody",), "nobody is called 'nobody' here"),
        (("nobody", "--memories", "-1"), "a whole number"),
        (("nobody", "--bytes", "1" + "0" * 19), "a whole number"),
        ((), "username"),
    ],
)
def test_a_quota_of_nobody_or_nothing_is_refused(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    """Wrong arguments are exit code 2, and say what is wrong."""
    database = f"sqlite:///{tmp_path / 'x.db'}"
    assert told(tmp_path, "migrate", "--database", database).returncode == 0
    ended = told(tmp_path, "quota", "--database", database, *words)
    assert ended.returncode == 2
    assert says in ended.stderr


def test_a_quota_is_of_a_database_that_is_there(tmp_path: Path) -> None:
    """Asked in a wrong folder, nothing is made there."""
    ended = told(tmp_path, "quota", "somebody")
    assert ended.returncode == EXIT_DATABASE
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
