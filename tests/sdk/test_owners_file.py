"""What an app knows of owners, kept by several of its processes at a time."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows import ownersfile
from coffret.flows.ownersfile import Asked, Met, OwnersFile
from coffret_vault.envelope.signature import sign_head
from coffret_vault.errors import (
    OwnerKeyChangedError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    TrustError,
)
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead, parse_head
from coffret_vault.formats.layout import id_text
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = SigningKey(generate_key(os.urandom))
APP, ONE, TWO = b"\7" * 16, b"\1" * 16, b"\2" * 16
ANA, EVE = Met(ONE, b"\5" * 32), Met(TWO, b"\6" * 32)
ASKED = Asked(b"request", b"card", b"signature")
LARGEST = 10**19 - 1


def head(account: bytes, size: int) -> SignedHead:
    """A head of an account's log, signed."""
    return parse_head(sign_head(KEY, Head(account, size, bytes(32), NO_HEAD, 1)))


@pytest.fixture
def kept(tmp_path: Path) -> OwnersFile:
    """The file of an app that knows nobody yet."""
    made = OwnersFile(tmp_path / "app.json", APP)
    made.make()
    return made


def size_of(kept: OwnersFile, account: bytes) -> int:
    """How far an account's log had come; 0 where it was never seen."""
    last = kept.last_head("ana", account)
    return last.head.size if last else 0


def steps(kept: OwnersFile) -> int:
    """How many steps SQLite takes to find what was asked, and by whom, and to keep one more."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    real = sqlite3.connect

    def counting(*where: object, **how: object) -> sqlite3.Connection:
        found: sqlite3.Connection = real(*where, **how)  # type: ignore[call-overload]
        found.set_progress_handler(step, 1)
        return found

    with patch("coffret.flows.ownersfile.sqlite3.connect", counting):
        assert kept.asked(id_text(ONE)) == ASKED
        assert kept.met("ana") == ANA
        kept.keep(TWO, ASKED)
        kept.meet("eve", EVE, EVE)
    return taken


def test_an_owner_more_costs_as_much_as_the_first(kept: OwnersFile) -> None:
    """With ten thousand owners, what is looked for or kept is no more work than with one."""
    kept.keep(ONE, ASKED)
    kept.meet("ana", ANA)
    kept.meet("eve", EVE)
    before = steps(kept)
    with closing(sqlite3.connect(kept.path)) as database:
        rows = [(os.urandom(16), b"request", b"card", b"signature") for _ in range(10_000)]
        database.executemany(ownersfile._KEEP, rows)
        owners = [(f"owner-{at}", os.urandom(16), bytes(32)) for at in range(10_000)]
        database.executemany("INSERT INTO owners VALUES (?, ?, ?)", owners)
        database.commit()
    assert steps(kept) < 2 * before
    assert len(kept.requests()) == 10_002


def test_the_newest_head_is_kept(kept: OwnersFile) -> None:
    """A longer log's head takes the place of a shorter one's, not the reverse, at any length."""
    assert kept.last_head("ana", ONE) is None
    for size, newest in ((5, 5), (9, 9), (7, 9), (300, 300), (LARGEST, LARGEST), (10, LARGEST)):
        kept.keep_head("ana", head(ONE, size))
        assert size_of(kept, ONE) == newest
    assert size_of(kept, TWO) == 0


def test_processes_do_not_make_each_other_forget_a_head(tmp_path: Path, kept: OwnersFile) -> None:
    """What another one keeps just before a head is written stays, of two owners or of one."""
    other = OwnersFile(tmp_path / "app.json", APP)
    real = OwnersFile.last_head

    def quicker(mine: OwnersFile, username: str, account: bytes) -> SignedHead | None:
        known = real(mine, username, account)
        with patch.object(OwnersFile, "last_head", real):
            other.keep_head("ana", head(ONE, 8))
            other.keep_head("ana", head(TWO, 9))
        return known

    with patch.object(OwnersFile, "last_head", quicker):
        kept.keep_head("ana", head(ONE, 5))
    assert (size_of(kept, ONE), size_of(kept, TWO)) == (8, 9)


def test_one_owners_log_is_forgotten_at_a_time(kept: OwnersFile) -> None:
    """What is forgotten of one log is kept of another, and a shorter one begins it anew."""
    kept.forget_head("ana", ONE)
    kept.keep_head("ana", head(ONE, 9))
    kept.keep_head("ana", head(TWO, 9))
    kept.forget_head("ana", ONE)
    kept.keep_head("ana", head(ONE, 3))
    assert (size_of(kept, ONE), size_of(kept, TWO)) == (3, 9)
    kept.keep_head("eve", head(ONE, 7))
    assert size_of(kept, ONE) == 3


def test_what_threads_and_processes_write_at_once_is_all_there(
    tmp_path: Path, kept: OwnersFile
) -> None:
    """Of a hundred requests by five at the same time each is kept."""
    files = [OwnersFile(tmp_path / "app.json", APP) for _ in range(4)] + [kept]

    def work(number: int) -> None:
        for turn in range(20):
            files[number].keep(bytes([number]) * 15 + bytes([turn]), ASKED)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept.requests()) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_what_was_opened_before_a_fork_serves_both(kept: OwnersFile) -> None:
    """A server that loads its app and then forks writes from all that come of it."""
    kept.keep(ONE, ASKED)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kept.keep(TWO, ASKED)
            status = 0
        finally:
            os._exit(status)
    kept.meet("ana", ANA)
    assert os.waitpid(child, 0)[1] == 0
    assert kept.requests() == [id_text(ONE), id_text(TWO)]
    assert kept.met("ana") == ANA


_WRITES_ON = """
import pathlib, sys
from coffret.flows.ownersfile import Asked, OwnersFile

kept = OwnersFile(pathlib.Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
for number in range(1_000_000):
    kept.keep(number.to_bytes(16, "big"), Asked(bytes(3_000), b"card", b"signature"))
    print(number, flush=True)
"""


def test_what_was_kept_outlives_a_kill(tmp_path: Path, kept: OwnersFile) -> None:
    """A process that is killed in the middle of writing leaves all that it had said was kept."""
    command = [sys.executable, "-c", _WRITES_ON, str(tmp_path / "app.json"), APP.hex()]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: S603 - our own
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(20)]
            writer.kill()
            writer.communicate()
        assert set(kept.requests()) >= {id_text(number.to_bytes(16, "big")) for number in said}
        kept.meet("ana", ANA)


def test_any_folder_will_do(tmp_path: Path) -> None:
    """What is special in an address, as SQLite takes it, is a name like others."""
    folder = tmp_path / "50% of a?b#c;é"
    folder.mkdir()
    made = OwnersFile(folder / "app.json", APP)
    made.make()
    made.keep(ONE, ASKED)
    assert made.requests() == [id_text(ONE)]
    assert [each.name for each in folder.iterdir()] == ["app.json.owners"]


def test_only_its_user_reads_it(kept: OwnersFile) -> None:
    """The file, and what SQLite puts beside it while it writes, are for their user alone."""
    if os.name != "posix":
        pytest.skip("modes are of POSIX")
    seen: set[int] = set()

    def look() -> set[int]:
        folder = kept.path.parent
        return {stat.S_IMODE(each.stat().st_mode) for each in folder.glob("app.json*")}

    with kept._writing() as database:
        database.execute("DELETE FROM heads")
        database.execute("INSERT INTO heads VALUES (?, ?, ?, ?)", ("", ONE, b"", ""))
        seen |= look()
        assert len(list(kept.path.parent.iterdir())) > 1
    assert seen | look() == {0o600}


def test_an_owner_is_met_once(kept: OwnersFile) -> None:
    """Whom another process met by something else stays as that one met them; words replace it."""
    kept.meet("ana", ANA)
    other = Met(ONE, bytes(32))
    with pytest.raises(OwnerKeyChangedError):
        kept.meet("ana", other)
    assert kept.met("ana") == ANA
    kept.meet("ana", other, ANA)
    kept.meet("ana", ANA, sure=True)
    assert kept.met("ana") == ANA


def test_an_account_is_one_owner_s(kept: OwnersFile) -> None:
    """No other name is met by it, but by words; who was known by it is by no account then.

    Their keys stay: others are theirs by their words only.
    """
    borrowed = Met(ONE, EVE.keys)
    kept.meet("ana", ANA)
    with pytest.raises(TrustError):
        kept.meet("eve", borrowed)
    assert kept.met("eve") is None
    kept.meet("eve", borrowed, sure=True)
    left = kept.met("ana")
    assert (kept.met("eve"), left and left.keys) == (borrowed, ANA.keys)
    for shown in (ANA, Met(TWO, bytes(32))):
        with pytest.raises(OwnerKeyChangedError):
            kept.meet("ana", shown)
    kept.meet("ana", ANA, sure=True)
    assert kept.met("ana") == ANA
    assert kept.met("eve") not in {None, borrowed}


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def _scribbled(path: Path) -> None:
    path.write_bytes(b"no database at all, but some text" * 400)


def _of_a_head(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE heads SET note = substr(note, 9)")
        database.commit()


@pytest.mark.parametrize("damage", [_emptied, _cut, _scribbled, _of_a_head, os.unlink])
def test_damage_is_not_taken_for_nothing_known(
    kept: OwnersFile, damage: Callable[[Path], object]
) -> None:
    """An app that cannot read what it knew does not begin anew by itself, nor write over it."""
    kept.keep_head("ana", head(ONE, 9))
    damage(kept.path)
    before = kept.path.read_bytes() if kept.path.exists() else None
    with pytest.raises(StoreDamagedError) as caught:
        kept.last_head("ana", ONE)
    assert caught.value.hint
    with pytest.raises(StoreDamagedError):
        kept.keep_head("ana", head(ONE, 10))
    assert before == (kept.path.read_bytes() if kept.path.exists() else None)


def test_another_apps_file_is_not_used(tmp_path: Path, kept: OwnersFile) -> None:
    """What one app knows of owners is nothing that another one goes by."""
    other = OwnersFile(tmp_path / "app.json", TWO)
    for use in (other.check, other.make, other.requests, lambda: other.keep(ONE, ASKED)):
        with pytest.raises(StoreDamagedError, match="another app"):
            use()
    assert kept.requests() == []


def test_a_newer_file_is_not_used(kept: OwnersFile) -> None:
    """What a later version wrote may mean something else."""
    with closing(sqlite3.connect(kept.path)) as database:
        database.execute("UPDATE about SET format = 2")
        database.commit()
    with pytest.raises(StoreError, match="newer"):
        kept.requests()


def test_making_it_again_changes_nothing(kept: OwnersFile) -> None:
    """A registration that was interrupted just behind it makes it once more."""
    kept.keep(ONE, ASKED)
    kept.make()
    assert kept.requests() == [id_text(ONE)]


def test_making_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """A file without tables, or with tables and nothing in them, is made whole."""
    made = OwnersFile(tmp_path / "app.json", APP)
    made.path.touch(0o600)
    made.make()
    with closing(sqlite3.connect(made.path)) as database:
        database.execute("DELETE FROM about")
        database.commit()
    made.make()
    assert made.requests() == []


def test_what_holds_it_too_long_is_said(kept: OwnersFile) -> None:
    """A process that does not let go is waited for, and not for ever; what is there stays."""
    with (
        kept._writing(),
        patch.object(ownersfile, "_PATIENCE", 0.01),
        pytest.raises(StoreError, match="held"),
    ):
        kept.keep(ONE, ASKED)
    assert kept.requests() == []


def test_a_full_disk_is_said(kept: OwnersFile) -> None:
    """That there is no room is told as that, and what is there stays."""
    real = ownersfile._SETTINGS
    with (
        patch.object(ownersfile, "_SETTINGS", (*real, "max_page_count=1")),
        pytest.raises(StoreFullError),
    ):
        kept.keep(ONE, Asked(bytes(1 << 20), b"", b""))
    assert kept.requests() == []


def test_a_folder_that_takes_no_journal_is_said(kept: OwnersFile) -> None:
    """What cannot be written is not said to be damaged."""
    kept.path.with_name(f"{kept.path.name}-journal").mkdir()
    with pytest.raises(StoreError) as caught:
        kept.keep(TWO, ASKED)
    assert not isinstance(caught.value, StoreDamagedError)


def test_where_nobody_can_look_is_said(tmp_path: Path) -> None:
    """What cannot be looked for is an error of the store, not one of the system, nor damage."""
    with pytest.raises(StoreError) as caught:
        OwnersFile(tmp_path / ("a" * 250), APP).check()
    assert not isinstance(caught.value, StoreDamagedError)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Where it cannot be made, that is an error of the store."""
    with pytest.raises(StoreError):
        OwnersFile(tmp_path / "missing" / "app.json", APP).make()


def test_the_token_of_an_index_is_one_until_somebody_lets_go(
    tmp_path: Path, kept: OwnersFile
) -> None:
    """All processes have one token, none after a word to any of them, and then another one."""
    other, name = OwnersFile(tmp_path / "app.json", APP), id_text(ONE)
    assert kept.index_token(name) == b""
    assert kept.index_token("no id") == b""
    kept.keep(ONE, ASKED)
    token = kept.index_token(name)
    assert other.index_token(name) == token != b""
    assert kept.is_index_kept(name, token)
    other.let_go(name)
    other.let_go(name)
    assert not kept.is_index_kept(name, token)
    assert not kept.is_index_kept(name, b"")
    later = kept.index_token(name)
    assert later not in {b"", token}
    other.let_go_of_all()
    assert not kept.is_index_kept(name, later)
