"""A device that is killed: at any statement to its store, at any request, before it or after it.

What `kill -9` leaves of a device is what is in its files at that moment. So the files are copied
then, an exception that nobody catches ends what was going on, and the copy is the device from there
on. Whatever the program that was killed does to its own files on its way out does not count.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec

from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.store.database import Database
from harness.network import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

_WRITES = re.compile(r"BEGIN|COMMIT|INSERT|UPDATE|DELETE|REPLACE")
_AUTOCOMMITTED = re.compile(r"COMMIT|INSERT|UPDATE|DELETE|REPLACE")


@contextmanager
def nothing_put_back() -> Iterator[None]:
    """Processes end within as when they are killed: the store that one just made stays there.

    It is closed, as the system closes the files of a process.
    """
    with patch("coffret.opening.discard", lambda state: state.store.close()):
        yield


class KilledError(BaseException):
    """The device was killed here."""


class Stops(Gate):
    """A device's network, and the moments at which the device can be killed."""

    def __init__(self) -> None:
        """Nobody is killed until told so."""
        super().__init__()
        self.heads: dict[tuple[bytes, int], set[str]] = {}
        """Every head that was sent, by the hint of its key and the size it is over."""
        self.passed = 0
        """The moments since the last `watching`."""
        self._left = -1
        self._from: Path | None = None
        self._to: Path | None = None
        self._dead = False

    @contextmanager
    def watching(self, folder: Path, left: int, image: Path) -> Iterator[None]:
        """Kill the device in ``folder`` after ``left`` moments; ``image`` becomes what it leaves.

        Raises:
            KilledError: it was killed; without it, there were not so many moments.
        """
        self.passed, self._left, self._from, self._to = 0, left, folder, image
        execute, executemany = Database.execute, Database.executemany

        def one(database: Database, sql: str, *values: Any) -> Any:
            return self._around(sql, database, lambda: execute(database, sql, *values))

        def many(database: Database, sql: str, *values: Any) -> Any:
            return self._around(sql, database, lambda: executemany(database, sql, *values))

        try:
            with (
                patch.object(Database, "execute", one),
                patch.object(Database, "executemany", many),
            ):
                yield
        finally:
            self._left, self._dead = -1, False

    def _around(self, sql: str, database: Database, do: Any) -> Any:
        if not _WRITES.match(sql):
            return do()
        self.moment()
        done = do()
        if _AUTOCOMMITTED.match(sql) and not database.in_transaction:
            self.moment()
        return done

    def moment(self) -> None:
        """The device may be killed here; once it was, it does nothing any more."""
        if self._dead:
            raise KilledError
        self.passed += 1
        if self._left == 0 and self._from is not None and self._to is not None:
            self._dead = True
            shutil.copytree(self._from, self._to, ignore=shutil.ignore_patterns("*-shm"))
            raise KilledError
        self._left -= self._left > 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, if the device lives to; and read the answer, if it lives to.

        Killed in between, what it sent never arrives.
        """
        self.moment()
        self._keep_head(request)
        self.moment()
        response = super().handle_request(request)
        self.moment()
        return response

    def _keep_head(self, request: httpx.Request) -> None:
        for note in sorted(set(_heads(request))):
            found = parse_head(note)
            self.heads.setdefault((found.key_id, found.head.size), set()).add(note)

    def forks(self) -> list[tuple[bytes, int]]:
        """Where two heads that were sent are over logs of one size."""
        return [place for place, notes in self.heads.items() if len(notes) > 1]


def _heads(request: httpx.Request) -> list[str]:
    content = request.read()
    if request.method == "GET" or not content:
        return []
    packed = "msgpack" in request.headers.get("content-type", "")
    body = (msgspec.msgpack.decode if packed else json.loads)(content)
    found = [body.get("head"), (body.get("append") or {}).get("head")]
    return [note for note in found if isinstance(note, str)]
