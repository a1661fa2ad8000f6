"""What waits for an owner's decision, counted for the grant that it was written under.

The bounds are in docs/spec/7-http.md, Grants. An app that is at one is refused; the owner never is.
"""

from typing import Final

from coffret_server.problems import ProblemError
from coffret_server.rows import WAITING_OF_MEMORY, State
from coffret_server.settings import Settings
from coffret_server.storage import Tx

_SHARE: Final = 4
"""No grant may have more waiting than this part of what the account has room for."""
_WAIT: Final = 3_600
_CHANGE: Final = (
    "INSERT INTO waiting (account_id, grant_id, entries, bytes) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (account_id, grant_id) DO UPDATE"
    " SET entries = waiting.entries + excluded.entries, bytes = waiting.bytes + excluded.bytes"
)
_STANDING: Final = "SELECT entries, bytes FROM waiting WHERE account_id = ? AND grant_id = ?"


class Waiting:
    """How what waits under grants changes in one transaction."""

    def __init__(self, tx: Tx, account: bytes) -> None:
        self._tx = tx
        self._account = account
        self._changes: dict[bytes, tuple[int, int]] = {}

    def add(self, grant: bytes | None, record: bytes | None) -> None:
        """One more version, or deletion, waits."""
        self._change(grant, 1, len(record or b""))

    def decided(self, grant: bytes | None, record: bytes | None) -> None:
        """One waits no more."""
        self._change(grant, -1, -len(record or b""))

    async def forget(self, memory: bytes) -> None:
        """What is stored of a memory waits no more: the memory goes."""
        rows = await self._tx.all(WAITING_OF_MEMORY, self._account, memory)
        for grant, count, size in rows:
            self._change(grant, -count, -int(size))

    def _change(self, grant: bytes | None, count: int, size: int) -> None:
        if grant is not None:
            before = self._changes.get(grant, (0, 0))
            self._changes[grant] = before[0] + count, before[1] + size

    async def check(self, grant: bytes, state: State, settings: Settings) -> None:
        """Refuse an app more than may wait under its grant.

        Raises:
            ProblemError: `quota-exceeded`.
        """
        count, size = self._changes.get(grant, (0, 0))
        before = await self._tx.one(_STANDING, self._account, grant) or (0, 0)
        most = min(settings.waiting_entries, max(state.quota_memories // _SHARE, 1))
        most_bytes = min(settings.waiting_bytes, state.quota_bytes // _SHARE)
        if before[0] + count > most or before[1] + size > most_bytes:
            code, detail = "quota-exceeded", "the owner has to decide about what waits already"
            raise ProblemError(code, detail, retry_after=_WAIT)

    async def finish(self) -> None:
        """Write it."""
        rows = [(self._account, grant, *change) for grant, change in self._changes.items()]
        if rows:
            await self._tx.many(_CHANGE, rows)
