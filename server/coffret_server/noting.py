"""What is noted beside a call, for people to look at: when a session or a key was used, or a grant.

Whoever reads needs no database that takes changes. While a disk is full, or a long change holds
what would be written to, such a note is left out, and written with a later call.
"""

import asyncio
from typing import Final

from coffret_server.storage.base import Job, Storage
from coffret_server.storage.trouble import reason

PATIENCE: Final = 1.0
"""Seconds for which a call waits for those who write: longer than a disk takes."""


async def note(storage: Storage, job: Job[None]) -> None:
    """Write a note, unless the database cannot take it now."""
    try:
        async with asyncio.timeout(PATIENCE):
            await storage.submit(job)
    except Exception as error:
        if not reason(error):
            raise
