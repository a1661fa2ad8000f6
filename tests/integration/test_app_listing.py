"""An app lists and searches what it was granted, narrowed as an owner narrows a vault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import InputError
from harness.network import Recorder

if TYPE_CHECKING:
    from coffret import Access
    from harness.world import World

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def _three(world: World) -> Access:
    """An old one, a new one, and one of the app's own, in this order by their change."""
    owner = world.owner()
    owner.vault.remember(
        "old fig",
        tags=["food", "t"],
        type="fact",
        importance=0.9,
        created=LONG_AGO,
        valid_until=LATER,
    )
    owner.vault.remember(
        "new fig",
        tags=["food"],
        type="goal",
        labels={"user": "ana"},
        metadata={"year": 2026},
        valid_from=LATER,
    )
    _, access = world.granted(owner, world.app(), scopes={"read", "create"})
    access.remember("own fig", tags=["t"], importance=0.2, source="a talk")
    return access


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["own", "new", "old"]),
        ({"tags": ["food", "t"]}, ["old"]),
        ({"any_tags": {"t"}}, ["own", "old"]),
        ({"types": ("goal", "fact")}, ["new", "old"]),
        ({"labels": {"user": "ana"}}, ["new"]),
        ({"labels": {"user": "bob"}}, []),
        ({"metadata": {"year": "2026"}}, ["new"]),
        ({"metadata": {"year": 2025}}, []),
        ({"importance": 0.5}, ["old"]),
        ({"importance": 0}, ["own", "old"]),
        ({"authors": ["owner"]}, ["new", "old"]),
        ({"since": LONG_AGO + timedelta(days=1)}, ["own", "new"]),
        ({"until": LONG_AGO + timedelta(days=1)}, ["old"]),
        ({"valid_on": LATER - TICK}, ["own", "old"]),
        ({"valid_on": LATER}, ["own", "new"]),
        ({"valid_on": LATER.replace(tzinfo=None)}, ["own", "new"]),
        ({"valid_on": datetime.max.replace(tzinfo=UTC)}, ["own", "new"]),
        ({"source": "a talk"}, ["own"]),
        ({"source": "a"}, []),
        ({"limit": 2}, ["own", "new"]),
        ({"limit": 0}, []),
        ({"any_tags": ["t"], "limit": 1}, ["own"]),
    ],
    ids=str,
)
def test_a_grant_is_listed_as_it_is_wanted(
    either: World, wanted: dict[str, Any], expected: list[str]
) -> None:
    """Each filter narrows a list and a search alike; a list is in the order of the last change."""
    access = _three(either)
    assert [memory.content.split()[0] for memory in access.memories(**wanted)] == expected
    if "limit" not in wanted:
        found = access.search("fig", **wanted)
        assert {hit.memory.content.split()[0] for hit in found} == set(expected)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"tags": "food"}, InputError),
        ({"tags": 5}, InputError),
        ({"types": [["goal"]]}, InputError),
        ({"types": [None]}, InputError),
        ({"labels": ["user"]}, InputError),
        ({"metadata": {"year": None}}, InputError),
        ({"importance": 2}, InputError),
        ({"since": "2024-01-01"}, InputError),
        ({"valid_on": "2024-01-01"}, InputError),
        ({"limit": -1}, InputError),
        ({"limit": None}, InputError),
        ({"limit": "ten"}, InputError),
        ({"tag": ["food"]}, TypeError),
        ({"mode": "words"}, TypeError),
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused(
    world: World, wanted: dict[str, Any], error: type[Exception]
) -> None:
    """Before anything is asked of the server; no filter is silently none. Owners are told alike."""
    owner, network = world.owner(), Recorder()
    _, access = world.granted(owner, world.app(transport=network), scopes={"read"})
    sent = len(network.requests)
    with pytest.raises(error):
        access.memories(**wanted)
    with pytest.raises(error):
        owner.vault.list(**wanted)
    if "mode" not in wanted:
        with pytest.raises(error):
            access.search("fig", **wanted)
        with pytest.raises(error):
            owner.vault.search("fig", **wanted)
    assert len(network.requests) == sent


def test_an_owner_lists_by_the_same_filters(either: World) -> None:
    """Labels, times and a limit too."""
    vault = either.owner().vault
    vault.remember("old", created=LONG_AGO)
    vault.remember("new", labels={"user": "ana"}, tags=["a"])
    assert [memory.content for memory in vault.list(labels={"user": "ana"})] == ["new"]
    assert [memory.content for memory in vault.list(until=LONG_AGO + timedelta(days=1))] == ["old"]
    assert [memory.content for memory in vault.list(limit=1, authors=["owner"])] == ["new"]
    assert [memory.content for memory in vault.list(any_tags=["a", "b"])] == ["new"]


def test_an_owner_leaves_out_what_is_not_true_any_more_or_yet(either: World) -> None:
    """By list, by a search by meaning and by one by words, to the microsecond."""
    vault = either.owner().vault
    vault.remember("fig until", valid_until=LATER)
    vault.remember("fig from", valid_from=LATER, sealed=True)
    vault.remember("fig always")
    for moment, there in ((LATER - TICK, "until"), (LATER, "from")):
        expected = {f"fig {there}", "fig always"}
        assert {memory.content for memory in vault.list(valid_on=moment)} == expected
        for mode in ("fused", "words"):
            found = vault.search("fig", mode=mode, valid_on=moment)
            assert {hit.memory.content for hit in found} == expected
    assert len(vault.list(valid_on=LATER, limit=2)) == 2
    assert len(vault.list(valid_on=None)) == 3
