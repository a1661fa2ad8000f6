"""An app that fills its owner's vault with what the owner never takes."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import testing
from coffret.flows import history
from coffret.flows.http import decode_json
from coffret.flows.session import get
from coffret_server import ledger, settings
from coffret_server.waiting import Waiting
from coffret_vault.errors import QuotaError, TrustError
from harness.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import Access, Vault
    from harness.world import Owner

ROOM = 40_000
"""Bytes that an account has here."""


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[World]:
    """People at a server whose accounts have little room."""
    whole = settings.Settings

    def small(**given: Any) -> settings.Settings:
        return whole(**given, quota_bytes=ROOM)

    with (
        patch.object(settings, "Settings", small),
        testing.Server() as server,
        World(server.url, tmp_path) as world,
    ):
        yield world


def used(vault: Vault) -> int:
    """The bytes that the server counts for a vault's owner."""
    told = decode_json(vault._driver.run(get(vault._state, "/accounts/me")), dict[str, Any])
    found: int = told["usage"]["bytes"]
    return found


def fill(access: Access, memory_id: str) -> int:
    """Propose versions of a memory until that is refused, or far too many; how many."""
    for count in range(100):
        try:
            access.update(memory_id, content=f"{count} spam " * 100)
        except QuotaError:
            return count
    return 100


def filled(world: World) -> tuple[Owner, Access, str]:
    """An owner with a memory that an app may update, and the app."""
    owner = world.owner()
    memory = owner.vault.remember("mine", tags=["t"])
    _, access = world.granted(owner, world.app(), tags=["t"], scopes={"read", "update"})
    return owner, access, memory.id


def reject_all(vault: Vault) -> None:
    """Turn everything down that waits."""
    vault.sync()
    for item in list(vault.pending()):
        vault.reject(item.memory_id, item.version)


@pytest.mark.attack(61)
def test_an_app_fills_a_part_of_the_room_and_none_for_good(narrow: World) -> None:
    """It is refused, its owner is not; what is rejected is as if it had not been written."""
    owner, access, memory_id = filled(narrow)
    before, written = used(owner.vault), 0
    for _ in range(2):
        written += fill(access, memory_id)
        assert 0 < used(owner.vault) - before <= ROOM // 4
        note = owner.vault.remember("more")
        reject_all(owner.vault)
        owner.vault.forget(note.id)
        assert used(owner.vault) == before
    steps = owner.vault.history(memory_id)
    assert len(steps) == written + 1
    assert [step.memory is not None for step in steps] == [True] + [False] * written
    assert access.get(memory_id).content == "mine"
    assert owner.vault.history(memory_id) == narrow.device(owner).history(memory_id)


@pytest.mark.control(61)
def test_without_a_bound_an_app_shuts_its_owner_out(narrow: World) -> None:
    """Control: the quota is used up, and the owner is refused."""
    with patch.object(Waiting, "check"):
        owner, access, memory_id = filled(narrow)
        fill(access, memory_id)
    with pytest.raises(QuotaError):
        owner.vault.remember("mine as well " * 400)


@pytest.mark.control(61)
def test_what_is_rejected_and_kept_is_used_up_for_good(narrow: World) -> None:
    """Control: where a rejection erases nothing, rejecting gives nothing back."""
    owner, access, memory_id = filled(narrow)
    fill(access, memory_id)
    full = used(owner.vault)
    with _keeping():
        reject_all(owner.vault)
    assert used(owner.vault) >= full
    reject_all(owner.vault)
    assert used(owner.vault) >= full


@contextmanager
def _keeping() -> Iterator[None]:
    """A server that keeps what is rejected."""
    decide = ledger.Ledger._pending

    async def kept(self: ledger.Ledger, entry: Any) -> Any:
        memory, target = await decide(self, entry)
        self._bytes += len(target.record or b"") if entry.kind == "reject" else 0
        return memory, target

    with patch.object(ledger.Ledger, "_pending", kept):
        yield


@pytest.mark.attack(16)
def test_a_server_withholds_no_text_by_calling_it_rejected(narrow: World) -> None:
    """A version without its record is an alarm unless the log itself says that it was rejected."""
    owner, access, memory_id = filled(narrow)
    owner.vault.update(memory_id, content="mine, twice")
    access.update(memory_id, content="theirs")
    owner.vault.sync()
    for status in ("rejected", "accepted"):
        with (
            patch("coffret.flows.history._items", _without_records(status)),
            pytest.raises(TrustError, match="nobody deleted"),
        ):
            owner.vault.history(memory_id)
    reject_all(owner.vault)
    assert [step.memory is None for step in owner.vault.history(memory_id)] == [False, False, True]


def _without_records(status: str) -> Any:
    """What a server that shows no text, under some status, makes of a history."""
    read = history._items

    def items(*arguments: Any) -> Any:
        found = yield from read(*arguments)
        return [msgspec.structs.replace(item, record=None, status=status) for item in found]

    return items


def _full(vault: Vault) -> None:
    """Remember things, ever smaller ones, until there is no room for any."""
    for size in (4_000, 1_000, 1):
        with suppress(QuotaError):
            while True:
                vault.remember("x" * size)


@pytest.mark.attack(61)
def test_what_a_full_account_has_no_room_to_take_in_stops_no_sync(narrow: World) -> None:
    """What an app wrote plain, to be sealed as it is accepted, waits for its owner and for room."""
    owner = narrow.owner()
    owner.vault.set_settings(sealed=True)
    first = owner.vault.remember("x" * 2_000)
    scopes = {"create", "read"}
    _, access = narrow.granted(owner, narrow.app(), scopes=scopes, auto_accept=True)
    made = access.remember("y" * 700, title="shows", sealed=False)
    _full(owner.vault)
    owner.vault.sync()
    assert [item.memory_id for item in owner.vault.pending()] == [made.id]
    owner.vault.forget(first.id)
    owner.vault.sync()
    assert owner.vault.pending() == []
    assert owner.vault.get(made.id).sealed


@pytest.mark.attack(55, 61)
def test_keys_that_a_full_account_has_no_room_for_are_said(narrow: World) -> None:
    """A sync names what an app may write to under a key that others know, and is done."""
    owner = narrow.owner()
    memory = owner.vault.remember("m" * 2_000)
    first = owner.vault.remember("x" * 4_000)
    narrow.granted(owner, narrow.app(), scopes={"read"}, duration=timedelta(hours=2))
    other = narrow.app("B", "https://b.example")
    narrow.granted(owner, other, scopes={"read", "update"}, memories={memory.id})
    _full(owner.vault)
    narrow.clock.forward(hours=3)
    assert owner.vault.sync().unwritten == (memory.id,)
    owner.vault.forget(first.id)
    assert owner.vault.sync().unwritten == ()
    assert owner.vault.get(memory.id).version == 2
