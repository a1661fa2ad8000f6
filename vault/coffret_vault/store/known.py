"""What a device knows of grants, of who holds which key, of settings and of its account, sealed.

docs/spec/2-envelope.md, What a device knows; docs/adr/0028. Whoever can write to a locked device's
folder is not to decide there who gets the keys of what is written later. So a note of this vault's
keys says which rows there are: not one of them can be altered, added, exchanged or taken away.

The rows are many and change one by one, so the note holds the sum (exclusive or) of an HMAC of
each, under a key that is random and in the note alone: a row that comes or goes is one more term.
This is MSet-XOR-Hash (Clarke et al., "Incremental Multiset Hash Functions and Their Application to
Memory Integrity Checking", ASIACRYPT 2003) for sets: tables have keys, so no row is there twice.
Neither the key nor a term nor the sum is ever seen outside: another set fits with chance 2⁻²⁵⁶.

The note also says of which log that is known. Rows of before a revocation, with their own genuine
note, would otherwise stand beside a log in which the revocation is behind this device, and never be
read again. So the log has to go on from there to the owner's newest head, and tell nothing on the
way that would have changed the rows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import (
    FormatError,
    KeysChangedError,
    LockedError,
    StoreAlteredError,
    TrustError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.pae import u64
from coffret_vault.log.tree import Frontier, leaf_hash, parse_frontier
from coffret_vault.primitives.mac import MAC_BYTES, Mac
from coffret_vault.store.database import this_thread
from coffret_vault.store.mark import parse_mark
from coffret_vault.store.notes import open_note, seal_note
from coffret_vault.store.schema import (
    blob,
    data_version,
    kept_value,
    mapped,
    one_moment,
    transaction,
    verify_schema,
    verify_trees,
)
from coffret_vault.store.seals import SYNC, Seal, Sealing, generation_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coffret_vault.keyring import Keyring
    from coffret_vault.store.database import Database

NAME = "known"
LOG = "log"
"""Under this name a store keeps how far its log was verified."""
VALUES = frozenset(("account", "settings"))
"""The names of the values that are known, and not intended or the server's to show again."""

_TABLES = {
    "grants": "SELECT grant_id, body FROM grants",
    "wraps": "SELECT grant_id, memory_id, key_number FROM wraps",
    "values": "SELECT name, value FROM meta WHERE name IN ('account', 'settings')",
}
_TREES = ("grants", "wraps", "meta")
"""What the sum is made from: it is to be what every other query finds as well."""
_FORGET = (
    "DELETE FROM grants",
    "DELETE FROM wraps",
    "DELETE FROM meta WHERE name = 'settings' OR name LIKE 'wraps%'",
)
_TELLING = frozenset(
    (kinds.GRANT, kinds.PAUSE, kinds.RESUME, kinds.REVOKE, kinds.SETTINGS, kinds.ROTATE)
)
"""Entries that change what is known: each is kept together with a new seal."""
_FAR = 512
"""After so many entries that change nothing it is sealed again, so that few are to be looked at."""
_INTEGER = 8
_UNSEALED = (
    "what this device knows of your grants and settings was written by an older Coffret, or by "
    "somebody else; nothing was done by it"
)
_ALTERED = (
    "grants or settings were changed in this device's folder, not by this vault; nothing was done "
    "by them"
)
_encode = msgspec.msgpack.Encoder().encode


class Known(Seal):
    """The seal over what a store knows. Without keys there is none to check, or to make."""

    def __init__(self, database: Database) -> None:
        """Use the store's open database."""
        super().__init__(database, NAME)
        self._sealing: Sealing | None = None
        self._key, self._sum, self._size, self._sealed = b"", 0, 0, b""
        """What the newest seal says, and that seal as it is kept."""
        self._seen = -1
        """The database's version when the rows were last compared with their seal."""
        self._moved = False
        """Whether rows were swapped in a transaction that has not sealed them yet."""
        self._written = False
        """Whether a seal was written here since: it may have been rolled back."""
        self.turn = 0
        """Counts how often other keys came, or all was deleted: what was read is stale then."""
        self._aside = 0
        """The thread that reads all of it again, if one does."""

    @property
    def sealing(self) -> Sealing | None:
        """What seals, while there are keys."""
        return self._sealing

    @property
    def aside(self) -> bool:
        """Whether what is here counts for nothing, because this thread is reading it again."""
        return self._aside != 0 and self._aside == this_thread()

    def hold(self, sealing: Sealing) -> None:
        """Check from now on, with these keys, before anything of it is used."""
        if self._sealing is None or sealing.keyring is not self._sealing.keyring:
            self.let_go()
            self._sealing = sealing
            self.turn += 1

    def let_go(self) -> None:
        """Forget the keys."""
        self._sealing, self._key, self._sum, self._seen = None, b"", 0, -1
        self._moved = self._written = False

    def check(self, version: int | None = None) -> None:
        """See that all that is known was written by this vault; again when others wrote.

        Args:
            version: the database's, if it was just asked for.

        Raises:
            StoreAlteredError: it was not, or there is no seal that could say so.
            StoreDamagedError: rows are hidden from some queries, and not from others.
            KeysChangedError: another process of this device changed the keys.
        """
        if self._sealing is None or self.aside:
            return
        with self._database.turn:  # or it would forget what another thread is about to seal
            self._check(self._sealing, version)

    def _check(self, sealing: Sealing, version: int | None) -> None:
        if self._moved and self._database.in_transaction:
            return  # checked when the first of these changes was made
        if version is None:
            version = data_version(self._database)
        untouched = not self._moved and version == self._seen  # nobody else wrote
        if untouched and (not self._written or self._found() == self._sealed):  # and ours stayed
            self._written = False
            return
        self._moved = self._written = False
        self._seen = -1
        self._read(sealing)
        self._seen = version

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """While it is read again: there are no grants, no keys that they hold, and no settings.

        In this thread only. Whoever asks in another one meanwhile is refused as before.
        """
        self._aside = this_thread()
        try:
            yield
        finally:
            self._aside = 0

    @contextmanager
    def not_aside(self) -> Iterator[None]:
        """While other code is called by who reads it again: to that it is refused, as to others."""
        reading, self._aside = self._aside, 0
        try:
            yield
        finally:
            self._aside = reading

    def begin(self) -> None:
        """A transaction begins: what another one changed and did not come to seal is forgotten."""
        if self._moved:
            self._moved, self._seen = False, -1

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction that seals what it changed."""
        with transaction(self._database):
            self.begin()
            yield
            self.finish()

    def swap(
        self, table: str, gone: Iterable[tuple[object, ...]], come: Iterable[tuple[object, ...]]
    ) -> None:
        """Take rows out of what is known, and others into it, in a transaction of the caller.

        Raises:
            LockedError: it is sealed, and the keys were forgotten meanwhile.
        """
        if self.aside:
            return
        if self._sealing is None:
            if self._found():
                raise LockedError
            return
        self.check()
        self._moved = True
        keyed = Mac(self._key)
        for row in (*gone, *come):
            self._sum ^= _term(keyed, table, row)

    def finish(self, size: int = 0) -> None:
        """Seal what :meth:`swap` changed, at the end of the caller's transaction.

        Args:
            size: of the log after it; 0 where that has not grown.
        """
        if self._sealing is None:
            return
        if not self._moved and self._seen >= 0 and size - self._size >= _FAR:
            self.check()
            self._moved = True
        if self._moved:
            self._write(self._sealing)

    def renew(self, sealing: Sealing | None = None) -> None:
        """Seal all that is here, with a new key, in a transaction of the caller.

        Only for what this device has just made or verified.

        Args:
            sealing: what it is sealed with from now on, after a key change.
        """
        if sealing is not None:
            self.hold(sealing)
        if self._sealing is None:
            return
        self._key = self._sealing.random(MAC_BYTES)
        self._sum = self._total()
        self._write(self._sealing)
        self._seen = data_version(self._database)

    def forget_all(self) -> None:
        """Delete what was set aside, in a transaction of the caller; its account stays."""
        for statement in _FORGET:
            self._database.execute(statement)
        self.turn += 1

    def _read(self, sealing: Sealing) -> None:
        """Compare the rows with the seal, as they stand at one moment."""
        with one_moment(self._database):
            verify_schema(self._database)
            verify_trees(self._database, *_TREES)
            sealed = self._found()
            note = _opened(sealing.keyring, sealed)
            self._key = note[:MAC_BYTES]
            total = self._total()
            known = total.to_bytes(MAC_BYTES, "big") == note[MAC_BYTES : 2 * MAC_BYTES]
            self._size = int.from_bytes(note[2 * MAC_BYTES :][:_INTEGER], "big")
            frontier = parse_frontier(self._size, note[2 * MAC_BYTES + _INTEGER :])
            known = known and self._goes_on(frontier, sealing.owner)
        if not known:
            raise StoreAlteredError(_ALTERED, hint=SYNC)
        self._sum, self._sealed = total, sealed

    def _goes_on(self, frontier: Frontier, owner: bytes) -> bool:
        """Whether the log goes on from there to the owner's head, and tells nothing on the way."""
        with mapped():
            rows = self._database.execute(
                "SELECT leaf FROM leaves WHERE at >= ? ORDER BY at", (frontier.size,)
            ).fetchall()
        leaves = [blob(leaf) for (leaf,) in rows]
        for leaf in leaves:
            frontier.append_hash(leaf_hash(leaf))
        try:
            now = self._log(owner)
            telling = any(parse_leaf(leaf).entry.kind in _TELLING for leaf in leaves)
        except (FormatError, TrustError):
            return False
        same = now.size == frontier.size and now.serialize() == frontier.serialize()
        return same and not telling

    def _log(self, owner: bytes = b"") -> Frontier:
        """The tree over the log as it is here; it is compared with its head for its ``owner``."""
        kept = kept_value(self._database, LOG)
        if not kept:
            return Frontier()
        mark = parse_mark(kept)
        if owner:
            head = verify_head(owner, mark.head)
            if (head.size, head.root) != (mark.frontier.size, mark.frontier.root()):
                raise TrustError
        frontier = mark.frontier.copy()
        for leaf in mark.tail:
            frontier.append_hash(leaf_hash(leaf))
        return frontier

    def _total(self) -> int:
        keyed, total = Mac(self._key), 0
        for table, query in _TABLES.items():
            with mapped():
                for row in self._database.execute(query):
                    total ^= _term(keyed, table, row)
        return total

    def _write(self, sealing: Sealing) -> None:
        log = self._log()
        total = self._sum.to_bytes(MAC_BYTES, "big")
        note = self._key + total + u64(log.size) + log.serialize()
        self._size = log.size
        self._sealed = seal_note(sealing.keyring, NAME, note, random=sealing.random)
        with mapped():
            self._database.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (NAME, self._sealed)
            )
        self._moved, self._written = False, True


def _term(keyed: Mac, table: str, row: tuple[object, ...]) -> int:
    """One row's part of the sum; MessagePack says where each value ends and what it is."""
    return int.from_bytes(keyed(_encode((table, *row))), "big")


def _opened(keyring: Keyring, sealed: bytes) -> bytes:
    """What a seal says: the key, the sum, and the size and the tree of the log."""
    if not sealed:
        raise StoreAlteredError(_UNSEALED, hint=SYNC)
    if generation_of(sealed) > keyring.generation:
        raise KeysChangedError
    try:
        note = open_note(keyring, NAME, sealed)
    except StoreAlteredError:
        raise StoreAlteredError(_ALTERED, hint=SYNC) from None
    if note is None:
        raise StoreAlteredError(_UNSEALED, hint=SYNC)
    return note
