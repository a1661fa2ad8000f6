"""Fingerprints as eight words, for people to compare. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from coffret_vault.errors import CoffretError

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
