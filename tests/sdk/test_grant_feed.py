"""How a grant moves with the log: each entry follows from the one before, about that very grant."""

from __future__ import annotations

import hashlib

import pytest

from coffret.flows.grantfeed import ACTIVE, PAUSED, REVOKED, move_grant
from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.store import GrantRow

ROW = GrantRow(b"grant", b"manifest", b"wrap", 1, b"request", ACTIVE, 3, 7)


def _entry(kind: str, version: int = 4, grant: bytes = ROW.grant) -> Entry:
    digest = hashlib.sha256(grant).digest()
    return Entry(b"a" * 16, kind, b"g" * 16, version, digest, OWNER, 1)


def test_a_grant_moves_by_the_entry_that_follows() -> None:
    """It is paused, goes on, and is revoked for good; where that was is kept."""
    paused = move_grant(ROW, _entry(kinds.PAUSE), 8)
    resumed = move_grant(paused, _entry(kinds.RESUME, 5), 9)
    revoked = move_grant(resumed, _entry(kinds.REVOKE, 6), 10)
    assert [row.state for row in (paused, resumed, revoked)] == [PAUSED, ACTIVE, REVOKED]
    assert (revoked.version, revoked.granted_at, revoked.revoked_at) == (6, 7, 10)
    with pytest.raises(TrustError, match="do not follow"):
        move_grant(revoked, _entry(kinds.RESUME, 7), 11)


@pytest.mark.parametrize("kind", [kinds.PAUSE, kinds.RESUME, kinds.REVOKE])
def test_a_grant_does_not_move_by_another_entry(kind: str) -> None:
    """One that leaves a version out, or repeats one, or is of another grant or of none: refused."""
    wrong = [_entry(kind, 3), _entry(kind, 5), _entry(kind, grant=b"another")]
    for row, entry in [(ROW, one) for one in wrong] + [(None, _entry(kind))]:
        with pytest.raises(TrustError, match="do not follow"):
            move_grant(row, entry, 8)
