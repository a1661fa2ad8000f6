"""A server that writes into its own database: columns altered, rows left out, put in, exchanged."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from harness.database import alterations

if TYPE_CHECKING:
    from harness.database import Row
    from harness.stage import Stage

TABLES = (
    "accounts", "entries", "grant_wraps", "grants", "keyslots", "logs", "memories", "memory_tags",
)  # fmt: skip
KEYS = {
    "entries": "seq", "grant_wraps": "memory_id", "grants": "grant_id", "keyslots": "slot_id",
    "memories": "memory_id", "memory_tags": "tag", "sessions": "session_id",
}  # fmt: skip


def of(stage: Stage, table: str) -> tuple[list[Row], list[Row]]:
    """The owner's rows of a table, and everybody else's."""
    rows, mine = stage.database.rows(table), stage.owner.vault._state.account_id
    own = [row for row in rows if row["account_id"] == mine]
    return own, [row for row in rows if row["account_id"] != mine]


@pytest.mark.attack(5, 15, 18, 20, 21)
@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_row(stage: Stage, table: str) -> None:
    """Whatever one column is altered to, devices refuse, or show what they honestly would."""
    rows, others = of(stage, table)
    tried = 0
    for number, row in enumerate(rows):
        for column, value in row.items():
            # Each column of each row once; where there are few rows, in more ways.
            ways = alterations(value)
            for other in ways[number % len(ways) :: len(rows)][:2]:
                altered = [*rows[:number], {**row, column: other}, *rows[number + 1 :]]
                tried += stage.fools_nobody({table: [*altered, *others]})
    assert tried > len(rows)
    assert stage.fresh() == stage.honest


@pytest.mark.attack(16)
@pytest.mark.parametrize("table", TABLES)
def test_every_row_left_out(stage: Stage, table: str) -> None:
    """Without any one row devices refuse, or show what they honestly would."""
    rows, others = of(stage, table)
    for number in range(len(rows)):
        assert stage.fools_nobody({table: [*rows[:number], *rows[number + 1 :], *others]})


@pytest.mark.attack(16, 20, 24)
@pytest.mark.parametrize("table", KEYS)
def test_every_row_put_in_again(stage: Stage, table: str) -> None:
    """A second copy of any row, or another owner's in the owner's name, is not believed."""
    rows, others = of(stage, table)
    account = {"account_id": stage.owner.vault._state.account_id}
    key, tried = KEYS[table], 0
    for row in (*rows, *others):
        new = len(rows) if key == "seq" else alterations(row[key])[0]
        tried += stage.fools_nobody({table: [*rows, *others, {**row, **account, key: new}]})
    assert tried


@pytest.mark.attack(6, 21)
@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_two_owners_exchanged(stage: Stage, table: str) -> None:
    """What is another owner's, and honest there, is not taken for the owner's."""
    rows, others = of(stage, table)
    tried = 0
    for column in rows[-1]:
        mine, theirs = dict(rows[-1]), dict(others[-1])
        mine[column], theirs[column] = theirs[column], mine[column]
        tried += stage.fools_nobody({table: [*rows[:-1], mine, *others[:-1], theirs]})
    assert tried


@pytest.mark.attack(6, 16)
@pytest.mark.parametrize("column", ["leaf", "record", "seq"])
def test_every_two_entries_exchanged(stage: Stage, column: str) -> None:
    """Entries and records stand where the log says, or are refused."""
    rows, others = of(stage, "entries")
    pairs = combinations([n for n, row in enumerate(rows) if row[column] is not None], 2)
    for one, two in pairs:
        if column != "record" and two - one > 2:
            continue
        changed: list[Any] = [dict(row) for row in rows]
        changed[one][column], changed[two][column] = rows[two][column], rows[one][column]
        assert stage.fools_nobody({"entries": [*changed, *others]})
