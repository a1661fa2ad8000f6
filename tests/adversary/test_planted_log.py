"""Somebody writes to a locked device's folder so that an honest server seems to contradict it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import Vault
from coffret_vault.envelope.signature import sign_head
from coffret_vault.errors import StoreAlteredError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.tree import Frontier
from coffret_vault.store import Store
from coffret_vault.store.mark import Mark, parse_mark
from harness.flipping import flipped
from harness.folders import Stage, shown
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    import sqlite3

    from harness.folders import Plant
    from harness.world import World


def _mark(database: sqlite3.Connection) -> Mark:
    (kept,) = database.execute("SELECT value FROM meta WHERE name = 'log'").fetchone()
    return parse_mark(kept)


def _stand(database: sqlite3.Connection, mark: Mark) -> None:
    database.execute("UPDATE meta SET value = ? WHERE name = 'log'", (mark.pack(),))


def _one_more(database: sqlite3.Connection, _stage: Stage) -> None:
    """An entry behind the newest head that no server ever had."""
    mark = _mark(database)
    _stand(database, mark._replace(tail=(*mark.tail, b"an entry")))


def _one_more_in_both(database: sqlite3.Connection, stage: Stage) -> None:
    """The same, and it is among the entries too."""
    database.execute("INSERT INTO leaves VALUES (?, ?)", (_mark(database).size, b"an entry"))
    _one_more(database, stage)


def _longer(database: sqlite3.Connection, _stage: Stage) -> None:
    """A head over more, which nobody signed."""
    mark = _mark(database)
    frontier = mark.frontier.copy()
    for number in range(100):
        leaf = b"an entry %d" % number
        database.execute("INSERT OR REPLACE INTO leaves VALUES (?, ?)", (frontier.size, leaf))
        frontier.append(leaf)
    note = mark.head.note.replace(f"\n{mark.frontier.size}\n", f"\n{frontier.size}\n")
    _stand(database, Mark(parse_head(note), frontier, ()))


def _no_entries(database: sqlite3.Connection, stage: Stage) -> None:
    """What is no entry under the newest head, and a tree that is made of it."""
    _another(database, stage, b"an entry")


def _another(database: sqlite3.Connection, _stage: Stage, planted: bytes = b"") -> None:
    """Other entries under the newest head, and a tree that is made of them."""
    mark = _mark(database)
    (leaf,) = database.execute("SELECT leaf FROM leaves WHERE at = 1").fetchone()
    database.execute("UPDATE leaves SET leaf = ? WHERE at = 1", (planted or flipped(leaf),))
    frontier = Frontier()
    rows = database.execute("SELECT leaf FROM leaves ORDER BY at LIMIT ?", (mark.frontier.size,))
    for (leaf,) in rows.fetchall():
        frontier.append(leaf)
    _stand(database, mark._replace(frontier=frontier))


PLANTS: dict[str, Plant] = {
    "an entry more": _one_more,
    "an entry more, in both": _one_more_in_both,
    "a longer log": _longer,
    "another log": _another,
    "no entries": _no_entries,
}


@pytest.mark.attack(19, 49)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_log_that_was_planted_accuses_no_server(world: World, plant: str) -> None:
    """The server is not said to lie, and no evidence is made; the folder is what is not trusted."""
    stage = Stage(world)
    vault = stage.planted(PLANTS[plant])
    for _ in range(2):
        with pytest.raises(StoreAlteredError):
            vault.sync()
        with pytest.raises(StoreAlteredError):
            vault.list()
    assert vault.evidence() == []
    assert shown(world.device(stage.owner)) == stage.truth


@pytest.mark.control(19, 49)
def test_a_device_that_stands_by_its_folder_accuses_an_honest_server(world: World) -> None:
    """Control: who does not ask whether it is its own keeps a record of a rollback."""
    stage = Stage(world)
    vault = stage.planted(_one_more)
    with patch.object(Store, "altered", lambda _: ""), pytest.raises(TrustError) as raised:
        vault.sync()
    found = verify_evidence(Path(raised.value.evidence).read_bytes())
    assert found.verdict.kind == "rolled-back"


def _one_row(database: sqlite3.Connection, _stage: Stage) -> None:
    """Where memories stand, and nothing of the log."""
    database.execute("UPDATE memories SET pending = 9")


@pytest.mark.attack(19, 49)
def test_what_the_owner_signed_twice_is_a_proof_all_the_same(world: World) -> None:
    """A server that shows a fork is not let off because somebody wrote to the folder as well."""
    stage = Stage(world)
    vault = stage.planted(_one_row)
    known = vault._state.position().head
    assert known is not None
    signed = msgspec.structs.replace(known.head, time=known.head.time + 1)
    vault.close()
    evil = Evil()
    around = world.around(transport=evil)
    again: Vault = world.closing(Vault.open(vault.folder, **around))
    again.unlock(PASSPHRASE, stage.owner.secret_key)
    note = sign_head(again._state.keys.identity.signing, signed)

    def rewrite(page: list[Any]) -> None:
        page[1] = note

    evil.rewrite["/sync"] = rewrite
    with pytest.raises(TrustError) as raised:
        again.sync()
    assert verify_evidence(Path(raised.value.evidence).read_bytes()).verdict.proven
