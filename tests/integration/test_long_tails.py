"""Many entries by apps: a device that syncs puts a head over them, and apps go on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import Vault
from coffret.flows import append, covering, unsent
from coffret_server.data import writing
from coffret_vault.errors import QuotaError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from harness.network import Evil, Fabricating, Signed
from harness.world import PASSPHRASE, Owner, Watch, ambient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from coffret import Access
    from harness.world import World

LONG = 3
FULL = 5


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """Tails of three entries are long, and of five as long as they get."""
    with patch.object(covering, "COVERED_FROM", LONG), patch.object(writing, "TAIL_LIMIT", FULL):
        yield


def tail(vault: Vault) -> int:
    """How many entries no head covers, as a device knows it."""
    return len(vault._state.position().tail)


def fill(access: Access, count: int = LONG) -> None:
    """Write so much."""
    for number in range(count):
        access.remember(f"note {number}")


def writer(world: World, owner: Owner) -> Access:
    """An app that may write."""
    return world.granted(owner, world.app(), scopes={"create"})[1]


def test_a_long_tail_is_covered_by_a_sync(either: World) -> None:
    """No entry is added, nothing is decided, and other devices and the app go on from there."""
    owner = either.owner()
    other, access = either.device(owner), writer(either, owner)
    fill(access)
    before = owner.vault.status()
    assert owner.vault.sync().entries == LONG
    after = owner.vault.status()
    assert (after.entries, tail(owner.vault)) == (before.entries + LONG, 0)
    assert after.head != before.head
    assert len(owner.vault.pending()) == LONG
    other.sync()
    assert other.status().head == after.head
    assert access.receipt() == after.head
    owner.vault.sync()
    assert owner.vault.status().head == after.head


def test_a_short_tail_is_left_to_the_next_change(world: World) -> None:
    """A vault in which little happens signs nothing that its owner did not do."""
    owner = world.owner()
    fill(writer(world, owner), LONG - 1)
    head = owner.vault.status().head
    owner.vault.sync()
    assert (owner.vault.status().head, tail(owner.vault)) == (head, LONG - 1)
    owner.vault.remember("mine")
    assert tail(owner.vault) == 0


def test_an_app_with_much_to_write_waits_for_a_sync(either: World) -> None:
    """What is too much is refused, and is taken as soon as a device of the owner's was there."""
    owner = either.owner()
    access = writer(either, owner)
    for _ in range(3):
        fill(access, FULL)
        with pytest.raises(QuotaError, match="owner") as refused:
            access.remember("one more")
        assert "synced" in refused.value.hint
        owner.vault.sync()
    assert len(owner.vault.pending()) == 3 * FULL


def test_devices_that_cover_at_once(world: World) -> None:
    """One head counts, whoever is late takes it up, and nobody is told of anything."""
    late = Between()
    owner = world.owner(transport=late)
    other, access = world.device(owner), writer(world, owner)
    fill(access)
    late.happens = other.sync
    owner.vault.sync()
    assert late.refused == 1
    assert tail(owner.vault) == tail(other) == 0
    assert owner.vault.status().head == other.status().head
    fill(access)
    late.happens = lambda: fill(access, 1)
    owner.vault.sync()
    assert tail(owner.vault) == 0
    late.happens = lambda: other.remember("mine")
    fill(access)
    owner.vault.sync()
    other.sync()
    assert owner.vault.status().head == other.status().head


class Between(Signed):
    """Something happens just before an append of this device is sent on."""

    happens: Callable[[], object] | None = None
    refused = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let it happen once."""
        if self.happens and request.url.path.endswith("/log") and request.method == "POST":
            happens, self.happens = self.happens, None
            happens()
        response = super().handle_request(request)
        self.refused += response.status_code == 409
        return response


def test_two_processes_of_a_device_cover_at_once(world: World) -> None:
    """Of the heads that they make one leaves the device."""
    network = Signed()
    owner = world.owner(transport=network)
    other = world.closing(Vault.open(owner.vault.folder, **world.around(transport=network)))
    other.unlock(PASSPHRASE, owner.secret_key)
    fill(writer(world, owner))
    hold = unsent.hold

    def behind_the_other(*arguments: Any, **options: Any) -> bytes | None:
        with patch.object(append, "hold", hold):
            other.sync()
        return hold(*arguments, **options)

    network.heads.clear()
    with patch.object(append, "hold", behind_the_other):
        owner.vault.sync()
    assert len(network.heads) == 1
    assert tail(owner.vault) == tail(other) == 0


@pytest.mark.parametrize("reaching", [True, False])
@pytest.mark.usefixtures("one_try")
def test_a_head_whose_answer_is_lost(world: World, *, reaching: bool) -> None:
    """The sync is whole nevertheless; the very same head goes out again before another is made."""
    network = Signed()
    owner = world.owner(transport=network)
    access = writer(world, owner)
    fill(access)
    network.heads.clear()
    network.reaching, network.lose = reaching, _appends
    assert owner.vault.sync().entries == LONG
    assert len(owner.vault.pending()) == LONG
    if not reaching:
        fill(access, 1)
    network.lose = lambda _: False
    owner.vault.sync()
    owner.vault.remember("mine")
    assert tail(owner.vault) == 0
    covered = [head for head in network.heads if parse_head(head).head.size < _size(owner.vault)]
    assert len(set(covered)) == len({parse_head(head).head.size for head in covered})
    assert world.device(owner).status().head == owner.vault.status().head


def _appends(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/log")


def _size(vault: Vault) -> int:
    return vault.status().entries


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_takes_no_head_now(world: World, status: int) -> None:
    """It can be read all the same, and gets the head later."""
    evil = Evil()
    owner = world.owner(transport=evil)
    fill(writer(world, owner))
    answer = {"code": "rate-limited" if status == 429 else "unavailable"}
    evil.rewrite["/log"] = lambda _: _refused(status, answer)
    with patch("coffret.transport._TRIES", 1):
        owner.vault.sync()
    assert len(owner.vault.pending()) == LONG
    evil.rewrite.clear()
    owner.vault.sync()
    assert tail(owner.vault) == 0


def _refused(status: int, answer: dict[str, str]) -> httpx.Response:
    return httpx.Response(status, json=answer, headers={"retry-after": "100"})


def test_a_device_that_is_locked_reads_and_signs_nothing(world: World) -> None:
    """Without keys there is no head; with them there is."""
    owner = world.owner()
    access = writer(world, owner)
    fill(access)
    with patch.object(covering, "append") as signed:
        owner.vault.lock()
        with pytest.raises(Exception, match="locked"):
            owner.vault.sync()
    signed.assert_not_called()
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.sync()
    assert tail(owner.vault) == 0


@pytest.mark.parametrize("days", [-800, 800])
def test_a_device_that_is_new_and_whose_clock_is_wrong(world: World, days: int) -> None:
    """It covers what it read as any other does, and others follow it."""
    owner = world.owner()
    access, watch = writer(world, owner), Watch(world.clock)
    fill(access)
    watch.offset = timedelta(days=days)
    fresh = world.device(owner, ambient=ambient(watch))
    assert not fresh.status().confirmed
    fresh.sync()
    assert tail(fresh) == 0
    owner.vault.sync()
    assert owner.vault.status().head == fresh.status().head


def test_a_server_that_says_it_moved_and_shows_nothing_is_found_out(world: World) -> None:
    """The same head is sent again, never another of its size; then it is an alarm."""
    evil = Fabricating()
    owner = world.owner(transport=evil)
    fill(writer(world, owner))
    evil.invented["/log"] = _refused(409, {"code": "log-moved"})
    evil.requests.clear()
    for act in (owner.vault.sync, lambda: owner.vault.remember("mine")):
        with pytest.raises(TrustError, match="shows nothing"):
            act()
    sent = [r for r in evil.requests if _appends(r)]
    heads = {msgspec.msgpack.decode(request.content)["head"] for request in sent}
    assert len(sent) > len(heads) == 1
    evil.invented.clear()
    owner.vault.remember("mine")
    assert tail(owner.vault) == 0
