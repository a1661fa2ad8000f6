"""Which entries of a log tell of the owner's cards: the account's, then the changes in turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from coffret.flows.lineage import _named
from coffret_vault.errors import TrustError
from harness.logs import ACCOUNT, digest, entry

# A device that reads its log from the beginning.
STATE: Any = SimpleNamespace(
    account_id=ACCOUNT, store=SimpleNamespace(known=SimpleNamespace(aside=True))
)


def _told(index: int, kind: str, version: int, subject: bytes = ACCOUNT) -> tuple[int, Any]:
    return index, entry(kind, version, index, subject=subject)


BEGUN, SECOND, THIRD = _told(0, "account", 1), _told(4, "rotate", 2), _told(9, "rotate", 3)
OTHER = b"o" * 16
WRONG = {
    "no account": [SECOND, THIRD],
    "the account not first": [_told(1, "account", 1), SECOND],
    "two accounts": [BEGUN, _told(1, "account", 1), SECOND],
    "a change left out": [BEGUN, THIRD],
    "a change twice": [BEGUN, SECOND, _told(5, "rotate", 2)],
    "out of turn": [BEGUN, _told(4, "rotate", 3), _told(9, "rotate", 2)],
    "another account": [_told(0, "account", 1, OTHER), SECOND],
    "a change of another account": [BEGUN, _told(4, "rotate", 2, OTHER)],
}


def test_the_entries_are_taken_in_turn() -> None:
    """The first card's digest, and each change with its place."""
    assert _named(STATE, [BEGUN]) == (digest(0), [])
    assert _named(STATE, [BEGUN, SECOND, THIRD]) == (digest(0), [SECOND, THIRD])


@pytest.mark.parametrize("name", WRONG)
def test_entries_of_another_account_or_out_of_turn_are_refused(name: str) -> None:
    """Nothing is left out, put in, exchanged or of another account."""
    with pytest.raises(TrustError, match="does not begin with this account"):
        _named(STATE, WRONG[name])
