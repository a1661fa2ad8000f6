"""Idempotency keys: the first answer again, for 24 hours.

What a call shows once, a key, is not kept with its answer: it is derived from the server's own key
and the caller's idempotency key, of which only a hash is kept, and so derived again for a
repetition.
"""

from hashlib import sha256
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import Depends, Header
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from coffret_server import tokens
from coffret_server.control.web import services_of
from coffret_server.problems import malformed, refuse
from coffret_server.schema import Idempotency
from coffret_server.services import Services

DAY: Final = 86_400_000_000


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
        row = await session.get(Idempotency, (caller, self._hash()))
        if row is None or row.created < self._services.clock() - DAY:
            return None
        if row.body_hash != self._body:
            refuse("idempotency-mismatch", "the key was used for another request")
        found: dict[str, Any] = msgspec.msgpack.decode(row.answer)
        return found

    async def keep(self, session: AsyncSession, caller: bytes, answer: dict[str, Any]) -> None:
        """Keep the first answer; it must hold no secret."""
        if self._key is None:
            return
        now = self._services.clock()
        await session.execute(delete(Idempotency).where(Idempotency.created < now - DAY))
        row = Idempotency(
            caller=caller,
            key_hash=self._hash(),
            body_hash=self._body,
            answer=msgspec.msgpack.encode(answer),
            created=now,
        )
        session.add(row)
        await session.flush()


def of_new_account(account: bytes) -> bytes:
    """The caller that an account is while it is made."""
    return b"new:" + account


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
