"""Grants as the device keeps them: read once, and never stale."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret_vault.errors import StoreDamagedError
from coffret_vault.formats.layout import Layout
from coffret_vault.formats.sharing import GRANT, MANIFEST, Grant, Manifest, Selector
from coffret_vault.store import GrantRow, Store
from coffret_vault.store.schema import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, OTHER = b"1" * 16, b"2" * 16
STATES = ("active", "paused", "revoked")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new store."""
    made = Store(path)
    yield made
    made.close()


def _row(grant_id: bytes, state: str = "active", *, names: bytes = b"") -> GrantRow:
    grant = Grant(
        account_id=b"a" * 16,
        grant_id=grant_id,
        app_id=b"p" * 16,
        request_digest=b"r" * 32,
        owner_keys_hash=b"o" * 32,
        manifest_digest=b"k" * 32,
        scopes=frozenset({"read"}),
        selector=Selector(ids=frozenset({names or grant_id})),
        standing=False,
        auto_accept=False,
        created=1,
        expires=2,
    )
    manifest = Manifest(b"p" * 16, "App", "https://app.example", b"s" * 32, b"x" * 1_216, 1)
    return GrantRow(
        grant=GRANT.serialize(grant),
        manifest=MANIFEST.serialize(manifest),
        owner_wrap=b"w",
        generation=1,
        request=b"q",
        state=state,
        version=1,
        granted_at=0,
    )


def test_a_grant_is_kept_and_replaced(store: Store) -> None:
    """What was put last is what is found, by its id and among all, oldest id first."""
    store.grants.put(_row(OTHER))
    for state in STATES:
        store.grants.put(_row(ONE, state))
        assert store.grants.get(ONE) == _row(ONE, state)
        assert store.grants.all() == [_row(ONE, state), _row(OTHER)]
    assert store.grants.get(b"3" * 16) is None


def test_what_another_process_changed_is_seen(path: Path, store: Store) -> None:
    """A second connection's grants are found at once, though nothing was changed here."""
    store.grants.put(_row(ONE))
    with closing(Store(path)) as second:
        assert second.grants.all() == [_row(ONE)]
        for state in STATES:
            store.grants.put(_row(ONE, state))
            assert second.grants.get(ONE) == _row(ONE, state)
        for state in STATES:
            second.grants.put(_row(OTHER, state))
            assert store.grants.get(OTHER) == _row(OTHER, state)


def test_what_was_rolled_back_is_forgotten(store: Store) -> None:
    """A grant of a transaction that failed is not found afterwards, even if it was read in it."""
    store.grants.put(_row(ONE))

    def fail() -> None:
        with transaction(store.grants._database):
            store.grants.put_rows([_row(ONE, "revoked")])
            assert store.grants.get(ONE) == _row(ONE, "revoked")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert store.grants.all() == [_row(ONE)]


def test_all_is_a_copy(store: Store) -> None:
    """Who changes the list that they were given changes nobody else's."""
    store.grants.put(_row(ONE))
    store.grants.all().clear()
    assert store.grants.all() == [_row(ONE)]


def test_a_grant_is_parsed_once(store: Store) -> None:
    """Asking again for what a grant says parses nothing, however often and from whichever row."""
    row = _row(ONE, names=b"parsed once     ")
    store.grants.put(row)
    parse = Layout.parse
    with patch.object(Layout, "parse", autospec=True, side_effect=parse) as parsed:
        first = row.statement()
        times = parsed.call_count
        found = store.grants.get(ONE)
        assert found is not None
        assert all(found.statement() is first for _ in range(100))
    assert first.selector.ids == {b"parsed once     "}
    assert parsed.call_count == times


def test_each_grant_says_its_own(store: Store) -> None:
    """More grants than are remembered at a time still say each what is its own."""
    many = [_row(bytes([number]) * 16) for number in range(100)]
    for row in many:
        store.grants.put(row)
    for _ in range(2):
        assert [row.statement().grant_id for row in store.grants.all()] == [
            bytes([number]) * 16 for number in range(100)
        ]
        assert {row.app().name for row in store.grants.all()} == {"App"}


@pytest.mark.parametrize("what", ["grant", "manifest"])
def test_a_damaged_statement_is_a_damaged_store(what: str) -> None:
    """What does not parse though it was verified before it was kept is the file's damage."""
    row = msgspec.structs.replace(_row(ONE), **{what: b"nothing like it"})
    with pytest.raises(StoreDamagedError):
        row.statement() if what == "grant" else row.app()


def test_a_damaged_row_is_a_damaged_store(path: Path, store: Store) -> None:
    """A row whose bytes are no grant, or not bytes, is the file's damage, after a good read too."""
    store.grants.put(_row(ONE))
    assert store.grants.all()
    for body in (b"\xc1", b"\x93\xa1\xff", "text"):
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE grants SET body = ?", (body,))
            other.commit()
        with pytest.raises(StoreDamagedError):
            store.grants.all()


def test_a_grant_moves_on_only_from_where_it_is_thought_to_be(store: Store) -> None:
    """What another process made of a grant meanwhile is not undone."""
    store.grants.put(_row(ONE, "activating"))
    store.grants.move(ONE, "activating", "active")
    assert [row.state for row in store.grants.all()] == ["active"]
    store.grants.put(_row(ONE, "revoked"))
    store.grants.move(ONE, "activating", "active")
    store.grants.move(OTHER, "activating", "active")
    assert [row.state for row in store.grants.all()] == ["revoked"]
