"""An owner's deletion of their account, as a device makes it, and what is left of the account."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import uuid
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]

from coffret_server.departing import erase_some, next_left
from coffret_server.schema import Base
from server import forge
from server.stand import ORIGIN, Stand

if TYPE_CHECKING:
    import httpx

    from coffret_server.erasing import Eraser
    from coffret_server.services import Services
    from coffret_server.storage import Tx

PATH = "/accounts/me/deletion"


async def asked(stand: Stand, owner: forge.Owner, kind: str = "passphrase") -> dict[str, Any]:
    """A challenge for one of the owner's keyslots."""
    answer = await stand.post("/auth/challenge", {"username": owner.username, "kind": kind})
    found: dict[str, Any] = answer.json()
    return found


def word(owner: forge.Owner, challenge: dict[str, Any], **changed: bytes) -> bytes:
    """What an owner signs."""
    fields = {
        "origin": ORIGIN.encode(),
        "account": owner.account.bytes,
        "slot": uuid.UUID(challenge["slot_id"]).bytes,
        "nonce": base64.b64decode(challenge["nonce"]),
        "card": sha256(owner.card()).digest(),
        "created": forge.u64(1_000),
    }
    return forge.pae("account-deletion", *(fields | changed).values())


def body(owner: forge.Owner, statement: bytes, slot: int = 0) -> dict[str, str]:
    """The call's body."""
    kind = "account-deletion"
    return {
        "deletion": forge.b64(statement),
        "signature": forge.b64(forge.sign(owner.key, kind, statement)),
        "login_signature": forge.b64(forge.sign(owner.slots[slot].key, kind, statement)),
    }


async def leave(stand: Stand, owner: forge.Owner) -> httpx.Response:
    """Delete the account of an owner, as they do."""
    said = body(owner, word(owner, await asked(stand, owner)))
    return await stand.post(PATH, said, owner.token)


async def known(stand: Stand, owner: forge.Owner) -> httpx.Response:
    """What the server says of an account that was deleted."""
    return await stand.get(f"/accounts/{owner.account}/deletion")


async def erased(stand: Stand, owner: forge.Owner) -> None:
    """Wait until nothing of an account is left."""
    async with asyncio.timeout(30):
        while not (await known(stand, owner)).json()["erased"]:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.01)


def eraser(stand: Stand) -> Eraser:
    """What erases at this server."""
    found: Eraser = stand.app.state.services.eraser
    return found


async def step(stand: Stand) -> bool:
    """One step of erasing, where the server itself was kept from it."""
    services: Services = stand.app.state.services

    async def job(tx: Tx) -> bool:
        place = await next_left(tx)
        if place is not None:
            await erase_some(tx, place.account, stand.clock())
        return place is not None

    return await services.storage.submit(job)


async def dump(stand: Stand) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    tables = list(Base.metadata.tables)
    if stand.database.startswith("sqlite:///"):
        with closing(sqlite3.connect(stand.database.removeprefix("sqlite:///"))) as connection:
            return {name: connection.execute(_all(name)).fetchall() for name in tables}
    connection = await asyncpg.connect(stand.database)
    found = {name: [tuple(row) for row in await connection.fetch(_all(name))] for name in tables}
    await connection.close()
    return found


def _all(table: str) -> str:
    return f"SELECT * FROM {table}"  # noqa: S608 - our own tables


def holding(rows: dict[str, list[tuple[Any, ...]]], what: bytes) -> set[str]:
    """The tables in which these bytes stand anywhere."""
    return {name for name, found in rows.items() if any(_has(row, what) for row in found)}


def _has(row: tuple[Any, ...], what: bytes) -> bool:
    values = [value.encode() if isinstance(value, str) else value for value in row]
    return any(what in value for value in values if isinstance(value, bytes))
