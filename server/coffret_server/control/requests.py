"""Access requests: an app asks, the owner decides, and silence never approves."""

from hashlib import sha256
from typing import Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import bygone
from coffret_server import grants as rules
from coffret_server.append import Expected, apply
from coffret_server.control import listed, paging
from coffret_server.control.asking import (
    LAPSE,
    LARGEST,
    OPEN_LIMIT,
    check_stands,
    place,
    state_of,
)
from coffret_server.control.repeats import CurrentRepeat
from coffret_server.control.web import (
    Answer,
    AppendBody,
    Body,
    Bytes,
    CurrentApp,
    CurrentCaller,
    CurrentOwner,
    CurrentServices,
    PathId,
    answer,
    maybe_uuid,
    nothing,
    prepared,
    router,
    uuid,
)
from coffret_server.principals import AppCaller, Owner
from coffret_server.problems import refuse
from coffret_server.rows import check_session, load_state, wait_briefly
from coffret_server.schema import AccessRequest, Account, App, Grant
from coffret_server.services import Services
from coffret_server.storage import session_tx
from coffret_server.wire import apps as wire
from coffret_server.wire import pae
from coffret_server.wire.records import check_wrap

requests = router("access requests")
SKEW = 300_000_000  # µs
State = Literal["pending", "approved", "denied", "cancelled", "lapsed", "superseded"]


class RequestBody(Body):
    """A signed access request."""

    request: Bytes
    signature: Bytes


class RequestedAnswer(Answer):
    """Where a request stands."""

    request_id: UUID
    state: State


class RequestAnswer(RequestedAnswer):
    """A request, with all that is needed to judge it."""

    app_id: UUID
    account_id: UUID
    request: str
    signature: str
    manifest: str
    manifest_signature: str
    grant_id: UUID | None
    created: int
    decided: int | None


class GrantBody(Body):
    """A signed grant."""

    grant: Bytes
    sealed_key: Bytes
    signature: Bytes
    owner_wrap: Bytes
    generation: int = Field(ge=1, lt=1 << 63)


class DecisionBody(Body):
    """The owner's decision."""

    decision: Literal["approve", "deny"]
    grant: GrantBody | None = None
    append: AppendBody | None = None


class DecidedAnswer(Answer):
    """What a decision came to."""

    state: State
    grant_id: UUID | None


class CredentialsAnswer(Answer):
    """What an approved app needs."""

    grant: str
    sealed_key: str
    signature: str
    account_card: str
    card_signature: str
    grant_id: UUID
    state: str


@requests.post("/access-requests", status_code=201, response_model=RequestedAnswer)
async def create(
    body: RequestBody,
    app: CurrentApp,
    services: CurrentServices,
    repeat: CurrentRepeat,
    request: Request,
) -> Response:
    """Ask an owner for access; an earlier pending request of the app to them is superseded."""
    _check_may_ask(app)
    if len(body.request) > LARGEST:
        refuse("too-large", "a request has 64 KiB at most: ask by tags, types, time or everything")
    asked = wire.parse_request(body.request)
    pae.check_assigned(asked.texts, "a request")
    app.holder.verify_kind("access-request", body.signature, body.request)
    now = services.clock()
    if (asked.app, asked.manifest_digest) != (app.app_id, app.manifest_digest):
        refuse("invalid-input", "the request is not of this app and its manifest")
    if not now - LAPSE < asked.created < now + SKEW:
        refuse("wrong-clock", "the request's time is far from the server's")
    turn = request.app.state.limits.turns.at("requests of", asked.account.bytes, app.key)
    try:
        async with turn, services.storage.write() as session:
            await wait_briefly(await session_tx(session))
            # First, as it may be waited for: whoever holds an API key keeps it from being ended.
            held = {"key_share": True}  # no login is kept out by it
            account = await session.get(Account, asked.account.bytes, with_for_update=held)
            await check_stands(session, app)
            if await repeat.earlier(session, app.app) is None:
                sent = body.request, body.signature
                await place(session, account, asked, sent, now, services.settings.request_rate)
                await repeat.keep(session, app.app, {"request_id": str(asked.request)})
    except IntegrityError:
        refuse("conflict", "a request of that id exists")
    return answer({"request_id": asked.request, "state": "pending"}, 201)


def _check_may_ask(app: AppCaller) -> None:
    if "request" not in app.scopes:
        refuse("forbidden", "the API key is not good for requests")


def _shown(row: AccessRequest, app: App, now: int) -> dict[str, object]:
    return {
        "request_id": uuid(row.request_id),
        "app_id": uuid(row.app_id),
        "account_id": uuid(row.account_id),
        "state": state_of(row, now),
        "request": row.request,
        "signature": row.signature,
        "manifest": app.manifest,
        "manifest_signature": app.signature,
        "grant_id": maybe_uuid(row.grant_id),
        "created": row.created,
        "decided": row.decided,
    }


@requests.get("/access-requests", response_model=list[RequestAnswer])
async def list_requests(
    caller: CurrentCaller,
    services: CurrentServices,
    state: State | None = None,
    limit: int = Query(default=OPEN_LIMIT, ge=1, le=OPEN_LIMIT),
    cursor: paging.Cursor = None,
) -> Response:
    """The requests of an app, or those to an owner: what is open first, then the newest."""
    now = services.clock()
    after = None if cursor is None else paging.place_of(cursor)
    same = App.app_id == AccessRequest.app_id
    async with services.storage.read() as session:
        places = await listed.places(session, caller, state, after, limit, now)
        page = places[: paging.fitting(await listed.sizes(session, places), limit)]
        these = AccessRequest.request_id.in_([place[2] for place in page])
        rows = await session.execute(select(AccessRequest, App).join(App, same).where(these))
        whole = {row[0].request_id: _shown(*row, now) for row in rows}
    found = answer([whole[place[2]] for place in page])
    if len(page) == len(places):
        return found
    return paging.continued(found, page[-1], state=state, limit=limit)


@requests.get("/access-requests/{id}", response_model=RequestAnswer)
async def read_request(
    request_id: PathId, caller: CurrentCaller, services: CurrentServices
) -> Response:
    """One request."""
    async with services.storage.read() as session:
        row = await _find(session, request_id, caller)
        app = await session.get_one(App, row.app_id)
    return answer(_shown(row, app, services.clock()))


async def _find(
    session: AsyncSession, request_id: bytes, caller: Owner | AppCaller, *, lock: bool = False
) -> AccessRequest:
    chosen = select(AccessRequest).where(
        AccessRequest.request_id == request_id, bygone.of(caller, AccessRequest)
    )
    row = await session.scalar(chosen.with_for_update() if lock else chosen)
    if row is None:
        await bygone.refuse_shown(session, request_id, caller, "request")
    return row


def _check_pending(row: AccessRequest, now: int) -> None:
    if state_of(row, now) != "pending":
        refuse("request-final", "the request is decided, cancelled or lapsed")


@requests.post("/access-requests/{id}/cancel", status_code=204)
async def cancel(request_id: PathId, app: CurrentApp, services: CurrentServices) -> Response:
    """Take a request back."""
    _check_may_ask(app)
    async with services.storage.write() as session:
        await wait_briefly(await session_tx(session))
        row = await _find(session, request_id, app, lock=True)
        await check_stands(session, app)  # for that row it may have waited
        _check_pending(row, services.clock())
        row.state, row.decided = "cancelled", services.clock()
    return nothing()


@requests.post("/access-requests/{id}/decision", response_model=DecidedAnswer)
async def decide(
    request_id: PathId, body: DecisionBody, owner: CurrentOwner, services: CurrentServices
) -> Response:
    """Deny, or approve with a signed grant that can only narrow what was asked."""
    if body.decision == "deny":
        if body.grant is not None or body.append is not None:
            refuse("invalid-input", "a denial has no grant and no append")
        return await _deny(request_id, owner, services)
    if body.grant is None or body.append is None:
        refuse("invalid-input", "an approval has a grant and an append")
    return await _approve(request_id, body.grant, body.append, owner, services)


async def _deny(request_id: bytes, owner: Owner, services: Services) -> Response:
    now = services.clock()
    async with services.storage.write() as session:
        row = await _find(session, request_id, owner, lock=True)
        await check_session(await session_tx(session), owner.account, owner.session)
        if row.state != "denied":
            _check_pending(row, now)
            row.state, row.decided = "denied", now
    return answer({"state": "denied", "grant_id": None})


async def _approve(
    request_id: bytes, body: GrantBody, append: AppendBody, owner: Owner, services: Services
) -> Response:
    statement = wire.parse_grant(body.grant)
    pae.read_fixed(body.sealed_key, wire.SEALED_KEY_SIZE)
    check_wrap(body.owner_wrap)
    signed = wire.APPROVAL.build(body.grant, sha256(body.sealed_key).digest())
    owner.vault.verifier.verify_kind("grant", body.signature, signed)
    ready = prepared(append, owner)
    grant_id = statement.grant.bytes
    expected = [Expected("grant", grant_id, 1, sha256(body.grant).digest())]
    now = services.clock()
    try:
        async with services.storage.write() as session:
            tx = await session_tx(session)
            await load_state(tx, owner.account, owner.session)  # first, as key changes do
            row = await _find(session, request_id, owner, lock=True)
            if row.state != "approved" or row.grant_id != grant_id:
                _check_pending(row, now)
                app = await session.get_one(App, row.app_id)
                _check_narrowed(statement, row, app, owner, now)
                await rules.check_number(await session_tx(session), owner.account)
                session.add(_grant_row(body, statement, row, now))
                row.state, row.decided, row.grant_id = "approved", now, grant_id
                tx = await session_tx(session)
                beside = len(body.grant) + len(body.sealed_key) + len(row.request)  # kept for good
                await apply(tx, ready, expected, now=now, session=owner.session, beside=beside)
    except IntegrityError:
        refuse("conflict", "a grant of that id exists")
    return answer({"state": "approved", "grant_id": statement.grant})


def _check_narrowed(
    grant: wire.Grant, row: AccessRequest, app: App, owner: Owner, now: int
) -> None:
    """Refuse a grant for another request or other keys, or one that gives more than was asked."""
    asked = wire.parse_request(row.request)
    if (
        grant.account != owner.account_id
        or grant.app.bytes != row.app_id
        or grant.request_digest != sha256(row.request).digest()
        or grant.owner_keys != asked.owner_keys
        or grant.manifest_digest != app.manifest_digest
    ):
        refuse("invalid-input", "the grant is not for this request, its app and its owner")
    if (
        not set(grant.scopes) <= set(asked.scopes)
        or (grant.standing and not asked.standing)
        or grant.expires > grant.created + asked.seconds * wire.SECOND
        or grant.expires <= grant.created
    ):
        refuse("invalid-input", "a grant can only narrow what was asked")
    if grant.expires <= now or grant.created > now + SKEW:
        refuse("wrong-clock", "the grant's time is far from the server's")


def _grant_row(body: GrantBody, grant: wire.Grant, row: AccessRequest, now: int) -> Grant:
    return Grant(
        account_id=row.account_id,
        grant_id=grant.grant.bytes,
        app_id=row.app_id,
        request_id=row.request_id,
        state="activating",
        scopes=" ".join(grant.scopes),
        grant=body.grant,
        sealed_key=body.sealed_key,
        signature=body.signature,
        owner_wrap=body.owner_wrap,
        generation=body.generation,
        changes=1,
        created=now,
        expires=grant.expires,
        last_read=None,
    )


@requests.get("/access-requests/{id}/credentials", response_model=CredentialsAnswer)
async def credentials(request_id: PathId, app: CurrentApp, services: CurrentServices) -> Response:
    """The grant and its sealed key, once the owner approved."""
    async with services.storage.read() as session:
        row = await _find(session, request_id, app)
        if row.state != "approved" or row.grant_id is None:
            refuse("not-approved", "the request is not approved")
        grant = await session.get_one(Grant, (row.account_id, row.grant_id))
        account = await session.get_one(Account, row.account_id)
        found = {
            "grant": grant.grant,
            "sealed_key": grant.sealed_key,
            "signature": grant.signature,
            "account_card": account.card,
            "card_signature": account.card_signature,
            "grant_id": uuid(grant.grant_id),
            "state": rules.state_at(grant.state, grant.expires, services.clock()),
        }
    return answer(found)
