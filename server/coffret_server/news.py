"""What of a change is news to the grants that hold its memories."""

from typing import Final

from coffret_server.problems import refuse
from coffret_server.rows import TOUCH_WRAPS
from coffret_server.storage.base import SQLITE_VARIABLES, Tx, marks

WRAPS_LIMIT: Final = 50_000
"""Wraps that one append brings, and those that its versions make news."""


class News:
    """The memories of which grants are shown something new after one transaction."""

    def __init__(self, tx: Tx, account: bytes) -> None:
        self._tx = tx
        self._account = account
        self._since: dict[bytes, int] = {}

    def add(self, memory: bytes, seq: int) -> None:
        """What grants hold of a memory is news: once, however many versions of it there are."""
        self._since[memory] = seq

    async def finish(self) -> None:
        """Write it.

        Raises:
            ProblemError: `too-large`: so many grants hold these memories that all would wait.
        """
        if await self._holders():
            rows = [(seq, self._account, memory) for memory, seq in self._since.items()]
            await self._tx.many(TOUCH_WRAPS, rows)

    async def _holders(self) -> int:
        memories, held = list(self._since), 0
        for start in range(0, len(memories), SQLITE_VARIABLES):
            part = memories[start : start + SQLITE_VARIABLES]
            row = await self._tx.one(
                "SELECT COUNT(*) FROM (SELECT 1 FROM grant_wraps WHERE account_id = ?"  # noqa: S608 - only question marks are put into the text
                f" AND memory_id IN ({marks(part)}) LIMIT ?) AS held",
                self._account,
                *part,
                WRAPS_LIMIT + 1,
            )
            held += int(row[0]) if row else 0
            if held > WRAPS_LIMIT:
                refuse("too-large", "more grants hold these memories than one append may tell")
        return held
