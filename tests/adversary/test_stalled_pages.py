"""A page of records that was asked for before another process of the device moved its log on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import UUID

import pytest

from adversary.test_key_changes import NEW, change
from coffret.flows import keychange, sync
from coffret.flows.arriving import check_records
from coffret_vault.errors import KeysChangedError, StoreAlteredError
from coffret_vault.formats.memory import KEK, Kek
from coffret_vault.records.rewrap import KeyName
from coffret_vault.store import Store
from integration.test_processes import another_device, meanwhile, other_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Memory, Vault
    from coffret_vault.store import StoredRecord
    from harness.world import Owner, World

OLD_KEK = KEK.encode(Kek(generation=1))
_PAGES = [2, 3]
"""The entries come with the first two requests; the records of two memories with the next two."""


def _lying(vault: Vault, column: str = "memory_id") -> list[bytes]:
    """What lies in a device's folder of its records."""
    query = f"SELECT {column} FROM records"  # noqa: S608 - a constant
    return [row[0] for row in vault._state.store._database.execute(query)]


def _three(world: World) -> tuple[Owner, Vault, list[Memory]]:
    """An owner with two processes of one device, and three memories that neither has read."""
    owner = world.owner()
    away, other = another_device(world, owner), other_process(world, owner)
    return owner, other, [away.remember(f"{number}") for number in range(3)]


def _stalled(vault: Vault, at: int, act: Callable[[], object]) -> None:
    """Sync page by page, and have another process act while one of them is on its way."""
    with patch.object(sync, "PAGE", 1), meanwhile(sync, *[None] * at, act):
        vault.sync()


def _put_anyhow(store: Store, records: list[StoredRecord], _stood: bytes) -> None:
    """As a client does that looks at nothing."""
    _put(store, records, store.stand())


def _as_asked(state: Any, lacking: Any, page: Any) -> tuple[Any, list[StoredRecord]]:
    """A page judged by how the log stood when it was asked for, as such a client does."""
    return lacking, list(check_records(state, lacking.wanted, page.items, {}))


_put = Store.put_records_soon


def _forgotten_meanwhile(world: World, at: int) -> tuple[Vault, bytes]:
    owner, other, made = _three(world)

    def act() -> None:
        other.sync()
        other.forget(made[2].id)

    _stalled(owner.vault, at, act)
    return owner.vault, UUID(made[2].id).bytes


@pytest.mark.attack(18)
@pytest.mark.parametrize("at", _PAGES)
def test_a_memory_that_was_forgotten_meanwhile_is_not_put_back(world: World, at: int) -> None:
    """Neither its record nor its key lies here any more, and nothing keeps the keys from changing.

    The server takes no key of a memory that is gone.
    """
    vault, gone = _forgotten_meanwhile(world, at)
    assert gone not in _lying(vault)
    assert len(_lying(vault)) == 2
    change(vault)
    assert len(vault.list()) == 2


@pytest.mark.control(18)
def test_a_client_that_does_not_look_puts_it_back(world: World) -> None:
    """The page is of before, and nothing in it says so."""
    anyhow = patch.object(Store, "put_records_soon", _put_anyhow)
    with anyhow, patch.object(sync, "_checked", _as_asked):
        vault, gone = _forgotten_meanwhile(world, 3)
    assert gone in _lying(vault)


@pytest.mark.attack(57)
@pytest.mark.parametrize("at", _PAGES)
def test_keys_that_were_changed_meanwhile_are_not_turned_back(world: World, at: int) -> None:
    """What opens with the keys of before does not come to lie here again, and all is readable."""
    owner, other, _ = _three(world)
    codes = []

    def act() -> None:
        other.sync()
        codes.append(change(other).secret_key_code())

    with pytest.raises(KeysChangedError):
        _stalled(owner.vault, at, act)
    assert OLD_KEK not in _lying(other, "kek")
    assert len(other.list()) == 3
    owner.vault.log_in_again(NEW, codes[0])
    assert len(owner.vault.list()) == 3


def _planted(vault: Vault, owner: Owner, row: tuple[object, ...]) -> None:
    """Put a record into the folder of a locked device."""
    vault.lock()
    vault._state.store._database.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
    vault.unlock(owner.passphrase, owner.secret_key)


@pytest.mark.attack(49)
@pytest.mark.parametrize("kind", ["made up", "forgotten"])
@pytest.mark.parametrize("here", [True, False])
def test_a_planted_record_keeps_no_keys_from_changing(
    world: World,
    kind: str,
    here: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """One that the log does not name is nobody's to wrap anew, and no fault of the server's."""
    owner = world.owner()
    owner.vault.remember("stays")
    gone = owner.vault.remember("gone")
    away = another_device(world, owner)
    vault = owner.vault if here else away
    query = "SELECT * FROM records WHERE memory_id = ?"
    names = (UUID(gone.id).bytes,)
    (row,) = vault._state.store._database.execute(query, names).fetchall()
    owner.vault.forget(gone.id)
    away.sync()
    named = (bytes(16), *row[1:5], bytes(len(row[5]))) if kind == "made up" else row
    _planted(vault, owner, named)
    code = change(owner.vault).secret_key_code()
    if not here:
        vault.log_in_again(NEW, code)
    assert [memory.content for memory in vault.list()] == ["stays"]
    assert OLD_KEK not in _lying(vault, "kek")


@pytest.mark.attack(49)
def test_what_cannot_be_read_keeps_no_device_from_entering_again(world: World) -> None:
    """Where memories stand is read from the log again then; no other way leads into the vault."""
    owner = world.owner()
    owner.vault.remember("stays")
    away = another_device(world, owner)
    away.lock()
    away._state.store._database.execute("UPDATE memories SET state = x'c1'")
    code = change(owner.vault).secret_key_code()
    with suppress(StoreAlteredError):
        away.log_in_again(NEW, code)
    assert [memory.content for memory in away.list()] == ["stays"]
    assert OLD_KEK not in _lying(away, "kek")


@pytest.mark.attack(2)
def test_a_record_that_came_behind_the_new_wraps_goes_with_the_keys_of_before(
    world: World,
) -> None:
    """A server hid its key till then, and took the change: that is kept, and fetches it again."""
    owner = world.owner()
    owner.vault.remember("stays")
    late = UUID(owner.vault.remember("late").id).bytes
    stage = keychange._stage

    def without(state: Any, made: Any, staged: Any, progress: Any) -> Any:
        yield from stage(state, made, staged, progress)
        staged.pop(KeyName(late, 1), None)

    with patch.object(keychange, "_stage", without):
        change(owner.vault)
    assert OLD_KEK not in _lying(owner.vault, "kek")
    assert [memory.content for memory in owner.vault.list()] == ["stays"]
    owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == {"stays", "late"}


@pytest.mark.attack(57)
def test_a_page_that_is_kept_while_new_keys_are_leaves_nothing_under_those_of_before(
    world: World,
) -> None:
    """It came when what lies here was looked through, and goes; the next sync fetches it again."""
    owner, other, made = _three(world)
    other.sync()
    late, store = UUID(made[0].id).bytes, other._state.store
    (record,) = [row for row in store.records_under(OLD_KEK) if row.memory_id == late]
    staged = keychange._staged

    def behind(state: Any, wraps: Any) -> list[StoredRecord]:
        store.take_away([record])
        rows = staged(state, wraps)
        store.put_records([record], store.stand())
        return rows

    with patch.object(keychange, "_staged", behind):
        change(owner.vault)
    assert OLD_KEK not in _lying(owner.vault, "kek")
    owner.vault.sync()
    assert len(owner.vault.list()) == 3
