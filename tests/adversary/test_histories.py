"""A server that goes back to an older state of its database, in whole or in part, or keeps two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret_vault.errors import NotFoundError, TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER
from coffret_vault.log.tree import Frontier
from coffret_vault.store import StoredRecord
from harness.flipping import flipped
from harness.folders import comparing_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret import Vault
    from harness.database import Row
    from harness.stage import Stage


@pytest.fixture
def before(stage: Stage) -> Iterator[dict[str, Sequence[Row]]]:
    """The whole database as it was when the test began, which is put back in the end."""
    found = stage.database.copy()
    yield found
    stage.database.write(found)


def contents(vault: Vault) -> set[str]:
    """What the current memories say."""
    return {memory.content for memory in vault.list()}


# -- everything ---------------------------------------------------------------------------------


@pytest.mark.attack(17)
def test_a_full_rollback_is_noticed_by_a_device_that_saw_more(
    stage: Stage, before: dict[str, Sequence[Row]]
) -> None:
    """Yesterday's database: no device that saw today's takes it, to read or to write on."""
    device = stage.world.device(stage.owner)
    device.remember("today")
    stage.database.turn_back(before)
    head = device.status().head
    with pytest.raises(TrustError, match="shorter"):
        device.sync()
    with pytest.raises(TrustError):
        device.remember("on top of it")
    assert device.status().head == head
    assert "today" in contents(device)


@pytest.mark.attack(17)
def test_a_fresh_device_after_a_full_rollback_is_unverified(
    stage: Stage, before: dict[str, Sequence[Row]]
) -> None:
    """It cannot know better and says so; a head from another device is an alarm."""
    device = stage.world.device(stage.owner)
    device.remember("today")
    stage.database.write(before)
    fresh = stage.world.device(stage.owner)
    assert not fresh.status().confirmed
    with pytest.raises(NotFoundError):
        fresh.confirm(device.status().head)
    fresh.sync()
    with pytest.raises(TrustError, match="another log"):
        fresh.confirm(device.status().head)
    assert not fresh.status().confirmed


@pytest.mark.control(17)
def test_a_full_rollback_fools_whoever_remembers_nothing(
    stage: Stage, before: dict[str, Sequence[Row]]
) -> None:
    """Control: a client that starts from nothing each time shows the old state as if it were new.

    The same device is not fooled once the head is compared; see the test before.
    """
    device = stage.world.device(stage.owner)
    device.remember("today")
    stage.database.write(before)
    forgetful = stage.world.device(stage.owner)
    assert "today" not in contents(forgetful)
    forgetful.remember("on top of yesterday")
    assert "on top of yesterday" in contents(forgetful)


# -- one memory ---------------------------------------------------------------------------------


def _older(stage: Stage, memory_id: str) -> dict[str, Sequence[Row]]:
    """The entries with a memory's first record in the place of its second."""
    rows = [dict(row) for row in stage.database.rows("entries")]
    mine = [row for row in rows if row["subject"] == parse_id(memory_id) and row["record"]]
    mine[-1]["record"] = mine[0]["record"]
    return {"entries": rows}


def _trusting(_state: object, _wanted: object, items: Any, _rows: object) -> Any:
    for _, record in items:
        if record is not None:
            header = HEADER.parse(record.header)
            yield StoredRecord(header.memory_id, header.version, record)


@pytest.mark.attack(18)
@pytest.mark.usefixtures("before")
def test_one_memory_does_not_go_back(stage: Stage) -> None:
    """The record of an older version in the newest's place is missed, by old devices and new."""
    device, writer = stage.world.device(stage.owner), stage.world.device(stage.owner)
    memory = writer.remember("before")
    writer.update(memory.id, content="after")
    stage.database.write(_older(stage, memory.id))
    with pytest.raises(TrustError, match="withholds"):
        device.sync()
    with pytest.raises(NotFoundError):
        device.get(memory.id)
    with pytest.raises(TrustError, match="withholds"):
        stage.world.device(stage.owner)


@pytest.mark.control(18)
@pytest.mark.usefixtures("before")
def test_one_memory_goes_back_with_a_client_that_goes_by_ids(stage: Stage) -> None:
    """Control: a client that keeps what it is sent, by its id, is left with the old version."""
    writer = stage.world.device(stage.owner)
    memory = writer.remember("before")
    writer.update(memory.id, content="after")
    stage.database.write(_older(stage, memory.id))
    with (
        patch("coffret.flows.sync.check_records", _trusting),
        patch("coffret.flows.sync._nothing_withheld"),
    ):
        device = stage.world.device(stage.owner)
    with comparing_nothing():
        assert device._state.store.record(parse_id(memory.id), 1) is not None
    assert device._state.store.record(parse_id(memory.id), 2) is None


def _second(stage: Stage, memory_id: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All entries, and the one of a memory's second version."""
    rows = [dict(row) for row in stage.database.rows("entries")]
    found = [r for r in rows if (r["subject"], r["version"]) == (parse_id(memory_id), 2)]
    return rows, found[0]


def _with_the_loser_s(stage: Stage) -> tuple[Vault, str]:
    """A device whose second version won, and the memory, for which the server has the other one.

    Both are the owner's, of one version and under one key: the log alone tells them apart.
    """
    one, two = stage.world.device(stage.owner), stage.world.device(stage.owner)
    memory = one.remember("before")
    two.sync()
    common = stage.database.copy()
    one.update(memory.id, content="lost")
    _, lost = _second(stage, memory.id)
    stage.database.write(common)
    two.update(memory.id, content="won")
    rows, second = _second(stage, memory.id)
    second["record"] = lost["record"]
    stage.database.write({"entries": rows})
    return two, memory.id


@pytest.mark.attack(18)
@pytest.mark.usefixtures("before")
def test_what_lost_does_not_stand_for_what_won(stage: Stage) -> None:
    """A version that another device signed and lost with is not taken, nor shown in a history."""
    device, memory_id = _with_the_loser_s(stage)
    with pytest.raises(TrustError, match="another version than the one in the log"):
        device.history(memory_id)
    with pytest.raises(TrustError, match="not the one that the log names"):
        stage.world.device(stage.owner)


@pytest.mark.attack(18)
@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _row: None, "withholds versions"),
        (lambda row: row | {"record": _spoilt(row["record"])}, "does not open"),
        (lambda row: row | {"record": None}, "withholds a version"),
    ],
    ids=["left out", "under a spoilt key", "without its record"],
)
def test_a_history_has_every_version(stage: Stage, change: Any, said: str) -> None:
    """A version of before that a server leaves out, empties or spoils is missed by its owner."""
    device = stage.world.device(stage.owner)
    memory = device.remember("before")
    device.update(memory.id, content="after")
    rows, second = _second(stage, memory.id)
    first = next(r for r in rows if r["subject"] == second["subject"] and r["version"] == 1)
    changed = [change(row) if row is first else row for row in rows]
    stage.database.write({"entries": [row for row in changed if row is not None]})
    with pytest.raises(TrustError, match=said):
        device.history(memory.id)


def _spoilt(record: bytes) -> bytes:
    """A record whose wrap, which no digest covers, is another one."""
    *parts, wrap = msgspec.msgpack.decode(record)
    return msgspec.msgpack.encode([*parts, flipped(wrap)])


# -- two histories ------------------------------------------------------------------------------


def _forked(stage: Stage) -> tuple[Vault, Vault, Any]:
    """Two devices, each of which wrote in a history that the other never saw, and the first one's.

    The server is left with the second history.
    """
    one, two = stage.world.device(stage.owner), stage.world.device(stage.owner)
    common = stage.database.copy()
    one.remember("in the first history")
    first = stage.database.copy()
    stage.database.write(common)
    two.remember("in the second history")
    return one, two, first


@pytest.mark.attack(19)
@pytest.mark.usefixtures("before")
def test_two_histories_do_not_become_one(stage: Stage) -> None:
    """Neither device takes the other's history, and each one's head alarms the other."""
    one, two, first = _forked(stage)
    with pytest.raises(TrustError):
        one.sync()
    stage.database.write(first)
    with pytest.raises(TrustError):
        two.sync()
    for mine, other in ((one, two), (two, one)):
        with pytest.raises(TrustError, match="another log"):
            mine.confirm(other.status().head)
    assert "in the second history" not in contents(one)


@pytest.mark.control(19)
@pytest.mark.usefixtures("before")
def test_two_histories_become_one_for_a_client_that_compares_no_roots(
    stage: Stage,
) -> None:
    """Control: without roots, the device that is behind in its own history takes the other's."""
    one, two, _ = _forked(stage)
    two.remember("and on in the second")
    signed = two._state.position().head
    assert signed is not None
    root = signed.head.root
    with patch.object(Frontier, "root", lambda _: root):
        one.sync()
    assert one.status().head == two.status().head


@pytest.mark.attack(19)
@pytest.mark.usefixtures("before")
def test_the_older_end_of_two_histories_is_no_way_back(stage: Stage) -> None:
    """A longer second history is refused as the shorter one is; devices go on in their own."""
    one, two, first = _forked(stage)
    two.remember("and on in the second")
    with pytest.raises(TrustError):
        one.sync()
    stage.database.write(first)
    one.sync()
    one.remember("and on in the first")
    assert "and on in the first" in contents(one)
