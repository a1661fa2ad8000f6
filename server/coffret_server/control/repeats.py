"""Idempotency keys: the first answer again, for 24 hours.

What a call shows once, a key, is not kept with its answer: it is derived from the server's own key
and the caller's idempotency key, of which only a hash is kept, and so derived again for a
repetition. A repetition that comes while the first call is under way waits for it: the row is there
from the beginning, and both databases let nobody else put it there until that transaction ends.
"""

from hashlib import sha256
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import Depends, Header
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from coffret_server import tokens
from coffret_server.control.web import services_of
from coffret_server.problems import malformed, refuse
from coffret_server.purging import purge
from coffret_server.services import Services
from coffret_server.storage import session_tx

DAY: Final = 86_400_000_000
_BEGIN: Final = (
    "INSERT INTO idempotency (caller, key_hash, body_hash, answer, created)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (caller, key_hash) DO UPDATE"
    " SET body_hash = excluded.body_hash, created = excluded.created"
    " WHERE idempotency.created < ? RETURNING 1"
)
_FIND: Final = "SELECT body_hash, answer FROM idempotency WHERE caller = ? AND key_hash = ?"
_ANSWER: Final = "UPDATE idempotency SET answer = ? WHERE caller = ? AND key_hash = ?"


class Repeat:
    """One call's idempotency key, if it has one.

    Usage: `found = await repeat.earlier(session, caller)` first; if it is None do the work, and
    `await repeat.keep(…)` in the same transaction.
    """

    def __init__(self, services: Services, key: UUID | None, body: bytes, path: str) -> None:
        self._services = services
        self._key = key.bytes if key else None
        self._body = sha256(path.encode() + b"\0" + body).digest()

    def secret(self, purpose: str) -> bytes:
        """The secret that this call makes: random, or derived so that a repetition gives it."""
        if self._key is None:
            return tokens.new_secret()
        return tokens.derived_secret(
            self._services.secrets.nonce_key, b"secret", purpose.encode(), self._key, self._body
        )

    def _hash(self) -> bytes:
        return sha256(b"idempotency\0" + (self._key or b"")).digest()

    async def earlier(self, session: AsyncSession, caller: bytes) -> dict[str, Any] | None:
        """The first answer to this key.

        Raises:
            ProblemError: `idempotency-mismatch` if the key came with another body.
        """
        if self._key is None:
            return None
        tx, now = await session_tx(session), self._services.clock()
        mine = caller, self._hash()
        if await tx.one(_BEGIN, *mine, self._body, b"", now, now - DAY) is not None:
            return None
        row = await tx.one(_FIND, *mine)
        if row is None or row[0] != self._body:
            refuse("idempotency-mismatch", "the key was used for another request")
        found: dict[str, Any] = msgspec.msgpack.decode(row[1])
        return found

    async def keep(self, session: AsyncSession, caller: bytes, answer: dict[str, Any]) -> None:
        """Keep the first answer, last of all that the call does; it must hold no secret."""
        if self._key is not None:
            tx = await session_tx(session)
            await tx.run(_ANSWER, msgspec.msgpack.encode(answer), caller, self._hash())
            await purge(tx, "idempotency", self._services.clock() - DAY)


async def _repeat(
    request: Request, idempotency_key: Annotated[str | None, Header()] = None
) -> Repeat:
    key = None
    if idempotency_key is not None:
        try:
            key = UUID(idempotency_key)
        except ValueError:
            detail = "Idempotency-Key is not a UUID"
            raise malformed(detail) from None
    return Repeat(services_of(request), key, await request.body(), request.url.path)


CurrentRepeat = Annotated[Repeat, Depends(_repeat)]
