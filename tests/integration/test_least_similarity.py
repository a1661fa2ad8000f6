"""Nothing is found where nothing fits: owners and apps ask for it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret.errors import InputError

if TYPE_CHECKING:
    from coffret import Access, Vault
    from harness.world import World


def _both(either: World) -> tuple[Vault, Access]:
    owner, app = either.owner(), either.app()
    owner.vault.remember("sailing in the bay")
    owner.vault.remember("baking bread with rye")
    return owner.vault, either.granted(owner, app)[1]


def test_owners_and_apps_leave_out_what_does_not_fit(either: World) -> None:
    """What neither is similar nor has every word is left out; what has one of both stays."""
    for place in _both(either):
        assert len(place.search("sailing")) == 2
        (hit,) = place.search("sailing the bay", min_similarity=0.5)
        assert hit.memory.content == "sailing in the bay"
        assert 0.5 <= (hit.similarity or 0) <= 1
        assert hit.coverage == 1
        (hit,) = place.search("sailing", min_similarity=1)
        assert (hit.similarity or 0) < 1
        assert place.search("sailing an accordion", min_similarity=1) == []
        assert place.search("sailing", min_similarity=1, mode="semantic") == []


def test_owners_and_apps_are_told_what_cannot_be_asked(either: World) -> None:
    """A bound that no cosine has, one of words alone, and a name that no search has."""
    for place in _both(either):
        with pytest.raises(InputError):
            place.search("x", min_similarity=2)
        with pytest.raises(InputError):
            place.search("x", min_similarity=0.5, mode="words")
        with pytest.raises(TypeError):
            place.search("x", threshold=0.5)  # type: ignore[call-arg]
