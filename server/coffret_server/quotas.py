"""What an account takes up, and what it may: for its operator, who alone can change that."""

from sqlalchemy import select

from coffret_server.schema import Account, Log
from coffret_server.storage.open import check_there, open_storage


class UnknownAccountError(Exception):
    """Nobody has that username."""


async def quota(
    database: str, username: str, *, memories: int | None = None, size: int | None = None
) -> str:
    """Change what an account may have, as far as that is said, and tell how it is then.

    It holds from the next change of the account on, in every process.

    Raises:
        UnknownAccountError: there is no such account.
        DatabaseError: the database cannot be opened.
    """
    check_there(database)
    storage = await open_storage(database)
    try:
        async with storage.write() as session:
            found = await session.scalar(
                select(Log)
                .join(Account, Account.account_id == Log.account_id)
                .where(Account.username == username)
                .with_for_update(of=Log)
            )
            if found is None:
                raise UnknownAccountError
            if memories is not None:
                found.quota_memories = memories
            if size is not None:
                found.quota_bytes = size
            return (
                f"{username}: {found.memories} of {found.quota_memories} memories, "
                f"{found.bytes} of {found.quota_bytes} bytes"
            )
    finally:
        await storage.close()
