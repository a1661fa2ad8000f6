"""Rows that have a thing: found one by one and together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coffret_vault.search.postings import PostingLists, Postings

ROWS = st.lists(st.integers(0, 60), max_size=30)


@given(ROWS.map(lambda rows: sorted(set(rows))), ROWS)
def test_places_are_those_of_the_rows_that_are_here(own: list[int], asked: list[int]) -> None:
    """Whatever is here and whatever is asked for, in any order and twice."""
    postings = Postings()
    for row in own:
        postings.append(row)
    expected = [place for place, row in enumerate(asked) if row in postings]
    assert postings.places(np.array(asked, np.uint32)) == expected


@given(st.lists(ROWS.map(lambda rows: sorted(set(rows))), max_size=8), st.data())
def test_lists_one_behind_the_other_are_told_apart(
    own: list[list[int]], data: st.DataObject
) -> None:
    """Each list of a snapshot has its own rows, in whatever order it is asked for and changed."""
    rows = np.array([row for rows in own for row in rows], np.uint32)
    ends = np.cumsum([len(rows) for rows in own], dtype=np.int64)
    counts = np.ones(len(rows), np.uint16)
    lists = PostingLists(rows.data.cast("B"), counts.data.cast("B"), tuple(ends.tolist()))
    lists.append()
    for number in data.draw(st.permutations(range(len(own) + 1))):
        lists[number].append(61)
    assert [one.rows.tolist() for one in lists] == [[*rows, 61] for rows in [*own, []]]
