"""An app that is ended: what it asked for is cancelled, a little at a time.

It may have asked as many owners as there are. No step keeps other writers waiting; one that was
the last before a crash is followed by the next when its developer ends the app again.
"""

from typing import Final

from coffret_server.storage import Storage, Tx

AT_ONCE: Final = 50
"""Requests, or what is left of deleted accounts, that one step takes: a request may have 64 KiB."""
_PENDING: Final = (
    "SELECT account_id, request_id FROM access_requests WHERE app_id = ? AND state = 'pending'"
    " ORDER BY account_id, request_id LIMIT ?"
)
_CANCEL: Final = (
    "UPDATE access_requests SET state = 'cancelled', decided = ?"
    " WHERE account_id = ? AND request_id = ?"
)
_BYGONES: Final = "SELECT thing_id FROM bygones WHERE app_id = ? ORDER BY thing_id LIMIT ?"
_FORGET: Final = "DELETE FROM bygones WHERE app_id = ? AND thing_id = ?"


async def is_left(tx: Tx, app: bytes) -> bool:
    """Whether something of an app is to be cancelled or forgotten."""
    return bool(await tx.one(_PENDING, app, 1) or await tx.one(_BYGONES, app, 1))


async def clear(storage: Storage, app: bytes, now: int) -> None:
    """Cancel what an app has pending, and forget what it had of accounts that were deleted."""

    async def job(tx: Tx) -> bool:
        pending = await tx.all(_PENDING + tx.for_update, app, AT_ONCE)
        await tx.many(_CANCEL, [(now, row[0], row[1]) for row in pending])
        bygone = await tx.all(_BYGONES, app, AT_ONCE)
        await tx.many(_FORGET, [(app, row[0]) for row in bygone])
        return bool(pending or bygone)

    while await storage.submit(job):
        pass
