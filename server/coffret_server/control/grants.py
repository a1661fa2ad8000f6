"""Grants: listing them, and changing their state."""

from hashlib import sha256
from typing import Final, Literal
from uuid import UUID

from fastapi import Query
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import bygone
from coffret_server import grants as rules
from coffret_server.append import Expected, apply
from coffret_server.control import paging
from coffret_server.control.web import (
    Answer,
    AppendBody,
    Body,
    CurrentCaller,
    CurrentOwner,
    CurrentServices,
    PathId,
    answer,
    prepared,
    router,
    uuid,
)
from coffret_server.principals import AppCaller, Owner
from coffret_server.problems import refuse
from coffret_server.rows import check_session, load_state
from coffret_server.schema import AccessRequest, App, Grant, GrantWrap
from coffret_server.storage import session_tx

grants = router("grants")
COUNTED: Final = 100_000
"""Memories that the grants of one page have together, but for the last: each is counted."""
_ENTRY_OF = {"active": "resume", "paused": "pause", "revoked": "revoke"}
_FROM = {
    "active": {rules.PAUSED},
    "paused": {rules.ACTIVE},
    "revoked": {rules.ACTIVATING, rules.ACTIVE, rules.PAUSED, rules.ENDED},
}


class StateBody(Body):
    """A new state, with its log entry."""

    state: Literal["active", "paused", "revoked"]
    append: AppendBody


class StateAnswer(Answer):
    """Where a grant stands."""

    state: str


class GrantAnswer(StateAnswer):
    """A grant; what only the owner sees is absent for the app."""

    grant_id: UUID
    app_id: UUID
    account_id: UUID
    request_id: UUID
    grant: str
    sealed_key: str
    signature: str
    created: int
    expires: int
    memories: int
    last_read: int | None
    wraps_changed: int | None = None
    owner_wrap: str | None = None
    generation: int | None = None
    request: str | None = None
    request_signature: str | None = None
    manifest: str | None = None
    manifest_signature: str | None = None


async def _shown(
    session: AsyncSession, row: Grant, caller: Owner | AppCaller, now: int
) -> tuple[int, dict[str, object]]:
    """How many memories a grant has the keys of, and all that is said of it."""
    held = GrantWrap.account_id == row.account_id, GrantWrap.grant_id == row.grant_id
    # A grant has one wrap of a memory: to tell them apart again would take a table of them all.
    count = select(func.count()).select_from(GrantWrap).where(*held)
    memories = await session.scalar(count) or 0
    found = {
        "grant_id": uuid(row.grant_id),
        "app_id": uuid(row.app_id),
        "account_id": uuid(row.account_id),
        "request_id": uuid(row.request_id),
        "state": rules.state_at(row.state, row.expires, now),
        "grant": row.grant,
        "sealed_key": row.sealed_key,
        "signature": row.signature,
        "created": row.created,
        "expires": row.expires,
        "memories": memories,
        "last_read": row.last_read,
    }
    if isinstance(caller, Owner):
        changed = await session.scalar(select(func.max(GrantWrap.changed)).where(*held))
        found["wraps_changed"] = -1 if changed is None else changed
        found |= await _for_owner(session, row)
    return memories, found


async def _for_owner(session: AsyncSession, row: Grant) -> dict[str, object]:
    request = await session.get_one(AccessRequest, (row.account_id, row.request_id))
    app = await session.get_one(App, row.app_id)
    return {
        "owner_wrap": row.owner_wrap,
        "generation": row.generation,
        "request": request.request,
        "request_signature": request.signature,
        "manifest": app.manifest,
        "manifest_signature": app.signature,
    }


@grants.get("/grants", response_model=list[GrantAnswer])
async def list_grants(
    caller: CurrentCaller,
    services: CurrentServices,
    limit: int = Query(default=500, ge=1, le=500),
    cursor: paging.Cursor = None,
) -> Response:
    """The grants of an owner, or of an app, newest first."""
    now = services.clock()
    keys = Grant.created, Grant.grant_id
    order = [key.desc() for key in keys]
    size = func.length(Grant.grant) + func.length(AccessRequest.request)
    same = AccessRequest.request_id == Grant.request_id
    chosen = select(*keys, size).join(AccessRequest, same).where(bygone.of(caller, Grant))
    if cursor is not None:
        chosen = chosen.where(paging.behind(keys, paging.place_of(cursor)))
    async with services.storage.read() as session:
        places = (await session.execute(chosen.order_by(*order).limit(limit + 1))).all()
        page = places[: paging.fitting([row[2] for row in places], limit)]
        rows = await session.scalars(
            select(Grant).where(Grant.grant_id.in_([row[1] for row in page])).order_by(*order)
        )
        found, counted = [], 0
        for row in rows.all():
            memories, shown = await _shown(session, row, caller, now)
            found.append(shown)
            counted += memories
            if counted > COUNTED:
                break
    if len(found) == len(places):
        return answer(found)
    return paging.continued(answer(found), (0, *places[len(found) - 1][:2]), limit=limit)


@grants.get("/grants/{id}", response_model=GrantAnswer)
async def read_grant(
    grant_id: PathId, caller: CurrentCaller, services: CurrentServices
) -> Response:
    """One grant."""
    async with services.storage.read() as session:
        row = await session.scalar(
            select(Grant).where(Grant.grant_id == grant_id, bygone.of(caller, Grant))
        )
        if row is None:
            await bygone.refuse_shown(session, grant_id, caller, "grant")
        _, found = await _shown(session, row, caller, services.clock())
    return answer(found)


async def _own(session: AsyncSession, grant_id: bytes, owner: Owner) -> Grant:
    row = await session.get(Grant, (owner.account, grant_id), with_for_update=True)
    if row is None:
        refuse("not-found", "there is no such grant")
    return row


@grants.post("/grants/{id}/activate", response_model=StateAnswer)
async def activate(grant_id: PathId, owner: CurrentOwner, services: CurrentServices) -> Response:
    """Put a grant in force, when its wraps are uploaded."""
    async with services.storage.write() as session:
        row = await _own(session, grant_id, owner)
        await check_session(await session_tx(session), owner.account, owner.session)
        state = rules.state_at(row.state, row.expires, services.clock())
        if state not in {rules.ACTIVATING, rules.ACTIVE}:
            refuse("conflict", "the grant is not being set up")
        row.state = rules.ACTIVE
    return answer({"state": rules.ACTIVE})


@grants.post("/grants/{id}/state", response_model=StateAnswer)
async def change_state(
    grant_id: PathId, body: StateBody, owner: CurrentOwner, services: CurrentServices
) -> Response:
    """Pause, resume or revoke a grant. It is in force when this answers."""
    ready = prepared(body.append, owner)
    now = services.clock()
    async with services.storage.write() as session:
        tx = await session_tx(session)
        await load_state(tx, owner.account, owner.session)  # first, as key changes do
        row = await _own(session, grant_id, owner)
        digest = sha256(row.grant).digest()
        expected = Expected(_ENTRY_OF[body.state], grant_id, row.changes + 1, digest)
        if row.state == body.state and await _repeats(session, ready.account, ready.text):
            return answer({"state": body.state})
        state = rules.state_at(row.state, row.expires, now)
        if state not in _FROM[body.state]:
            rules.refuse_unready(state)
            refuse("conflict", "the grant cannot go from its state to that one")
        await apply(tx, ready, [expected], now=now, session=owner.session)
        row.state, row.changes = body.state, row.changes + 1
    return answer({"state": body.state})


async def _repeats(session: AsyncSession, account: bytes, head: str) -> bool:
    """Whether this very head was the last that was accepted."""
    tx = await session_tx(session)
    row = await tx.one("SELECT head FROM logs WHERE account_id = ?", account)
    return row is not None and row[0] == head
