"""Somebody writes to a locked device's folder what its database is to do by itself later.

SQL triggers and views act with the unlocked device's own writes, behind every check of what it
reads. Nothing comes of them: a store has our tables, or it is not opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import StoreAlteredError
from coffret_vault.formats.layout import parse_id
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.world import Owner, World

TITLES = """
CREATE TABLE aside AS SELECT name, value FROM meta WHERE name = 'settings';
CREATE TRIGGER before_it AFTER INSERT ON meta WHEN NEW.name = 'import places'
BEGIN DELETE FROM meta WHERE name = 'settings'; END;
CREATE TRIGGER after_it AFTER INSERT ON meta WHEN NEW.name = 'log'
BEGIN INSERT OR REPLACE INTO meta SELECT name, value FROM aside; END;
"""
"""The settings are away from the check to the append, and there again for the next check."""
KEYS = """
CREATE TRIGGER handed AFTER INSERT ON meta WHEN NEW.name = 'import places'
BEGIN INSERT OR REPLACE INTO wraps VALUES (x'{grant}', x'{memory}', 1); END;
"""
"""Behind the check a grant holds the key of another memory."""


def _plant(owner: Owner, script: str) -> None:
    with closing(sqlite3.connect(owner.vault.folder / "store.db")) as database:
        database.executescript(script)


def _again(world: World, owner: Owner, script: str) -> Vault:
    """The device, closed, with something planted, and opened and unlocked again."""
    owner.vault.close()
    _plant(owner, script)
    vault: Vault = world.closing(Vault.open(owner.vault.folder, **world.around()))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


@contextmanager
def _believing() -> Iterator[None]:
    """A device of before: its database does what the file says."""
    with ExitStack() as weaker:
        for where in ("schema", "known", "states"):
            name = f"coffret_vault.store.{where}.verify_schema"
            weaker.enter_context(patch(name, lambda _database: None))
        allowed = patch("coffret_vault.store.schema._authorized", lambda *_: sqlite3.SQLITE_OK)
        weaker.enter_context(allowed)
        yield


def _folder(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir(exist_ok=True)
    (folder / "note.md").write_text(text, encoding="utf-8")
    return folder


def _shows(world: World, tmp_path: Path) -> bool:
    """Whether a sealed vault shows the title of what is imported next."""
    owner = world.owner()
    owner.vault.remember("first")
    owner.vault.set_settings(sealed=True)
    vault = _again(world, owner, TITLES)
    vault.import_paths([_folder(tmp_path, "# A title\n\ntext\n")])
    (memory,) = (memory for memory in vault.list() if memory.title == "A title")
    return not memory.sealed


def _read(world: World, tmp_path: Path) -> set[str]:
    """What an app reads that was granted "shown" alone, after another memory was imported again."""
    owner, app = world.owner(), world.app()
    owner.vault.import_paths([_folder(tmp_path, "before\n")])
    (secret,) = owner.vault.list()
    shown = owner.vault.remember("shown").id
    grant_id, access = world.granted(owner, app, memories={shown})
    other, _ = world.granted(owner, world.app("Other", "https://other.example"), memories={shown})
    owner.vault.revoke(other)  # so that the secret gets a fresh key
    ids = {"grant": parse_id(grant_id).hex(), "memory": parse_id(secret.id).hex()}
    vault = _again(world, owner, KEYS.format(**ids))
    vault.import_paths([_folder(tmp_path, "secret\n")])
    return {memory.content for memory in access.memories()}


@pytest.mark.attack(49)
def test_a_planted_trigger_shows_no_title(world: World, tmp_path: Path) -> None:
    """A store with other tables than ours is not opened, and its owner is told what to do."""
    with pytest.raises(StoreAlteredError, match="tables of this device's store") as refused:
        _shows(world, tmp_path)
    assert "in another folder" in refused.value.hint


@pytest.mark.control(49)
def test_a_device_that_takes_any_tables_shows_the_title(world: World, tmp_path: Path) -> None:
    """Control: without the comparison the sealed vault shows it."""
    with _believing():
        assert _shows(world, tmp_path)


@pytest.mark.attack(49)
def test_a_planted_trigger_hands_no_key_over(world: World, tmp_path: Path) -> None:
    """As for titles: it is not opened."""
    with pytest.raises(StoreAlteredError, match="tables of this device's store"):
        _read(world, tmp_path)


@pytest.mark.control(49)
def test_a_device_that_takes_any_tables_hands_the_key_over(world: World, tmp_path: Path) -> None:
    """Control: without the comparison the app reads what nobody approved."""
    with _believing():
        assert "secret" in _read(world, tmp_path)


@pytest.mark.attack(49)
def test_a_trigger_planted_under_an_open_vault_does_nothing(world: World) -> None:
    """What would set it off is refused, by the comparison when others wrote, or by SQLite."""
    owner = world.owner()
    vault = owner.vault
    vault.set_settings(sealed=True)
    _plant(owner, TITLES.replace("'import places'", "'unsent'"))
    with pytest.raises(StoreAlteredError, match="tables of this device's store"):
        vault.remember("one", title="a title")
    with pytest.raises(StoreAlteredError, match="tables of this device's store"):
        vault.sync()
    with closing(sqlite3.connect(vault.folder / "store.db")) as database:
        assert database.execute("SELECT 1 FROM meta WHERE name = 'settings'").fetchone()
