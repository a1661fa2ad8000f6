"""What a filter by metadata finds."""

from __future__ import annotations

import pytest

from coffret_vault.records.metadata import has_metadata

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
