"""An import can be repeated, resumed and followed up."""

from __future__ import annotations

import msgspec
import pytest

from coffret_vault.ingest import Action, Draft, plan_import

FIRST = Draft(key="a#1", source="a", content="one")
SECOND = Draft(key="a#2", source="a", content="two")


def test_importing_twice_creates_nothing_twice() -> None:
    """New drafts are created, known ones kept, changed ones update."""
    assert [action for action, _ in plan_import([FIRST, SECOND], {})] == [Action.CREATE] * 2
    known = {FIRST.key: FIRST.digest}
    assert [action for action, _ in plan_import([FIRST, SECOND], known)] == [
        Action.KEEP,
        Action.CREATE,
    ]
    changed = msgspec.structs.replace(FIRST, content="changed")
    assert list(plan_import([changed], known)) == [(Action.UPDATE, changed)]


def test_a_key_that_comes_twice_counts_once() -> None:
    """A repeated key is never created again."""
    assert [action for action, _ in plan_import([FIRST, FIRST], {})] == [
        Action.CREATE,
        Action.KEEP,
    ]


@pytest.mark.parametrize(
    ("field", "value", "changes"),
    [
        ("content", "x", True),
        ("title", "x", True),
        ("tags", ("x",), True),
        ("importance", 0.5, True),
        ("labels", {"a": "b"}, True),
        ("metadata", {"a": 1}, True),
        ("created", 5, True),
        ("updated", 5, False),
        ("key", "x", False),
        ("source", "x", False),
    ],
)
def test_the_digest_covers_what_a_person_would_call_a_change(
    field: str, value: object, *, changes: bool
) -> None:
    """A digest differs exactly when something stated differs."""
    other = msgspec.structs.replace(FIRST, **{field: value})
    assert (other.digest != FIRST.digest) is changes


def test_the_digest_does_not_depend_on_the_order_of_mappings() -> None:
    """Equal drafts have equal digests."""
    one = msgspec.structs.replace(FIRST, metadata={"a": 1, "b": {"c": 1, "d": 2}})
    two = msgspec.structs.replace(FIRST, metadata={"b": {"d": 2, "c": 1}, "a": 1})
    assert one.digest == two.digest
