"""What outlasts a power cut, and what need not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coffret_vault.store import Store
from coffret_vault.store.schema import durable

FULL, NORMAL = 2, 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    store = Store(tmp_path / "store.db")
    yield store
    store.close()


def _level(store: Store) -> int:
    return int(store._database.execute("PRAGMA synchronous").fetchone()[0])


def _levels(store: Store) -> list[tuple[int, str]]:
    """Each statement that writes from now on, with how carefully it is kept."""
    found: list[tuple[int, str]] = []
    now = [_level(store)]

    def said(statement: str) -> None:
        name, _, value = statement.partition("PRAGMA synchronous=")
        if not name and value:
            now[0] = {"FULL": FULL, "NORMAL": NORMAL}[value]
        elif statement.split(maxsplit=1)[0] in {"INSERT", "UPDATE", "DELETE", "COMMIT"}:
            found.append((now[0], statement.split(maxsplit=1)[0]))

    store._database.set_trace_callback(said)
    return found


def test_within_it_sqlite_syncs_each_commit(store: Store) -> None:
    """The level is FULL inside, and NORMAL outside and after an error."""
    assert _level(store) == NORMAL
    with durable(store._database):
        assert _level(store) == FULL
    with pytest.raises(ValueError, match="no"), durable(store._database):
        raise ValueError("no")  # noqa: EM101 - a test's own
    assert _level(store) == NORMAL


def test_what_is_claimed_is_durable(store: Store) -> None:
    """The claim and what stands beside it are committed with a sync."""
    found = _levels(store)
    assert store.claim("name", b"value", {"other": b"beside"})
    assert found
    assert {level for level, _ in found} == {FULL}
    assert found[-1] == (FULL, "COMMIT")
    assert (store.meta("name"), store.meta("other")) == (b"value", b"beside")


def test_what_is_taken_over_is_durable(store: Store) -> None:
    """So are the keys that are to be."""
    found = _levels(store)
    store.take_over((), {"name": b"value"})
    assert found
    assert {level for level, _ in found} == {FULL}


def test_nothing_else_waits_for_the_disk(store: Store) -> None:
    """What a server can bring again is committed as cheaply as before."""
    found = _levels(store)
    store.set_meta("name", b"value")
    store.release("name", b"value")
    store.put_records([], store.stand())
    assert found
    assert {level for level, _ in found} == {NORMAL}


def test_a_claim_that_fails_leaves_nothing_beside_it(store: Store) -> None:
    """Whoever comes second has written nothing; whoever releases takes away what is beside."""
    assert store.claim("name", b"one", {"other": b"first"})
    assert not store.claim("name", b"two", {"other": b"second"})
    assert store.meta("other") == b"first"
    store.release("name", b"two", {"other": b""})
    assert store.meta("other") == b"first"
    store.release("name", b"one", {"other": b""})
    assert (store.meta("name"), store.meta("other")) == (b"", b"")
