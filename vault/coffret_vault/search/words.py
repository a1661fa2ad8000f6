"""From text to the terms of the lexical index.

English words are stemmed (Snowball, Porter 2); other words stay whole; scripts written without
spaces become overlapping pairs of characters, so that any part of a sentence can be found.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

import snowballstemmer  # type: ignore[import-untyped]

from coffret_vault.formats.marks import bound_marks
from coffret_vault.search.stopwords import STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

# Raised when the same text would give other terms: a snapshot made before is then rebuilt.
ANALYSIS: Final = 1

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
# Han, kana, Thai, Lao, Myanmar, Khmer and the ideographs beyond the basic plane.
_UNSPACED: Final = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003134f]+"
)
_LONGEST_TERM: Final = 64
# The stemmer takes the square of a word's length. It changes a word's end only, by far less than
# what is between these two: of a longer word the term is as if it were stemmed.
_LONGEST_STEMMED: Final = 128
_CACHED_WORDS: Final = 50_000


class Analyzer:
    """Finds the terms of texts. Remembers the stems of words it has met, which are plaintext."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._stemmer = snowballstemmer.stemmer("english")
        self._seen: dict[str, str] = {}

    def terms(self, text: str) -> Counter[str]:
        """How often each term occurs in ``text``; stop words left out."""
        return Counter(term for _, term in self._pairs(text))

    def question(self, text: str) -> dict[str, str]:
        """The terms of a question, each with the word it came from.

        A question of nothing but stop words ("who are you") is taken at its word.
        """
        pairs = list(self._pairs(text)) or list(self._pairs(text, keep_all=True))
        first_word: dict[str, str] = {}
        for word, term in pairs:
            first_word.setdefault(term, word)
        return first_word

    def _pairs(self, text: str, *, keep_all: bool = False) -> Iterator[tuple[str, str]]:
        normal = unicodedata.normalize("NFKC", bound_marks(text))
        for word in _WORD.findall(normal.casefold()):
            if word.isascii():
                term = self._english(word, keep_all=keep_all)
                if term:
                    yield word, term
            else:
                yield from self._other(word, keep_all=keep_all)

    def _english(self, word: str, *, keep_all: bool) -> str:
        """The stem of an ASCII word; empty for a stop word."""
        if len(word) > _LONGEST_STEMMED:
            return word[:_LONGEST_TERM]
        term = self._seen.get(word)
        if term is None:
            bare = word.removesuffix("'s")
            term = "" if bare in STOP_WORDS else self._stemmer.stemWord(bare)[:_LONGEST_TERM]
            if len(self._seen) >= _CACHED_WORDS:
                self._seen.clear()
            self._seen[word] = term
        return term or (word if keep_all else "")

    def _other(self, word: str, *, keep_all: bool) -> Iterator[tuple[str, str]]:
        """Terms of a word with characters beyond ASCII."""
        folded = _without_accents(word)
        if folded.isascii():
            term = self._english(folded, keep_all=keep_all)
            if term:
                yield word, term
            return
        spaced = _UNSPACED.sub(" ", word).split()
        yield from ((part, part[:_LONGEST_TERM]) for part in spaced)
        for run in _UNSPACED.findall(word):
            yield from ((pair, pair) for pair in _pairs_of_characters(run))


def _without_accents(word: str) -> str:
    """``word`` in plain Latin letters where accents are all that keeps it from being so.

    People write "cafe" and "café" for one thing. Marks of other scripts are part of the letter and
    stay; a typographic apostrophe becomes the plain one. A word holds no mark by itself.
    """
    bare = "".join(
        char
        for char in unicodedata.normalize("NFD", word.replace("\u2019", "'"))
        if not unicodedata.combining(char)
    )
    return bare if bare.isascii() else word


def _pairs_of_characters(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
