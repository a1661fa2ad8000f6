"""What calls are given is looked at before anything is done with it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from coffret.arguments import search_of
from coffret_vault.errors import InputError


@pytest.mark.parametrize(
    "wanted",
    [
        {"mode": "foo"},
        {"importance": 7},
        {"importance": -0.1},
        {"importance": math.nan},
        {"importance": "high"},
        {"since": "2024-01-01"},
        {"until": 2024},
        {"limit": -1},
        {"limit": "ten"},
        {"labels": {"user": 1}},
        {"types": [None]},
        {"min_similarity": 1.01},
        {"min_similarity": -2},
        {"min_similarity": math.nan},
        {"min_similarity": "0.5"},
        {"min_similarity": 0.5, "mode": "words"},
        {"tags": 5},
        {"tags": [["a"]]},
    ],
    ids=str,
)
def test_a_search_that_says_nothing_sensible_is_refused(wanted: dict[str, Any]) -> None:
    """Another kind, or out of bounds: nobody takes no hits for an answer to it."""
    with pytest.raises(InputError):
        search_of(wanted)


def test_a_search_takes_what_its_options_say() -> None:
    """Any collection of texts, moments with a zone and without, and each mode."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    found = search_of({"tags": ["a"], "any_tags": {"b"}, "since": now, "labels": {"user": "u"}})
    assert (found.tags, found.any_tags) == (frozenset("a"), frozenset("b"))
    assert found.since == now
    assert search_of({"until": now.replace(tzinfo=None), "mode": "words"}).mode == "words"
    assert search_of({"importance": 0, "limit": 0}).importance == 0
    assert search_of({"min_similarity": -1, "mode": "semantic"}).min_similarity == -1
    assert search_of({"min_similarity": None, "mode": "words"}).min_similarity is None


@pytest.mark.parametrize("name", ["tag", "threshold", "min_similarty"])
def test_a_search_knows_what_it_is_asked_for(name: str) -> None:
    """What no search knows is refused: passed over, it would narrow nothing."""
    with pytest.raises(TypeError, match=f"{name}.*; it takes .*tags"):
        search_of({name: "x"})
