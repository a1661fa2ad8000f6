"""Somebody writes to a locked device's folder what the device is to know once it is unlocked.

Nobody gets a key by it, and no title shows: what a device knows of grants and settings is sealed,
and is read again from the owner's log where it was changed. Who does it has a live grant, or had
one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret_vault.errors import GrantError, NotFoundError, StoreAlteredError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from coffret_vault.formats.sharing import GRANT, Selector
from coffret_vault.store import GrantRow
from coffret_vault.store.known import LOG, Known
from coffret_vault.store.mark import parse_mark
from harness.network import Recorder
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from unittest.mock import _patch

    from coffret import Access, Vault
    from coffret_vault.store.mark import Mark
    from harness.world import World

    Plant = Callable[[sqlite3.Connection, "Stage"], None]

_decode = msgspec.msgpack.Decoder(GrantRow).decode
_encode = msgspec.msgpack.Encoder().encode


class Stage:
    """An owner with a memory that an app was granted, and one that it was not."""

    def __init__(self, world: World) -> None:
        """Grant the one."""
        self.world, self.owner = world, world.owner()
        self.app = world.app()
        vault = self.owner.vault
        self.shown = vault.remember("shown").id
        self.secret = vault.remember("secret").id
        self.grant_id, self.access = world.granted(self.owner, self.app, memories={self.shown})

    def copy(self) -> dict[str, list[tuple[object, ...]]]:
        """What is known on the device now, with its seal, as a thief keeps it."""
        with closing(sqlite3.connect(self.path)) as database:
            return {table: database.execute(query).fetchall() for table, query in _KNOWN.items()}

    def mark(self) -> Mark:
        """How far the log was verified on the device now."""
        return parse_mark(self.owner.vault._state.store.meta(LOG) or b"")

    @property
    def path(self) -> Path:
        """The device's store."""
        return self.owner.vault.folder / "store.db"

    def planted(self, plant: Plant) -> Vault:
        """The device, closed, with something planted, and opened and unlocked again."""
        self.owner.vault.close()
        with closing(sqlite3.connect(self.path)) as database, database:
            plant(database, self)
        vault: Vault = self.world.closing(self._opened())
        vault.unlock(PASSPHRASE, self.owner.secret_key)
        return vault

    def _opened(self) -> Vault:
        from coffret import Vault  # noqa: PLC0415 - the name is that of a type above

        return Vault.open(self.owner.vault.folder, **self.world.around(transport=Recorder()))


_KNOWN = {
    "grants": "SELECT * FROM grants",
    "wraps": "SELECT * FROM wraps",
    "meta": "SELECT * FROM meta WHERE name IN ('known', 'settings', 'account')",
}


def _put_back(copy: dict[str, list[tuple[object, ...]]]) -> Plant:
    """What was known earlier, with its genuine seal, beside the log of now."""

    def plant(database: sqlite3.Connection, _stage: Stage) -> None:
        database.execute("DELETE FROM grants")
        database.execute("DELETE FROM wraps")
        for table, rows in copy.items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608 - a table of ours

    return plant


def _change(**fields: object) -> Plant:
    """Another row for the grant that there is."""

    def plant(database: sqlite3.Connection, stage: Stage) -> None:
        key = parse_id(stage.grant_id)
        (body,) = database.execute("SELECT body FROM grants WHERE grant_id = ?", (key,)).fetchone()
        row = msgspec.structs.replace(_decode(body), **fields)
        database.execute("UPDATE grants SET body = ? WHERE grant_id = ?", (_encode(row), key))

    return plant


def _widen(database: sqlite3.Connection, stage: Stage) -> None:
    """The grant as a standing one, of everything."""
    (body,) = database.execute("SELECT body FROM grants").fetchone()
    grant = GRANT.parse(_decode(body).grant)
    wide = msgspec.structs.replace(grant, standing=True, selector=Selector(everything=True))
    _change(grant=GRANT.serialize(wide))(database, stage)


def _add_wrap(database: sqlite3.Connection, stage: Stage) -> None:
    """The grant holds the key of the secret, it says."""
    row = (parse_id(stage.grant_id), parse_id(stage.secret), 1)
    database.execute("INSERT OR REPLACE INTO wraps VALUES (?, ?, ?)", row)


def _drop_wraps(database: sqlite3.Connection, _stage: Stage) -> None:
    """The grant holds nothing, it says: what is taken from it would stay with it."""
    database.execute("DELETE FROM wraps")


def _drop_grants(database: sqlite3.Connection, _stage: Stage) -> None:
    """There never was a grant, it says: no key would be stale because it ended."""
    database.execute("DELETE FROM grants")


def _copy_grant(database: sqlite3.Connection, stage: Stage) -> None:
    """The same grant under another id."""
    (body,) = database.execute("SELECT body FROM grants").fetchone()
    database.execute("INSERT INTO grants VALUES (?, ?)", (parse_id(stage.secret), body))


def _drop_leaf(database: sqlite3.Connection, _stage: Stage) -> None:
    """A log that ends earlier than its position says."""
    database.execute("DELETE FROM leaves WHERE at = (SELECT max(at) FROM leaves)")


def _unseal(database: sqlite3.Connection, _stage: Stage) -> None:
    """No seal, as with a store of an older Coffret."""
    database.execute("DELETE FROM meta WHERE name = 'known'")


def _widen_unsealed(database: sqlite3.Connection, stage: Stage) -> None:
    """A wider grant in what looks like an older store."""
    _widen(database, stage)
    _add_wrap(database, stage)
    _unseal(database, stage)


def _forge_seal(database: sqlite3.Connection, stage: Stage) -> None:
    """A wider grant under a seal that is none."""
    _widen(database, stage)
    database.execute("UPDATE meta SET value = substr(value, 1, 90) WHERE name = 'known'")


PLANTS: dict[str, Plant] = {
    "a wider grant": _widen,
    "a grant that is paused": _change(state="paused"),
    "a grant that was revoked long ago": _change(state="revoked", revoked_at=1),
    "a key that it holds": _add_wrap,
    "no keys that it holds": _drop_wraps,
    "no grants": _drop_grants,
    "a grant twice": _copy_grant,
    "a seal that is none": _forge_seal,
}


def _believing() -> _patch[Callable[..., None]]:
    """A device of before: it acts by what it finds."""
    return patch.object(Known, "check", lambda *_: None)


def _texts(access: Access) -> set[str]:
    """What an app reads."""
    try:
        return {memory.content for memory in access.memories()}
    except GrantError:
        return set()


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
def test_what_was_planted_is_refused_and_read_again(world: World, plant: str) -> None:
    """Nothing is written by it; a sync says so and reads the log; then all is as it was."""
    stage = Stage(world)
    vault = stage.planted(PLANTS[plant])
    for act in (vault.grants, lambda: vault.update(stage.secret, content="more")):
        with pytest.raises(StoreAlteredError, match="not by this vault"):
            act()
    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync()
    vault.sync()
    (grant,) = vault.grants()
    assert (grant.state, grant.standing, grant.memories) == ("active", False, 1)
    vault.update(stage.secret, content="more")
    vault.update(stage.shown, content="still shown")
    vault.remember("new")
    assert _texts(stage.access) == {"still shown"}


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", [_unseal, _widen_unsealed])
def test_a_store_without_a_seal_is_read_again(world: World, plant: Plant) -> None:
    """As an older Coffret left it, or as somebody would have it look: what the log says counts."""
    stage = Stage(world)
    vault = stage.planted(plant)
    with pytest.raises(StoreAlteredError, match="older Coffret"):
        vault.update(stage.secret, content="more")
    vault.remember("new")  # this looks at the log by itself
    vault.update(stage.secret, content="more")
    vault.update(stage.shown, content="still shown")
    assert _texts(stage.access) == {"still shown"}
    (grant,) = vault.grants()
    assert (grant.standing, grant.memories) == (False, 1)


@pytest.mark.control(49)
@pytest.mark.parametrize(("plant", "gets"), [(_widen, "new"), (_add_wrap, "more")])
def test_a_device_that_believes_its_folder_hands_the_key_over(
    world: World, plant: Plant, gets: str
) -> None:
    """Control: without the check the app reads what nobody approved."""
    stage = Stage(world)
    another, _ = world.granted(stage.owner, world.app("Other", "https://other.example"))
    stage.owner.vault.revoke(another)  # so that the secret gets a fresh key
    with _believing():
        vault = stage.planted(plant)
        vault.remember("new")
        vault.update(stage.secret, content="more")
    assert gets in _texts(stage.access)


@pytest.mark.attack(49)
def test_a_revoked_grant_does_not_come_back(world: World) -> None:
    """What was known before a revocation, with its genuine seal, beside the log of now: refused."""
    assert _key_after_return(world) == 2


@pytest.mark.attack(49)
def test_a_revoked_grant_does_not_come_back_with_the_tree_of_before(world: World) -> None:
    """The log's tree of before, too, under the newest head, with no entry behind it: refused."""
    stage = Stage(world)
    before, mark = stage.copy(), stage.mark()
    stage.owner.vault.revoke(stage.grant_id)
    told = mark._replace(head=stage.mark().head)

    def plant(database: sqlite3.Connection, stage: Stage) -> None:
        _put_back(before)(database, stage)
        database.execute("DELETE FROM leaves WHERE at >= ?", (told.size,))
        database.execute("UPDATE meta SET value = ? WHERE name = ?", (told.pack(), LOG))

    vault = stage.planted(plant)
    for act in (vault.grants, lambda: vault.update(stage.shown, content="later")):
        with pytest.raises(StoreAlteredError, match="not by this vault"):
            act()


@pytest.mark.control(49)
def test_a_device_that_believes_its_folder_goes_on_under_the_revoked_key(world: World) -> None:
    """Control: without the check the next version is under the key that the app has kept."""
    with _believing():
        assert _key_after_return(world) == 1


def _key_after_return(world: World) -> int:
    """The number of the shown memory's key after its app was revoked, and the grant put back."""
    stage = Stage(world)
    before = stage.copy()
    stage.owner.vault.revoke(stage.grant_id)
    for text in ("one", "two"):
        stage.owner.vault.remember(text)
    vault = stage.planted(_put_back(before))
    try:
        vault.update(stage.shown, content="later")
    except StoreAlteredError:
        with pytest.raises(StoreAlteredError):
            vault.sync()
        assert vault.grant(stage.grant_id).state == "revoked"
        vault.update(stage.shown, content="later")
    memory_id = parse_id(stage.shown)
    state = vault._state.store.state(memory_id)
    assert state is not None
    record = vault._state.store.record(memory_id, state.current)
    assert record is not None
    return parse_header(record.header).key_number


@pytest.mark.attack(49)
def test_the_log_cannot_be_turned_back_beside_what_is_known(world: World) -> None:
    """Entries that are missing, or others, between what is known and the head: refused."""
    stage = Stage(world)
    last = stage.owner.vault.remember("one")
    vault = stage.planted(_drop_leaf)
    with pytest.raises(StoreAlteredError):
        vault.grants()
    with pytest.raises(StoreAlteredError, match="log on this device"):
        vault.sync()
    assert vault.get(last.id).content == "one"


def _shown_again(database: sqlite3.Connection, _stage: Stage) -> None:
    """The vault shows titles, it says: no settings were ever made."""
    database.execute("DELETE FROM meta WHERE name = 'settings'")


@pytest.mark.attack(49)
def test_titles_stay_sealed(world: World) -> None:
    """Settings that were taken away are read again before anything is written by them."""
    assert _is_sealed(world)


@pytest.mark.control(49)
def test_a_device_that_believes_its_folder_shows_titles(world: World) -> None:
    """Control: without the check the next memory shows its title."""
    with _believing():
        assert not _is_sealed(world)


def _is_sealed(world: World) -> bool:
    stage = Stage(world)
    stage.owner.vault.set_settings(sealed=True)
    vault = stage.planted(_shown_again)
    try:
        return vault.remember("new", title="a title").sealed
    except StoreAlteredError:
        return vault.remember("new", title="a title").sealed


@pytest.mark.attack(49)
def test_keys_of_before_a_key_change_stay_stale(world: World) -> None:
    """A device cannot be made to forget that the owner's keys were changed."""
    stage = Stage(world)
    stage.owner.vault.change_keys(PASSPHRASE, lambda kit: setattr(stage.owner, "kit", kit))
    assert stage.owner.vault._state.account.earlier

    def forget(database: sqlite3.Connection, _stage: Stage) -> None:
        (body,) = database.execute("SELECT value FROM meta WHERE name = 'account'").fetchone()
        account = msgspec.msgpack.decode(body)
        account["earlier"] = []
        value = msgspec.msgpack.encode(account)
        database.execute("UPDATE meta SET value = ? WHERE name = 'account'", (value,))

    vault = stage.planted(forget)
    with pytest.raises(StoreAlteredError):
        vault.update(stage.shown, content="later")
    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync()
    assert len(vault._state.account.earlier) == 1
    with pytest.raises(NotFoundError):
        vault.grant(stage.shown)
