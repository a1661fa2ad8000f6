"""What holds for every text and every memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from coffret_vault.ingest import Draft, ExportedMemory, read_export, read_folder, write_export
from coffret_vault.ingest.draft import MAX_TIME
from coffret_vault.ingest.front_matter import split_front_matter
from coffret_vault.ingest.names import clean_tags, clean_title
from coffret_vault.ingest.sections import split_sections
from coffret_vault.ingest.times import parse_time

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
UNIT = st.none() | st.floats(0, 1)
TIME = st.none() | st.integers(0, MAX_TIME)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
MEMORY = st.builds(
    ExportedMemory,
    key=TEXT,
    source=TEXT,
    content=TEXT.filter(lambda text: text.strip() != ""),
    title=TEXT.map(clean_title),
    summary=TEXT,
    type=TEXT,
    tags=st.lists(TEXT, max_size=4).map(clean_tags),
    importance=UNIT,
    confidence=UNIT,
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    metadata=st.dictionaries(TEXT, JSON, max_size=3),
    created=TIME,
    updated=TIME,
    id=st.none() | TEXT,
    version=st.none() | st.integers(1, 2**31),
    status=st.none() | st.sampled_from(["pending_review", "approved", "rejected"]),
    author=st.none() | TEXT,
)
LINE = st.one_of(
    st.text(alphabet="ab #*->`|=~.\t", max_size=30),
    st.sampled_from(["# One", "## Two", "### Three", "## 2024-05-02", "## 2024-05-03", "# One"]),
    st.sampled_from(["", "", "```", "- item", "    code", "Setext\n===", "---", "[a]: /b"]),
    st.text(alphabet="xyz ", min_size=200, max_size=900),
    TEXT,
)
DOCUMENT = st.lists(LINE, max_size=30).map("\n".join)


def squeezed(text: str) -> str:
    """``text`` without white space."""
    return "".join(text.split())


@given(st.lists(MEMORY, max_size=4))
@settings(max_examples=60, deadline=None)
def test_export_round_trip(memories: list[ExportedMemory]) -> None:
    """Whatever is exported is imported again, field by field."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.jsonl"
        path.write_bytes(b"".join(write_export(memories)))
        assert list(read_export(path)) == memories


@given(DOCUMENT, st.integers(20, 800))
@settings(max_examples=150, deadline=None)
@example("# One\n\n# One\n\ntext\n\n# One", 20)
def test_splitting_never_loses_text(text: str, chars: int) -> None:
    """Every character that is not white space is in exactly one section, in order."""
    sections = split_sections(text.replace("\r", "\n"), chars)
    assert squeezed("".join(section.text for section in sections)) == squeezed(text)


@given(DOCUMENT, st.integers(20, 800))
@settings(max_examples=100, deadline=None)
def test_sections_are_bounded_and_named_apart(text: str, chars: int) -> None:
    """No section is longer than the hard limit allows, and no two share an anchor."""
    sections = split_sections(text.replace("\r", "\n"), chars)
    assert len({section.anchor for section in sections}) == len(sections)
    headings = sum(len(line) + 1 for line in text.splitlines() if line.lstrip().startswith("#"))
    assert all(len(section.text) <= 4 * chars + chars + headings for section in sections)


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,8}\.md\Z"), DOCUMENT, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_importing_twice_gives_the_same_keys_and_digests(files: dict[str, str]) -> None:
    """A second import finds every memory of the first, and no key stands for two."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
        first = [item for item in read_folder(Path(folder)) if isinstance(item, Draft)]
        second = [item for item in read_folder(Path(folder)) if isinstance(item, Draft)]
    assert [(draft.key, draft.digest) for draft in first] == [
        (draft.key, draft.digest) for draft in second
    ]
    assert len({draft.key for draft in first}) == len(first)
    assert all(draft.content.strip() for draft in first)


@given(TEXT, DOCUMENT)
@settings(max_examples=150, deadline=None)
def test_front_matter_never_fails(block: str, body: str) -> None:
    """Any block between the marks is read or left in the text."""
    fields, rest = split_front_matter(f"---\n{block}\n---\n{body}")
    assert rest.endswith(body)
    assert fields == {} or all(isinstance(name, str) for name in fields)


@given(st.text())
def test_titles_and_tags_are_clean_whatever_the_text(text: str) -> None:
    """Cleaning ends with printable text and changes nothing when repeated."""
    title = clean_title(text)
    assert clean_title(title) == title
    assert title.encode("utf-8").decode("utf-8") == title
    assert not set(title) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
    )
    assert all(tag == tag.strip() != "" for tag in clean_tags([text]))


@given(JSON)
def test_times_are_in_range_or_none(value: object) -> None:
    """No input makes a time outside 1970 to 9999, or an error."""
    time = parse_time(value)
    assert time is None or 0 <= time <= MAX_TIME
