"""Terms: what counts as the same word, and what is no word worth finding."""

from unittest.mock import patch

import pytest
import snowballstemmer  # type: ignore[import-untyped]

from coffret_vault.search.words import _LONGEST_STEMMED, Analyzer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("travelled", "travelling"),
        ("Memories", "memory"),
        ("café", "cafe"),
        ("CAFE\u0301", "café"),
        ("Straße", "STRASSE"),
        ("Anna's", "Anna"),
        ("Anna\u2019s", "anna's"),
        ("\uff46\uff55\uff4c\uff4c", "full"),
        ("ΟΔΟΣ", "οδος"),
        ("Привет", "привет"),
    ],
)
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    """Inflection, case, accents and compatibility forms do not keep words apart."""
    analyzer = Analyzer()
    assert analyzer.terms(one) == analyzer.terms(other)
    assert analyzer.terms(one)


@pytest.mark.parametrize(("one", "other"), [("й", "и"), ("Bär", "Boot"), ("2023", "2024")])
def test_different_words_stay_different(one: str, other: str) -> None:
    """Marks that make another letter, and other words, keep words apart."""
    analyzer = Analyzer()
    assert analyzer.terms(one) != analyzer.terms(other)


@pytest.mark.parametrize("part", ["東京", "京都", "旅行", "カメラ", "ラ"])
def test_a_part_of_an_unspaced_text_is_found(part: str) -> None:
    """In scripts without spaces every pair of neighbours is a term, and so is a lone character."""
    analyzer = Analyzer()
    terms = analyzer.terms("東京都旅行 カメラ ラ")
    assert set(analyzer.question(part)) & set(terms)


def test_latin_letters_inside_an_unspaced_text_are_words() -> None:
    """A foreign word in such a text is its own term."""
    assert "tokyo" in Analyzer().terms("昨日Tokyoへ行った")


def test_question_words_are_not_looked_for() -> None:
    """Of a question only what it is about remains, each term with the word it came from."""
    question = Analyzer().question("Where did I put the travelling trunks in May?")
    assert question == {"put": "put", "travel": "travelling", "trunk": "trunks", "may": "may"}


def test_a_question_of_stop_words_is_taken_at_its_word() -> None:
    """When nothing else is there, stop words are what is asked for."""
    assert set(Analyzer().question("Who are you?")) == {"who", "are", "you"}
    assert Analyzer().question("?!") == {}


def test_a_full_memory_of_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting remembered stems when there are too many leaves the terms as they were."""
    text = "walking talks of walkers who talked and walked"
    before = Analyzer().terms(text)
    monkeypatch.setattr("coffret_vault.search.words._CACHED_WORDS", 1)
    assert Analyzer().terms(text) == before


@pytest.mark.attack(61)
@pytest.mark.parametrize("long", ["y" * 20_000, "y" * 20_000 + "'s", "y\u0301" * 20_000])
def test_a_word_without_end_is_not_stemmed(long: str) -> None:
    """The stemmer, which takes the square of a word's length, never gets a long one."""
    analyzer = Analyzer()
    stem, met = analyzer._stemmer.stemWord, []

    def measured(word: str) -> str:
        met.append(len(word))
        return str(stem(word[:_LONGEST_STEMMED]))

    with patch.object(analyzer._stemmer, "stemWord", measured):
        terms = analyzer.terms(f"{long} boats")
    assert set(terms) == {"boat", "y" * 64}
    assert max(met) <= _LONGEST_STEMMED
    assert sum(map(len, analyzer._seen)) < 1_000


@pytest.mark.parametrize("end", ["", "s", "'s", "ational", "fulnesses", "ingly", "ements", "y"])
@pytest.mark.parametrize("size", [60, 64, 70, 120, 127, 128, 129, 200])
def test_a_long_word_s_term_is_as_if_it_were_stemmed(size: int, end: str) -> None:
    """Where the stemmer is left out, its stem would have begun just so: no index is made anew."""
    word = ("abbey" * 50)[: size - len(end)] + end
    stemmed = snowballstemmer.stemmer("english").stemWord(word.removesuffix("'s"))[:64]
    assert set(Analyzer().terms(word)) == {stemmed}
