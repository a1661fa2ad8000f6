"""What an app knows of owners: one SQLite file beside its keys, however many users it has.

What it asked of whom, by which keys it knows whom, how far each log had come, and which search
indexes it keeps. All of it is public or signed, but for who the app's users are: it is for its user
only. docs/adr/0039.

Each call opens the file anew, which takes a fraction of a millisecond: so several processes of the
app may use it, their threads, and what they fork; nothing is held between two calls, and a program
that ends in the middle of one leaves what was there before it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret_vault.errors import (
    FormatError,
    OwnerKeyChangedError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    TrustError,
)
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.pae import u64
from coffret_vault.formats.sharing import ACCESS_REQUEST, AccessRequest
from coffret_vault.store.schema import blob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT = 1
_PATIENCE = 30.0
"""Seconds for which another process may hold the file: it does for the time of one writing."""
_TOKEN = 16
_NOBODYS = bytes(16)
"""Before a username: longer than any account's id, so no card has it, and each is another one."""
_TABLES = """
CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL, app BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    id BLOB PRIMARY KEY, request BLOB NOT NULL, card BLOB NOT NULL, card_signature BLOB NOT NULL,
    token BLOB
);
CREATE TABLE IF NOT EXISTS owners (
    username TEXT PRIMARY KEY, account BLOB NOT NULL UNIQUE, keys BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads (
    username TEXT NOT NULL, account BLOB NOT NULL, size BLOB NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (username, account)
) WITHOUT ROWID;
"""
_BEGIN = "INSERT INTO about SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM about)"
_KEEP = "INSERT OR REPLACE INTO requests (id, request, card, card_signature) VALUES (?, ?, ?, ?)"
_KEEP_HEAD = (
    "INSERT INTO heads VALUES (?, ?, ?, ?) ON CONFLICT (username, account) DO UPDATE"
    " SET size = excluded.size, note = excluded.note WHERE excluded.size > heads.size"
)
_SETTINGS = ("trusted_schema=OFF", "synchronous=FULL", "fullfsync=ON")
ASK_FOR_WORDS = "Ask the owner for the words that their vault shows."
_BORROWED = "the server shows as this owner's the account of another one, whom this app knows"
_DAMAGED = "what this app knows of owners cannot be read"
_RESTORE = "It is in the file .owners beside the one with the app's keys: restore both from a copy."
_NOT_USED = "what this app knows of owners cannot be used: it is held, or cannot be written"


class Asked(msgspec.Struct, frozen=True):
    """A request this app made, and the owner's card that it made it to."""

    request: bytes
    card: bytes
    card_signature: bytes

    def parse(self) -> AccessRequest:
        """The request."""
        return ACCESS_REQUEST.parse(self.request)

    @property
    def id(self) -> str:
        """The request's id, as paths have it."""
        return id_text(self.parse().request_id)


class Met(msgspec.Struct, frozen=True):
    """By what an app knows an owner: their account, and the hash over both public keys."""

    account_id: bytes
    keys: bytes


class OwnersFile:
    """What an app knows of owners; other processes of the app may read and write it too.

    Every method raises StoreDamagedError where the file is missing, or is none of this app, and
    StoreError where it cannot be used.
    """

    def __init__(self, app: Path, app_id: bytes) -> None:
        """The file beside an app's; see :meth:`make` and :meth:`check`."""
        self.path = owners_path(app)
        self._app_id = app_id

    def make(self) -> None:
        """Make it where there is none; again is the same. It is on the disk on return."""
        try:
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            raise StoreError(_NOT_USED) from None
        with self._connected() as database:
            database.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
            database.execute(_BEGIN, (_FORMAT, self._app_id))
        self.check()

    def check(self) -> None:
        """See that it is there, and this app's."""
        with self._reading():
            pass

    def asked(self, request_id: str) -> Asked | None:
        """What was asked; None if this app made no such request."""
        query = "SELECT request, card, card_signature FROM requests WHERE id = ?"
        with self._reading() as database:
            found = database.execute(query, (_id(request_id),)).fetchone()
        return None if found is None else Asked(*map(blob, found))

    def requests(self) -> list[str]:
        """The ids of all requests, oldest first: they begin with a time."""
        with self._reading() as database:
            found = database.execute("SELECT id FROM requests ORDER BY id").fetchall()
        return [id_text(blob(row[0])) for row in found]

    def keep(self, request_id: bytes, asked: Asked) -> None:
        """Remember what was asked: a grant is compared with it when it comes."""
        with self._writing() as database:
            database.execute(_KEEP, (request_id, asked.request, asked.card, asked.card_signature))

    def met(self, username: str) -> Met | None:
        """By what an owner is known; None of one whom this app never met."""
        with self._reading() as database:
            return _met(database, username)

    def meet(
        self, username: str, met: Met, instead_of: Met | None = None, *, sure: bool = False
    ) -> None:
        """Remember by what an owner is known, where it is not something else by now.

        Where that is ``sure``, by the owner's words, it takes the place of any, and the account
        from whoever was met by it before: what an app signs for an account is believed to be for
        its owner, so no other one's card may say that it is of it.

        Raises:
            OwnerKeyChangedError: another process of this app met them by something else meanwhile.
            TrustError: that is the account of an owner whom this app knows by another name.
        """
        others = "SELECT 1 FROM owners WHERE account = ? AND username <> ?"
        place = met.account_id, username
        with self._writing() as database:
            if sure:
                _disown(database, *place)
            elif _met(database, username) not in {instead_of, met}:
                raise OwnerKeyChangedError(hint=ASK_FOR_WORDS)
            elif database.execute(others, place).fetchone():
                raise TrustError(_BORROWED, hint=ASK_FOR_WORDS)
            row = username, met.account_id, met.keys
            database.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?)", row)

    def last_head(self, username: str, account_id: bytes) -> SignedHead | None:
        """The newest head that was seen of an owner's log; None before the first.

        It is the owner's by their name: their card says the account's id, and could say another's.
        """
        query = "SELECT note FROM heads WHERE username = ? AND account = ?"
        with self._reading() as database:
            found = database.execute(query, (username, account_id)).fetchone()
        if found is None:
            return None
        try:
            return parse_head(str(found[0]))
        except FormatError:
            _refuse()

    def keep_head(self, username: str, signed: SignedHead) -> None:
        """Remember a head that was verified, unless one as new is there."""
        account_id, size = signed.head.account_id, signed.head.size
        known = self.last_head(username, account_id)
        if known is None or known.head.size < size:
            # Its size in eight bytes: an owner may sign one that no integer of SQLite's holds.
            row = username, account_id, u64(size), signed.note
            with self._writing() as database:
                database.execute(_KEEP_HEAD, row)

    def forget_head(self, username: str, account_id: bytes) -> None:
        """Forget what was seen of an owner's log; the next head that is shown begins it anew."""
        change = "DELETE FROM heads WHERE username = ? AND account = ?"
        with self._writing() as database:
            database.execute(change, (username, account_id))

    def index_token(self, request_id: str) -> bytes:
        """What stands for keeping a grant's search index, until a process is told to let go of it.

        Nothing, where this app made no such request.
        """
        identifier = _id(request_id)
        with self._reading() as database:
            found = _token_of(database, identifier)
        if found is None:
            made = os.urandom(_TOKEN)
            change = "UPDATE requests SET token = ? WHERE id = ? AND token IS NULL"
            with self._writing() as database:
                database.execute(change, (made, identifier))
                found = _token_of(database, identifier)
        return found or b""

    def is_index_kept(self, request_id: str, token: bytes) -> bool:
        """Whether no process of the app was told to let go of an index since it had this token."""
        with self._reading() as database:
            return _token_of(database, _id(request_id)) == token

    def let_go(self, request_id: str) -> None:
        """Have no process keep the index of a grant, nor one that it is still making."""
        identifier = _id(request_id)
        with self._reading() as database:
            if _token_of(database, identifier) is None:
                return  # who keeps none may ask often how a grant stands
        with self._writing() as database:
            database.execute("UPDATE requests SET token = NULL WHERE id = ?", (identifier,))

    def let_go_of_all(self) -> None:
        """The same of every grant."""
        with self._writing() as database:
            database.execute("UPDATE requests SET token = NULL WHERE token IS NOT NULL")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        where = f"{self.path.absolute().as_uri()}?mode=rw"
        with _mapped(self.path):
            opened = sqlite3.connect(where, uri=True, timeout=_PATIENCE, isolation_level=None)
            with closing(opened) as database:
                for setting in _SETTINGS:
                    database.execute(f"PRAGMA {setting}")
                yield database

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as database:
            self._check(database)
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; what is left by an error is as it was."""
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            self._check(database)
            yield database
            database.execute("COMMIT")

    def _check(self, database: sqlite3.Connection) -> None:
        made, app_id = database.execute("SELECT format, app FROM about").fetchone() or (0, b"")
        if app_id != self._app_id:
            message = "what is beside this app's file is what another app knows of owners"
            raise StoreDamagedError(message, hint=_RESTORE)
        if made != _FORMAT:
            message = "what this app knows of owners was written by a newer Coffret"
            raise StoreError(message, hint="Update this one.")


def owners_path(app: Path) -> Path:
    """Where what an app knows of owners is, beside its own file."""
    return app.with_name(f"{app.name}.owners")


def _met(database: sqlite3.Connection, username: str) -> Met | None:
    query = "SELECT account, keys FROM owners WHERE username = ?"
    found = database.execute(query, (username,)).fetchone()
    return None if found is None else Met(*map(blob, found))


def _disown(database: sqlite3.Connection, account_id: bytes, username: str) -> None:
    """Know nobody else by an account. By which keys they were known stays: those are their pin.

    Else somebody whose own words are right, and a server, could have any keys met first again.
    """
    query = "SELECT username FROM owners WHERE account = ? AND username <> ?"
    for (other,) in database.execute(query, (account_id, username)).fetchall():
        nobodys = _NOBODYS + str(other).encode()
        change = "UPDATE owners SET account = ? WHERE username = ?"
        database.execute(change, (nobodys, other))


def _token_of(database: sqlite3.Connection, identifier: bytes) -> bytes | None:
    query = "SELECT token FROM requests WHERE id = ?"
    found = database.execute(query, (identifier,)).fetchone()
    return None if found is None or found[0] is None else blob(found[0])


def _id(text: str) -> bytes:
    """An id as it is kept; of a text that is none, one that nothing has."""
    try:
        return parse_id(text)
    except FormatError:
        return b""


def _refuse() -> NoReturn:
    raise StoreDamagedError(_DAMAGED, hint=_RESTORE) from None


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:  # in a folder that lets nobody look, or by no name that a file has
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn what SQLite says into our errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise StoreFullError from None
        missing = name.startswith("SQLITE_CANTOPEN") and _is_missing(path)
        if missing or name in {"SQLITE_CORRUPT", "SQLITE_ERROR"}:
            _refuse()
        raise StoreError(_NOT_USED) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        _refuse()
