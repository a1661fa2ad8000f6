"""Every part of a memory is embedded, with date and title, within the model's reach."""

from pathlib import Path

import pytest

import coffret_vault.search
from coffret_vault.search import Document
from coffret_vault.search.passages import passages, whole_text
from coffret_vault.search.wordpiece import WordPiece
from search_reference import memory

KINDS = {
    "english": "The quick brown fox {n}, unsurprisingly, jumps over dogs; extraordinary! ",
    "german": "Die Donaudampfschifffahrtsgesellschaft übernimmt {n} Fährgäste. ",
    "chinese": "我们在里斯本坐了{n}电车然后去看了海边的灯塔",
    "greek": "Περπατήσαμε δίπλα στο ποτάμι {n} και μιλήσαμε. ",
    "code": "def f(x_{n}):\n    return ['a', x_1 ** 2, \"b\", 1, 2, 3]  # http://a.b/c?d=e\n",
    "one word": "A1b2C3d4{n}",
    "emoji": "🎉👩\u200d👩\u200d👧{n} ",
}
TEXTS = {kind: "".join(line.format(n=n) for n in range(400)) for kind, line in KINDS.items()}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_passage_fits_the_default_model(kind: str) -> None:
    """No passage is longer than what the default model reads, whatever the script."""
    vocabulary = Path(coffret_vault.search.__file__).parent / "data" / "bert-uncased-vocabulary.txt"
    wordpiece = WordPiece(vocabulary.read_text("utf-8").rstrip("\n").split("\n"))
    lengths = [
        len(wordpiece.encode(text, limit=10_000))
        for text in passages(memory(1, TEXTS[kind], title="A title"))
    ]
    assert len(lengths) > 1
    assert max(lengths) <= 256


@pytest.mark.parametrize("kind", TEXTS)
def test_passages_cover_the_whole_and_overlap(kind: str) -> None:
    """Each passage goes on inside the one before, from the first character to the last."""
    content = TEXTS[kind].strip()
    reached = 0
    for passage in passages(memory(1, content)):
        body = passage.partition("\n")[2]
        start = content.find(body, max(0, reached - len(body)))
        assert 0 <= start <= reached
        reached = start + len(body)
    assert reached == len(content)


def test_a_short_memory_is_one_passage_with_everything() -> None:
    """Date in words, title, summary, content and tags are all in it."""
    one = Document(
        id=bytes(16),
        version=1,
        created=1_683_504_000_000_000,
        updated=0,
        title="Lisbon",
        summary="A short stay.",
        content="We took tram 28.",
        tags=("travel", "portugal"),
    )
    expected = "8 May 2023: Lisbon\nA short stay.\nWe took tram 28.\ntravel, portugal"
    assert passages(one) == [expected]
    assert whole_text(one) == expected


def test_each_passage_of_a_long_memory_has_date_and_title() -> None:
    """A passage out of the middle still tells when it was and what it is about."""
    long = memory(3, TEXTS["english"], title="Animals")
    assert all(text.startswith("4 January 1970: Animals\n") for text in passages(long))


def test_a_huge_memory_has_a_bounded_number_of_passages() -> None:
    """Ten megabytes are cut into no more passages than can be embedded in seconds."""
    assert len(passages(memory(1, "word " * 2_000_000))) == 256


@pytest.mark.parametrize("created", [-(10**18), 10**18])
def test_a_time_beyond_the_calendar_is_left_out(created: int) -> None:
    """A memory with a nonsensical time is indexed all the same."""
    assert passages(memory(1, "text", created=created)) == ["text"]


def test_an_empty_memory_has_a_passage() -> None:
    """A memory without any text still has its date."""
    assert passages(memory(1, created=0)) == ["1 January 1970"]
