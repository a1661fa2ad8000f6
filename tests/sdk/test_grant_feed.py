"""How a grant moves with the log: each entry follows from the one before, about that very grant."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from coffret.flows.grantfeed import ACTIVE, PAUSED, REVOKED, check_app_leaf, move_grant
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import BadSignatureError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.entry import ENTRY, Entry, Leaf
from coffret_vault.formats.sharing import GRANT, MANIFEST, Grant, Manifest, Selector
from coffret_vault.keyring.keyring import identity_from_seeds
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


OLD, NEW, STRANGER = (identity_from_seeds(bytes([n]) * 64).signing for n in (1, 2, 3))
APP = b"p" * 16


def _granted(at: int, public: bytes, *scopes: str, state: str = ACTIVE) -> GrantRow:
    """A grant to the app by the keys that it had then."""
    manifest = MANIFEST.serialize(
        Manifest(APP, "App", "https://app.example", public, b"x" * 1_216, 1)
    )
    grant = Grant(
        account_id=b"a" * 16,
        grant_id=bytes([at]) * 16,
        app_id=APP,
        request_digest=b"r" * 32,
        owner_keys_hash=b"o" * 32,
        manifest_digest=hashlib.sha256(manifest).digest(),
        scopes=frozenset(scopes or ("create",)),
        selector=Selector(everything=True),
        standing=False,
        auto_accept=False,
        created=1,
        expires=2,
    )
    return GrantRow(GRANT.serialize(grant), manifest, b"wrap", 1, b"request", state, 1, at)


def _written(key: Any) -> Leaf:
    entry = Entry(b"a" * 16, kinds.PUT, b"m" * 16, 1, b"d" * 32, Author(APP), 1)
    message = ENTRY.serialize(entry)
    return Leaf(entry, message, sign_statement(key, "app-entry", message))


def _check(leaf: Leaf, *kept: GrantRow, new: tuple[GrantRow, ...] = ()) -> None:
    state: Any = SimpleNamespace(store=SimpleNamespace(grants=SimpleNamespace(all=lambda: kept)))
    check_app_leaf(state, {row.statement().grant_id: row for row in new}, leaf)


def test_an_app_writes_by_any_key_that_a_grant_of_it_names() -> None:
    """A grant by keys of before, which is over and was never revoked, hides no grant of now."""
    before, now = _granted(3, OLD.public), _granted(5, NEW.public)
    for grants in ((before, now), (now, before)):
        for key in (OLD, NEW):
            _check(_written(key), *grants)
    _check(_written(NEW), before, new=(now,))


def test_an_app_writes_by_no_other_key() -> None:
    """Neither a stranger's, nor that of a grant that is revoked or does not allow it."""
    now = _granted(5, NEW.public)
    for before in (_granted(3, OLD.public, state=REVOKED), _granted(3, OLD.public, "read")):
        with pytest.raises(BadSignatureError):
            _check(_written(OLD), before, now)
    with pytest.raises(BadSignatureError):
        _check(_written(STRANGER), _granted(3, OLD.public), now)
    with pytest.raises(TrustError, match="not granted"):
        _check(_written(NEW), _granted(3, OLD.public, "read"))
