"""Rows that have a thing: found one by one and together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coffret_vault.search.postings import Postings

ROWS = st.lists(st.integers(0, 60), max_size=30)


@given(ROWS.map(lambda rows: sorted(set(rows))), ROWS)
def test_places_are_those_of_the_rows_that_are_here(own: list[int], asked: list[int]) -> None:
    """Whatever is here and whatever is asked for, in any order and twice."""
    postings = Postings()
    for row in own:
        postings.append(row)
    expected = [place for place, row in enumerate(asked) if row in postings]
    assert postings.places(np.array(asked, np.uint32)) == expected
