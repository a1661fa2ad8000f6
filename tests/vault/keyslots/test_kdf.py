"""Limits on passphrase derivation."""

from unittest import mock

import msgspec
import pytest

from coffret_vault.errors import WeakKdfError
from coffret_vault.formats.account import Kdf
from coffret_vault.keyslots import kdf as module
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS, PUBLISHED, KdfLimits, stretch

SALT = b"s" * 16
CHEAP = CHEAPEST_FOR_TESTS.choose(SALT)


@pytest.mark.parametrize("limits", [PUBLISHED, CHEAPEST_FOR_TESTS])
def test_what_limits_choose_they_accept(limits: KdfLimits) -> None:
    """The default parameters are within the limits."""
    chosen = limits.choose(SALT)
    assert limits.check(chosen) is chosen


def test_the_published_limits_are_those_of_the_specification() -> None:
    """64 MiB to 1 GiB, 3 to 10 passes, 1 to 4 lanes; default 64 MiB, 3, 4."""
    assert msgspec.structs.astuple(PUBLISHED) == (65_536, 1_048_576, 3, 10, 4, 65_536, 3, 4)


@pytest.mark.parametrize(
    "numbers",
    [
        (65_535, 3, 4),
        (1_048_577, 3, 4),
        (65_536, 2, 4),
        (65_536, 11, 4),
        (65_536, 3, 0),
        (65_536, 3, 5),
        (64, 1, 1),
        (2**40, 2**40, 2**40),
    ],
)
def test_nothing_is_derived_outside_the_limits(numbers: tuple[int, int, int]) -> None:
    """Too weak or too heavy is refused before Argon2 is called at all."""
    with mock.patch.object(module, "argon2id") as derive, pytest.raises(WeakKdfError):
        stretch("passphrase", Kdf(SALT, *numbers), PUBLISHED)
    derive.assert_not_called()


def test_a_passphrase_is_stretched_in_nfc() -> None:
    """The same passphrase typed on two keyboards is the same passphrase."""
    composed = stretch("caf\u00e9", CHEAP, CHEAPEST_FOR_TESTS)
    assert stretch("cafe\u0301", CHEAP, CHEAPEST_FOR_TESTS) == composed
    assert stretch("cafe", CHEAP, CHEAPEST_FOR_TESTS) != composed


def test_a_passphrase_may_hold_anything() -> None:
    """An empty passphrase and a lone surrogate are stretched like any other."""
    stretched = {stretch(text, CHEAP, CHEAPEST_FOR_TESTS) for text in ("", "\ud800", "\0", " ")}
    assert len(stretched) == 4


def test_every_parameter_counts() -> None:
    """Another salt, memory, passes or lanes gives another key."""
    changes = {"salt": b"t" * 16, "memory_kib": 128, "passes": 2, "lanes": 2}
    keys = {stretch("passphrase", CHEAP, CHEAPEST_FOR_TESTS)}
    for name, value in changes.items():
        changed = msgspec.structs.replace(CHEAP, **{name: value})
        keys.add(stretch("passphrase", changed, CHEAPEST_FOR_TESTS))
    assert len(keys) == 5
