"""The keys of memories that grants hold, and how many more an account has after a change.

Each counts to the bytes of the account's quota: a grant may have one of every memory, and of grants
there may be thousands. Those that go are counted as well, so that what is full becomes free again.
"""

from collections.abc import Iterable
from typing import Final

from coffret_server.rows import DROP_OLDER_WRAPS, DROP_WRAPS, PUT_WRAP
from coffret_server.storage.base import SQLITE_VARIABLES, Row, Tx, Value, marks

SIZE: Final = 250
"""Bytes that one takes up, with its ids and indexes."""
_GRANTS: Final = "SELECT grant_id FROM grants WHERE account_id = ?"
_OF_ACCOUNT: Final = "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ?"
_DROP: Final = "DELETE FROM grant_wraps WHERE account_id = ? AND grant_id = ? AND memory_id = ?"
_DROP_ALL: Final = "DELETE FROM grant_wraps WHERE account_id = ?"
_SHRINK: Final = "UPDATE logs SET bytes = bytes - ? WHERE account_id = ?"
Pair = tuple[bytes, bytes]
"""A grant and a memory: of these there is one wrap."""


class Held:
    """What grants are given, and what is taken from them, in one transaction."""

    def __init__(self, tx: Tx, account: bytes) -> None:
        self._tx = tx
        self._account = account
        self._rows: list[tuple[Value, ...]] = []
        self._again: set[Pair] = set()  # given now, of memories that were there before
        self._first: set[Pair] = set()  # of memories that begin here: nobody holds them
        self._fewer = 0

    def add(self, pair: Pair, key_number: int, wrap: bytes, seq: int, *, is_new: bool) -> None:
        """Give a grant a memory's key, in the place of an older one; `is_new`: the memory is."""
        self._rows.append((self._account, *pair, key_number, wrap, seq))
        (self._first if is_new else self._again).add(pair)

    async def drop(self, pairs: Iterable[Pair]) -> None:
        """Take keys from grants; before any are given.

        Of grants that are none nothing is there: each would be one more question to the database.
        """
        known = {row[0] for row in await self._tx.all(_GRANTS, self._account)}
        dropped = {pair for pair in pairs if pair[0] in known}
        self._fewer += await self._count(dropped)
        await self._tx.many(_DROP, [(self._account, *pair) for pair in dropped])

    async def forget(self, memory: bytes) -> None:
        """Take a memory's keys from all grants."""
        self._fewer += len(await self._tx.all(DROP_WRAPS, self._account, memory))

    async def growth(self) -> int:
        """By how many bytes the account's usage is more, when all of this is written."""
        more = len(self._first) + len(self._again) - await self._count(self._again)
        return SIZE * (more - self._fewer)

    async def finish(self) -> None:
        """Write what is given."""
        older = [row[:4] for row in self._rows if row[3] != 1]
        if older:
            await self._tx.many(DROP_OLDER_WRAPS, older)
        if self._rows:
            await self._tx.many(PUT_WRAP, self._rows)

    async def _count(self, pairs: set[Pair]) -> int:
        """How many of these there are: by grants or by memories, of whichever there are fewer."""
        by_grant: dict[bytes, list[bytes]] = {}
        by_memory: dict[bytes, list[bytes]] = {}
        for grant, memory in pairs:
            by_grant.setdefault(grant, []).append(memory)
            by_memory.setdefault(memory, []).append(grant)
        is_by_grant = len(by_grant) <= len(by_memory)
        count = 0
        for one, others in (by_grant if is_by_grant else by_memory).items():
            for start in range(0, len(others), SQLITE_VARIABLES):
                part = others[start : start + SQLITE_VARIABLES]
                row = await (self._of_grant if is_by_grant else self._of_memory)(one, part)
                count += int(row[0]) if row else 0
        return count

    async def _of_grant(self, grant: bytes, memories: list[bytes]) -> Row | None:
        return await self._tx.one(
            "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ? AND grant_id = ?"  # noqa: S608 - only question marks are put into the text
            f" AND memory_id IN ({marks(memories)})",
            self._account,
            grant,
            *memories,
        )

    async def _of_memory(self, memory: bytes, grants: list[bytes]) -> Row | None:
        return await self._tx.one(
            "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ? AND memory_id = ?"  # noqa: S608 - only question marks are put into the text
            f" AND grant_id IN ({marks(grants)})",
            self._account,
            memory,
            *grants,
        )


async def drop_all(tx: Tx, account: bytes) -> None:
    """Take all keys from all grants of an account, whose log is locked."""
    row = await tx.one(_OF_ACCOUNT, account)
    await tx.run(_DROP_ALL, account)
    await tx.run(_SHRINK, SIZE * int(row[0]) if row else 0, account)
