"""Where memories stand, sealed for the place in the log at which that is so.

docs/spec/2-envelope.md, Where memories stand; docs/adr/0033. Whoever can write to a locked device's
folder is not to show its owner an older version as the newest one, a proposal as accepted, or a
memory as deleted or as there: not a row of where memories stand can be altered, added, exchanged,
taken away or put back as it once was.

The rows are many and change one by one, so they are summed: an HMAC of each, added up modulo 2²⁵⁶.
This is MSet-Add-Hash (Clarke et al., "Incremental Multiset Hash Functions and Their Application to
Memory Integrity Checking", ASIACRYPT 2003), whose sums cancel for no row that is there twice. There
the sum lies where an enemy sees it, masked anew each time: from sums in the open, differences of
rows could be had, and rows be found whose differences cancel. Here it lies nowhere. It is in memory
only, and what is kept is an HMAC of it together with the log's position, so nothing is learned of
it: another set of rows fits with chance 2⁻²⁵⁶.

Rows of before would fit their own genuine seal. That one names another position of the log, and to
turn back the position too is to turn back the device, as an old copy of its folder does: nothing on
it can tell then, and the next sync finds what the log has more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import KeysChangedError, LockedError, StoreAlteredError
from coffret_vault.formats.pae import u64
from coffret_vault.primitives.mac import MAC_BYTES, Mac
from coffret_vault.primitives.symmetric import same
from coffret_vault.store.known import LOG
from coffret_vault.store.schema import (
    data_version,
    kept_value,
    mapped,
    one_moment,
    verify_schema,
    verify_trees,
)
from coffret_vault.store.seals import GENERATION_BYTES, SYNC, Seal, generation_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coffret_vault.keyring import Keyring
    from coffret_vault.store.database import Database
    from coffret_vault.store.known import Known
    from coffret_vault.store.seals import Sealing

    Row = tuple[bytes, int, int, bytes]

NAME = "states"
_EVERY = "SELECT memory_id, current, pending, state FROM memories"
_ASKED = 500
"""How many memories are asked for in one query."""
_MODULUS = 1 << 8 * MAC_BYTES
_UNSEALED = (
    "where the memories on this device stand was written by an older Coffret, or by somebody else; "
    "nothing was done by it"
)
ALTERED = (
    "memories were changed in this device's folder, not by this vault; nothing was done by them"
)
_encode = msgspec.msgpack.Encoder().encode


class StateSeal(Seal):
    """The seal over where memories stand. Without keys there is none to check, or to make."""

    def __init__(self, database: Database, known: Known) -> None:
        """Use the store's open database, and the keys that seal what else is known."""
        super().__init__(database, NAME)
        self._known = known
        self._keyring: Keyring | None = None
        self._mac: Mac | None = None
        self._sum = self._next = 0
        self._seen = self._seen_next = -1

    @property
    def sealing(self) -> Sealing | None:
        """What seals, while there are keys."""
        return self._known.sealing

    def let_go(self) -> None:
        """Forget the keys."""
        self._keyring, self._mac, self._sum, self._next = None, None, 0, 0
        self._seen = self._seen_next = -1

    def check(self, version: int | None = None) -> None:
        """See that this vault wrote where every memory stands; again when others wrote.

        Raises:
            StoreAlteredError: see :class:`Seal`, as for the other two.
            StoreDamagedError: rows are hidden from some queries, and not from others.
            KeysChangedError: another process of this device changed the keys.
        """
        sealing = self.sealing
        if sealing is None or self._known.aside:
            return
        with self._database.turn:
            if version is None:
                version = data_version(self._database)
            if version == self._seen and sealing.keyring is self._keyring:
                return
            self._seen = -1
            self._compare(sealing.keyring)
            self._seen = version

    @property
    def seen(self) -> int:
        """Differs whenever it was checked anew."""
        return self._seen

    def forget(self) -> None:
        """Delete every row, after :meth:`begin`, because all were read again."""
        self._database.execute("DELETE FROM memories")
        self._next = 0
        if self.sealing is not None:
            self._hold(self.sealing.keyring)

    def begin(self) -> None:
        """Rows are about to change, in a transaction of the caller who has checked."""
        self._next, self._seen_next = self._sum, self._seen

    def swap(self, gone: Sequence[bytes], come: Sequence[Row]) -> None:
        """Take the rows of memories out of the sum, and others into it, in that transaction."""
        keyed = self._mac
        if keyed is None:
            return
        for start in range(0, len(gone), _ASKED):
            part = gone[start : start + _ASKED]
            query = f"{_EVERY} WHERE memory_id IN ({', '.join('?' * len(part))})"
            with mapped():
                self._next -= _total(keyed, self._database.execute(query, part))
        self._next += _total(keyed, come)

    def sealed(self, log: bytes, sealing: Sealing | None = None) -> dict[str, bytes]:
        """The seal over the rows, to be kept in that transaction with the ``log``'s position.

        Args:
            log: how far it was verified, as it is kept.
            sealing: sum all rows anew, by what seals from now on.

        Raises:
            LockedError: they are sealed, and the keys were forgotten meanwhile.
        """
        if sealing is not None:
            keyed = self._hold(sealing.keyring)
            with mapped():
                self._next = _total(keyed, self._database.execute(_EVERY))
        if self._mac is None or self._keyring is None:
            if self.sealing is None and self._found():
                raise LockedError
            return {}
        if self._seen < 0:  # these rows are all that there are, and nobody else writes now
            self._seen_next = data_version(self._database)
        return {NAME: u64(self._keyring.generation) + _tag(self._mac, log, self._next)}

    def settle(self) -> None:
        """That transaction was committed."""
        self._sum, self._seen = self._next, self._seen_next

    def _hold(self, keyring: Keyring) -> Mac:
        """Seal with these keys. Until :meth:`settle`, what was checked is checked again."""
        keyed = Mac(keyring.kek("states").reveal())
        self._mac, self._keyring, self._seen = keyed, keyring, -1
        return keyed

    def _compare(self, keyring: Keyring) -> None:
        """Compare the rows with the seal, as they stand at one moment."""
        with one_moment(self._database):
            verify_schema(self._database)
            verify_trees(self._database, "memories")
            keyed = self._hold(keyring)
            with mapped():
                total = _total(keyed, self._database.execute(_EVERY))
            self._judge(keyed, keyring.generation, total)
        self._sum = total

    def _judge(self, keyed: Mac, newest: int, total: int) -> None:
        found, log = self._found(), kept_value(self._database, LOG) or b""
        generation = generation_of(found)
        if generation > newest:
            raise KeysChangedError
        if not found or generation < newest:
            raise StoreAlteredError(_UNSEALED, hint=SYNC)
        if not same(found[GENERATION_BYTES:], _tag(keyed, log, total)):
            raise StoreAlteredError(ALTERED, hint=SYNC)


def _total(keyed: Mac, rows: Iterable[Sequence[object]]) -> int:
    """The sum over rows; MessagePack says where each value ends and what it is."""
    number, total = int.from_bytes, 0
    for row in rows:
        total += number(keyed(_encode(row)), "big")
    return total


def _tag(keyed: Mac, log: bytes, total: int) -> bytes:
    """What is kept. No row is an array of three."""
    return keyed(_encode((NAME, log, (total % _MODULUS).to_bytes(MAC_BYTES, "big"))))
