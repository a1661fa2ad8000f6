"""Fingerprints as eight words, for people to compare. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache
from importlib.resources import files

from coffret_vault.errors import CoffretError, WordsError

_WORDS = 7_776
_COUNT = 8
_SHA256 = "addd35536511597a02fa0a9ff1e5284677b8883b83e986e43f15a3db996b903e"


class WordListError(CoffretError):
    """The installed word list is not the one that fingerprints are made of."""

    code = "word-list"


@cache
def _words() -> tuple[str, ...]:
    """The EFF's long list (CC BY 3.0 US), as the package ``dicewarepy`` carries it."""
    data = (files("dicewarepy") / "wordlists" / "eff_large_wordlist.txt").read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise WordListError
    return tuple(line.split()[1] for line in data.decode("ascii").splitlines())


def fingerprint(keys_hash: bytes) -> str:
    """Eight words (103 bits) for an identity's keys, separated by spaces.

    Raises:
        WordListError: the word list is another than the specification's.
    """
    number, words = int.from_bytes(keys_hash, "big"), []
    for _ in range(_COUNT):
        number, digit = divmod(number, _WORDS)
        words.append(_words()[digit])
    return " ".join(words)


def check_words(typed: str, keys_hash: bytes) -> None:
    """Go on only if these are the eight words of a pair of public keys.

    Capitals, spaces, hyphens, numbering and punctuation do not count, since people read words to
    each other; every letter does. No word of the list begins another (yoyo and yo-yo apart), so
    the letters alone tell which words they are.

    Raises:
        WordsError: they are others. It never says which of them, nor what they should be.
    """
    if _letters(typed) == _letters(fingerprint(keys_hash)):
        return
    mistyped = _unlisted(typed)
    if mistyped:
        message = f"word {mistyped} is not a word that Coffret uses: is it mistyped?"
        raise WordsError(message)
    raise WordsError(
        hint="Read them again where the app or person shows them. If they are what is shown "
        "there, somebody has put other keys in place of the right ones: stop."
    )


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(symbol for symbol in folded if symbol.isalpha())


def _unlisted(typed: str) -> int:
    """Which of eight words is in no list, counted from one; 0 if all are, or they are not eight."""
    words = [word for word in map(_letters, typed.split()) if word]
    listed = _listed()
    wrong = [number for number, word in enumerate(words, 1) if word not in listed]
    return wrong[0] if wrong and len(words) == _COUNT else 0


@cache
def _listed() -> frozenset[str]:
    return frozenset(map(_letters, _words()))
