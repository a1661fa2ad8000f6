"""The eight words as people type them."""

from __future__ import annotations

import hashlib

import pytest

from coffret_vault.errors import WordsError
from coffret_vault.grants.words import check_words, fingerprint

KEYS = hashlib.sha256(b"an identity's public keys").digest()
WORDS = fingerprint(KEYS)
HYPHENED = next(
    digest
    for digest in (hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(9_999))
    if "t-shirt" in fingerprint(digest)
)


@pytest.mark.parametrize(
    "typed",
    [
        WORDS,
        f"  {WORDS.upper()}\n",
        WORDS.replace(" ", "-"),
        WORDS.replace(" ", ", ") + ".",
        WORDS.replace(" ", ""),
        "\n".join(f"{number}. {word}" for number, word in enumerate(WORDS.split(), 1)),
        "".join(chr(ord(letter) + 0xFEE0) if letter.isalpha() else letter for letter in WORDS),
    ],
    ids=["as shown", "capitals", "hyphens", "commas", "run together", "numbered", "full width"],
)
def test_how_words_are_written_does_not_matter(typed: str) -> None:
    """Capitals, spaces, hyphens, commas, numbers and wide letters are all the same words."""
    check_words(typed, KEYS)


@pytest.mark.parametrize("shirt", ["t-shirt", "tshirt", "T SHIRT"])
def test_a_hyphen_inside_a_word_may_be_left_out(shirt: str) -> None:
    """The few words of the list that have a hyphen are the same without it."""
    check_words(fingerprint(HYPHENED).replace("t-shirt", shirt), HYPHENED)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ".join(WORDS.split()[:7]),
        f"{WORDS} abacus",
        " ".join(reversed(WORDS.split())),
        " ".join(word[:4] for word in WORDS.split()),
        " ".join(["abacus", *WORDS.split()[1:]]),
        " ".join([*WORDS.split()[:7], "abacus"]),
        fingerprint(bytes(32)),
        WORDS[:-1],
        WORDS.replace("a", "\u0430", 1),
    ],
)
def test_any_other_words_are_refused(typed: str) -> None:
    """Fewer, more, another order, beginnings, one wrong word, a foreign letter: all refused."""
    with pytest.raises(WordsError) as raised:
        check_words(typed, KEYS)
    told = f"{raised.value} {raised.value.hint}".lower().split()
    assert not [word for word in WORDS.split() if word in told]


def test_a_word_that_is_in_no_list_is_named_by_its_place() -> None:
    """A slip of the finger is told from other words, without telling the right one."""
    words = WORDS.split()
    words[4] += "x"
    with pytest.raises(WordsError, match="word 5 "):
        check_words(" ".join(words), KEYS)
