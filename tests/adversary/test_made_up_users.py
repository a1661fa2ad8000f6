"""Whether a challenge's ids tell a user who exists from one whom the server made up."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from harness.network import BASE

if TYPE_CHECKING:
    from harness.world import World


def _ids(world: World, username: str, kind: str) -> list[UUID]:
    body = {"username": username, "kind": kind}
    answer = httpx.post(f"{world.url}{BASE}/auth/challenge", json=body).json()
    return [UUID(answer["account_id"]), UUID(answer["slot_id"])]


@pytest.mark.attack(46)
@pytest.mark.parametrize("kind", ["passphrase", "recovery"])
def test_no_time_in_an_id_tells_who_exists(world: World, kind: str) -> None:
    """Ids of accounts and keyslots are random, of those who exist and of those who do not.

    With a time in them, those of an account and its keyslots were of one moment, and after the
    days from which times of made-up ones were drawn.
    """
    owner = world.owner()
    for username in (owner.username, "nobody"):
        assert [found.version for found in _ids(world, username, kind)] == [4, 4]
        assert _ids(world, username, kind) == _ids(world, username, kind)
