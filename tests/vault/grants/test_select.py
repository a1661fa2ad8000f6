"""Which memories a selector means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from coffret_vault.formats.author import OWNER
from coffret_vault.formats.memory import Header
from coffret_vault.formats.sharing import Selector
from coffret_vault.grants.select import matches, matches_unopened
from coffret_vault.records.memory import Memory, to_micros

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
MEMORY = Memory(
    id="00000000-0000-0000-0000-000000000007", version=1, author="owner", created=MOMENT,
    updated=MOMENT, content="x", tags=("travel", "sea"), type="goal", importance=0.5,
)  # fmt: skip
ID = bytes(15) + b"\7"
NOW = to_micros(MOMENT)

CASES: list[tuple[dict[str, Any], bool]] = [
    ({"everything": True}, True),
    ({"tags": frozenset(["travel"])}, True),
    ({"tags": frozenset(["travel", "home"])}, True),
    ({"tags": frozenset(["home"])}, False),
    ({"types": frozenset(["goal", "fact"])}, True),
    ({"types": frozenset(["fact"])}, False),
    ({"ids": frozenset([ID])}, True),
    ({"ids": frozenset([bytes(16)])}, False),
    ({"importance": 500_000}, True),
    ({"importance": 500_001}, False),
    ({"since": NOW}, True),
    ({"since": NOW + 1}, False),
    ({"tags": frozenset(["travel"]), "types": frozenset(["goal"])}, True),
    ({"tags": frozenset(["travel"]), "types": frozenset(["fact"])}, False),
    ({"tags": frozenset(["travel"]), "since": NOW + 1}, False),
]


@pytest.mark.parametrize(("selector", "expected"), CASES)
def test_every_dimension_that_is_named_has_to_fit(
    selector: dict[str, Any],
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    """A memory is selected if it fits all that the selector names, and each in any of its ways."""
    assert matches(Selector(**selector), MEMORY) is expected


def test_a_memory_without_importance_is_less_than_any() -> None:
    """Even an importance of nothing asks for one that was given."""
    plain = Memory(
        **{**{n: getattr(MEMORY, n) for n in MEMORY.__struct_fields__}, "importance": None}
    )
    assert not matches(Selector(importance=0), plain)


def _header(*, sealed: bool) -> Header:
    return Header(
        account_id=bytes(16),
        memory_id=ID,
        version=1,
        key_number=1,
        author=OWNER,
        created=NOW,
        updated=NOW,
        sealed=sealed,
        title="",
        importance=None if sealed else 500_000,
        tags=frozenset() if sealed else frozenset(MEMORY.tags),
    )


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(("selector", "expected"), CASES)
def test_a_header_alone_never_contradicts_the_memory(
    selector: dict[str, Any],
    expected: bool,  # noqa: FBT001 - a case
    sealed: bool,  # noqa: FBT001 - a case
) -> None:
    """What the header tells is what the memory tells; where it cannot tell, it does not."""
    told = matches_unopened(Selector(**selector), _header(sealed=sealed))
    assert told in {expected, None}
    needs_opening = "types" in selector or (sealed and {"tags", "importance"} & selector.keys())
    assert (told is None) <= bool(needs_opening)


def test_a_sealed_memory_is_opened_for_what_it_hides() -> None:
    """Tags and importance inside an envelope are never taken for absent."""
    for selector in ({"tags": frozenset(["travel"])}, {"importance": 1}):
        assert matches_unopened(Selector(**selector), _header(sealed=True)) is None
