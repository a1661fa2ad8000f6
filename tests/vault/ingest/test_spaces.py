"""Folders of one name, told apart by what they hold."""

import pytest

from coffret_vault.ingest import Draft, ImportSkipped
from coffret_vault.ingest.draft import EMPTY
from coffret_vault.ingest.spaces import (
    Likeness,
    free_namespace,
    gone,
    likeness,
    namespaces,
    renamed,
)


def draft(key: str, content: str = "text") -> Draft:
    """A piece of a folder."""
    return Draft(key=f"markdown:{key}", source=f"markdown:{key}", content=content)


def known(*drafts: Draft) -> dict[str, str]:
    """What a vault holds after these were imported."""
    return {item.key: item.digest for item in drafts}


def test_only_the_name_itself_and_numbered_ones_are_its_namespaces() -> None:
    """Neither a longer name nor another kind of number nor another importer is taken for it."""
    keys = [
        *("markdown:n/a", "markdown:n (2)/a", "markdown:n (12)/b/c#d", "markdown:n (2)/b"),
        *("markdown:nn/a", "markdown:n (0)/a", "markdown:n (02)/a", "markdown:n (x)/a"),
        *("markdown:n", "markdown:n (3)", "mem0:n/a", "markdown:n (4) /a", "xmarkdown:n/a"),
    ]
    assert namespaces("n", keys) == {"n", "n (2)", "n (12)"}
    assert namespaces("n (2)", keys) == {"n (2)"}


@pytest.mark.parametrize(("there", "same", "is_it"), [(1, 1, True), (2, 1, True), (3, 1, False)])
def test_half_of_what_is_there_has_to_be_the_same(there: int, same: int, is_it: bool) -> None:  # noqa: FBT001 - a case
    """With half or more unchanged it is the same folder, with less it is not."""
    before = [draft(f"n/{number}") for number in range(there)]
    now = [draft(f"n/{number}", "text" if number < same else "new") for number in range(there)]
    found = likeness([*now, draft("n/unseen")], "n", known(*before))
    assert found == Likeness("n", there, same)
    assert found.is_it == is_it


def test_a_folder_is_most_like_the_one_it_shares_most_with() -> None:
    """Of several folders of the name that were imported, the nearest one is meant."""
    before = known(draft("n/a"), draft("n/b"), draft("n (2)/a", "x"), draft("n (2)/b", "y"))
    now = [draft("n/a", "x"), draft("n/b", "y")]
    assert likeness(now, "n", before) == Likeness("n (2)", 2, 2)


def test_a_folder_with_nothing_of_the_kind_is_like_none() -> None:
    """Pieces under other keys make no likeness, and nothing is divided by nothing."""
    assert likeness([draft("n/z")], "n", known(draft("n/a"))) is None
    assert likeness([], "n", known(draft("n/a"))) is None
    assert likeness([draft("n/a")], "n", {}) is None


def test_the_first_free_namespace_is_taken() -> None:
    """The name itself, then numbers from two on, and gaps are filled."""
    assert free_namespace("n", []) == "n"
    assert free_namespace("n", ["n"]) == "n (2)"
    assert free_namespace("n", ["n", "n (2)", "n (4)"]) == "n (3)"


def test_renaming_changes_keys_and_sources_and_nothing_else() -> None:
    """Contents and digests stay, and so does what was skipped."""
    skipped = ImportSkipped("a", "empty")
    before = draft("n/a#n/b")
    (after, still) = renamed([before, skipped], "n", "n (2)")
    assert isinstance(after, Draft)
    assert (after.key, after.source) == ("markdown:n (2)/a#n/b", "markdown:n (2)/a#n/b")
    assert after.digest == before.digest
    assert still is skipped
    assert list(renamed([before], "n", "n")) == [before]


BEFORE = {
    "markdown:n/a.md": "markdown:n/a.md",
    "markdown:n/b.md#one": "markdown:n/b.md",
    "markdown:n/b.md#two": "markdown:n/b.md",
    "markdown:n/sub/c.md": "markdown:n/sub/c.md",
    "markdown:n (2)/d.md": "markdown:n (2)/d.md",
    "markdown:n/e.md": "what its owner wrote there",
    "mem0:n/f": "mem0:n/f",
}


def test_what_a_folder_has_no_more_is_told() -> None:
    """A file that is not there or is empty, and a heading; nothing of other folders or sources."""
    piece = Draft(key="markdown:n/b.md#one", source="markdown:n/b.md", content="text")
    found = gone([piece, ImportSkipped("a.md", EMPTY)], "n", BEFORE, whole=True)
    assert found == {"markdown:n/a.md", "markdown:n/b.md#two", "markdown:n/sub/c.md"}


def test_of_a_file_by_itself_only_its_own_pieces_are_gone() -> None:
    """Where some files of a folder were read, what is in the others is not missed."""
    piece = Draft(key="markdown:n/b.md#two", source="markdown:n/b.md", content="text")
    assert gone([piece], "n", BEFORE, whole=False) == {"markdown:n/b.md#one"}


@pytest.mark.parametrize("unread", ["a.md", "sub", "sub/c.md", "b.md"])
def test_what_could_not_be_read_is_not_gone(unread: str) -> None:
    """A file that is too large or not to be read, or is in such a folder, may still be there."""
    found = gone([ImportSkipped(unread, "too large")], "n", BEFORE, whole=True)
    assert {key for key in BEFORE if key.startswith(f"markdown:n/{unread}")}.isdisjoint(found)
    assert len(found) in {2, 3}
