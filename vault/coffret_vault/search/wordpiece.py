"""WordPiece: from text to the piece numbers that BERT-like models were trained on.

The algorithm is that of BERT's uncased tokenizer (Devlin et al., 2018; greedy longest match first
as in Wu et al., 2016). Text is only ever text here: a memory that contains ``[SEP]`` yields the
pieces of those five characters, never the control piece of that name.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from coffret_vault.formats.marks import bound_marks

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_WORD: Final = 100
_CACHED_WORDS: Final = 50_000
_ASCII_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# The blocks that BERT sets apart as one word a character: CJK ideographs, not kana or Hangul.
_IDEOGRAPHS: Final = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class _Cleaning(dict[int, str]):
    """Drops control characters, levels white space, sets ideographs apart."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        if char in "\t\n\r" or unicodedata.category(char) == "Zs":
            result = " "
        elif point in (0, 0xFFFD) or unicodedata.category(char) in ("Cc", "Cf", "Co"):
            result = ""
        elif any(low <= point <= high for low, high in _IDEOGRAPHS):
            result = f" {char} "
        else:
            result = char
        self[point] = result
        return result


class _Folding(dict[int, str]):
    """Drops accents (after decomposition), lowers case, sets punctuation apart."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        category = unicodedata.category(char)
        if category == "Mn":
            result = ""
        elif char in _ASCII_PUNCTUATION or category.startswith("P"):
            result = f" {char} "
        else:
            # A character at a time, so that a capital sigma becomes the same letter everywhere.
            result = char.lower()
        self[point] = result
        return result


class WordPiece:
    """A tokenizer over one vocabulary. Remembers the pieces of words it has met."""

    def __init__(self, pieces: Sequence[str]) -> None:
        """Take the vocabulary: ``pieces[i]`` is the text of piece ``i``, ``##`` marking a tail."""
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._unknown = (self._ids["[UNK]"],)
        self._start, self._end = self._ids["[CLS]"], self._ids["[SEP]"]
        self._seen: dict[str, tuple[int, ...]] = {}
        self._cleaning, self._folding = _Cleaning(), _Folding()

    def encode(self, text: str, *, limit: int) -> list[int]:
        """The piece numbers of ``text`` between start and end marks, at most ``limit`` in all."""
        numbers = [self._start]
        for word in self._words(text):
            numbers.extend(self._seen.get(word) or self._pieces(word))
            if len(numbers) >= limit:
                break
        del numbers[limit - 1 :]
        numbers.append(self._end)
        return numbers

    def _words(self, text: str) -> list[str]:
        text = text.translate(self._cleaning)
        if not text.isascii():
            text = unicodedata.normalize("NFD", bound_marks(text))
        return text.translate(self._folding).split()

    def _pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > _LONGEST_WORD:
            return self._unknown
        pieces = self._longest_match_first(word)
        if len(self._seen) >= _CACHED_WORDS:
            self._seen.clear()
        self._seen[word] = pieces
        return pieces

    def _longest_match_first(self, word: str) -> tuple[int, ...]:
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return self._unknown
            found.append(number)
            start = end
        return tuple(found)
