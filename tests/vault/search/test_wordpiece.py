"""The tokenizer yields the piece numbers that the model was trained on."""

from pathlib import Path

import pytest

import coffret_vault.search
from coffret_vault.search.wordpiece import WordPiece

DATA = Path(coffret_vault.search.__file__).parent / "data" / "bert-uncased-vocabulary.txt"

# Produced with the reference implementation (PyPI tokenizers 0.23.3, the model's own settings).
GOLDEN = [
    ("", [101, 102]),
    ("   \t\n", [101, 102]),
    (
        "Met Ana in Lisbon on 8 May 2023.",
        [101, 2777, 9617, 1999, 11929, 2006, 1022, 2089, 16798, 2509, 1012, 102],
    ),
    (
        "don't\u2014stop, it's 3.14%!",
        [
            101,
            2123,
            1005,
            1056,
            1517,
            2644,
            1010,
            2009,
            1005,
            1055,
            1017,
            1012,
            2403,
            1003,
            999,
            102,
        ],
    ),
    ("na\xefve caf\xe9 r\xe9sum\xe9 e\u0301", [101, 15743, 7668, 13746, 1041, 102]),
    (
        "ΟΔΟΣ Σίσυφος",
        [101, 1169, 29722, 29730, 29733, 1173, 18199, 29733, 29735, 29736, 15297, 102],
    ),
    ("İstanbul ẞ ß Ǆ", [101, 9960, 1096, 1096, 100, 102]),
    ("你好world世界", [101, 100, 100, 2088, 1745, 100, 102]),
    (
        "ひらがな カタカナ 한국어",
        [
            101,
            1673,
            30211,
            30177,
            30193,
            1700,
            30235,
            30226,
            30241,
            1469,
            30006,
            30021,
            29991,
            30014,
            30020,
            29999,
            30008,
            102,
        ],
    ),
    ("\ufb01ne \u2460 x\xb2", [101, 1984, 2638, 100, 1060, 10701, 102]),
    ("\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family", [101, 100, 2155, 102]),
    ("\u200b\ufeffzero\x00width", [101, 5717, 9148, 11927, 2232, 102]),
    (
        "a" * 100,
        [
            101,
            13360,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            11057,
            2050,
            102,
        ],
    ),
    ("a" * 101, [101, 100, 102]),
    (
        "https://example.org/a_b?c=d&e=f",
        [
            101,
            16770,
            1024,
            1013,
            1013,
            2742,
            1012,
            8917,
            1013,
            1037,
            1035,
            1038,
            1029,
            1039,
            1027,
            1040,
            1004,
            1041,
            1027,
            1042,
            102,
        ],
    ),
    (
        "unbelievably antidisestablishmentarianism",
        [101, 4895, 8671, 2666, 3567, 6321, 3424, 10521, 4355, 7875, 13602, 3672, 12199, 2964, 102],
    ),
    ("Привет, мир", [101, 1194, 16856, 10325, 25529, 15290, 22919, 1010, 1191, 10325, 16856, 102]),
    (
        "مرحبا بالعالم",
        [
            101,
            1295,
            17149,
            29820,
            29816,
            25573,
            1271,
            25573,
            23673,
            29830,
            25573,
            23673,
            22192,
            102,
        ],
    ),
    ("no\xa0break\u3000wide", [101, 2053, 3338, 2898, 102]),
]


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    """The tokenizer with the shipped vocabulary."""
    return WordPiece(DATA.read_text("utf-8").rstrip("\n").split("\n"))


@pytest.mark.parametrize(("text", "numbers"), GOLDEN)
def test_matches_the_reference(wordpiece: WordPiece, text: str, numbers: list[int]) -> None:
    """Every kind of text gives the reference's numbers, first time and remembered."""
    assert wordpiece.encode(text, limit=512) == numbers
    assert wordpiece.encode(text, limit=512) == numbers


def test_control_pieces_cannot_be_written(wordpiece: WordPiece) -> None:
    """A text that spells a control piece gets the pieces of its characters."""
    numbers = wordpiece.encode("[SEP] [CLS]", limit=64)
    assert numbers[1:-1].count(102) == 0
    assert numbers[1:-1].count(101) == 0


@pytest.mark.parametrize("limit", [2, 3, 7, 256])
def test_a_long_text_is_cut_at_the_limit(wordpiece: WordPiece, limit: int) -> None:
    """The limit counts both marks, and the end mark survives the cut."""
    numbers = wordpiece.encode("embedding " * 300, limit=limit)
    assert len(numbers) == limit
    assert (numbers[0], numbers[-1]) == (101, 102)


def test_a_full_memory_of_words_changes_nothing(
    wordpiece: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting remembered words when there are too many leaves the numbers as they were."""
    text = "an unforgettable walk through Lisbon's tilework"
    before = wordpiece.encode(text, limit=64)
    monkeypatch.setattr("coffret_vault.search.wordpiece._CACHED_WORDS", 2)
    assert wordpiece.encode(text, limit=64) == before
