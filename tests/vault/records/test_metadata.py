"""What a filter by metadata finds."""

from __future__ import annotations

import pytest

from coffret_vault.records.metadata import has_metadata, listed

KEPT = {
    "mood": "happy",
    "year": 2024,
    "half": 0.5,
    "whole": 3.0,
    "done": True,
    "people": ["Mila", 7],
    "none": None,
    "deep": {"mood": "sad"},
}


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"mood": "happy", "year": 2024},
        {"year": "2024"},
        {"year": 2024.0},
        {"whole": 3},
        {"half": "0.5"},
        {"done": True},
        {"done": "true"},
        {"people": "Mila"},
        {"people": "7"},
    ],
)
def test_values_are_found_as_they_are_written(wanted: dict[str, str | float | bool]) -> None:
    """A text, a number or a truth value is found by itself or as text, also in a list."""
    assert has_metadata(KEPT, wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        {"mood": "Happy"},
        {"mood": "happy", "year": 2023},
        {"done": 1},
        {"none": "None"},
        {"none": ""},
        {"deep": "sad"},
        {"missing": ""},
        {"deep": 10**5000},
        {"people": "['Mila', 7]"},
    ],
)
def test_nothing_else_is_found(wanted: dict[str, str | float | bool]) -> None:
    """Another value, another kind, a value that is none, or one that is deeper is not found."""
    assert not has_metadata(KEPT, wanted)


def test_what_is_listed_is_what_is_found() -> None:
    """A list for an index has every name with every value that a filter finds, and nothing else."""
    found = listed(KEPT)
    assert found is not None
    assert sorted(found) == [
        ("done", "true"),
        ("half", "0.5"),
        ("mood", "happy"),
        ("people", "7"),
        ("people", "Mila"),
        ("whole", "3"),
        ("year", "2024"),
    ]
    assert all(has_metadata(KEPT, {name: text}) for name, text in found)


@pytest.mark.parametrize(
    "metadata",
    [{"a": "x" * 128}, {"x" * 128: 1}, {"a": ["b", "x" * 200]}, {"a": list(range(65))}],
)
def test_too_much_is_not_listed(metadata: dict[str, object]) -> None:
    """Metadata of any length is refused whole, so that an index never has a part of it."""
    assert listed(metadata) is None


def test_as_much_as_is_listed_is_listed_whole() -> None:
    """At the bound nothing is lost: 64 values, and 128 characters with the name."""
    values = [*range(63), "x" * 127]
    found = listed({"a": values})
    assert found == frozenset(("a", str(value)) for value in values)
