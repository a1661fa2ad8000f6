"""Developers, their apps, and the apps' API keys."""

import hmac
from hashlib import sha256
from typing import Annotated, Final, Literal
from uuid import UUID, uuid4

from fastapi import Depends, Request
from pydantic import Field
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import ending, gate, tokens
from coffret_server.control.auth import counted, limit_address
from coffret_server.control.repeats import CurrentRepeat, Repeat
from coffret_server.control.web import (
    Answer,
    Body,
    Bytes,
    CurrentCaller,
    CurrentServices,
    PathId,
    answer,
    nothing,
    router,
    services_of,
    uuid,
)
from coffret_server.problems import BEARER, ProblemError, refuse
from coffret_server.schema import ApiKey, App, Developer, Idempotency
from coffret_server.services import Services
from coffret_server.signatures import Verifier
from coffret_server.storage import session_tx
from coffret_server.wire import apps as wire
from coffret_server.wire import pae

developers = router("developers and apps")
KEYS_LIMIT = 20
APPS_LIMIT = 1_000
_NOBODY: Final = b""
"""Whose an app is that was deleted: no developer's id is that."""
_GONE: Final = "what this call made was deleted since: make another with a new Idempotency-Key"
_TEXT: Final = r"^[^\x00]*$"
"""What both databases take as text."""
EVERYTHING: Final = ("create", "delete", "read", "request", "update")
Scope = Literal["create", "delete", "read", "request", "update"]


class DeveloperBody(Body):
    """Who makes apps."""

    name: str = Field(min_length=1, max_length=80, pattern=_TEXT)
    contact: str = Field(min_length=1, max_length=200, pattern=_TEXT)


class DeveloperAnswer(Answer):
    """A developer; the key is shown once."""

    developer_id: UUID
    developer_key: str


class AppBody(Body):
    """A new app."""

    manifest: Bytes
    signature: Bytes


class AppKeyAnswer(Answer):
    """An app's new API key, shown once."""

    app_id: UUID
    api_key: str


class KeyBody(Body):
    """What a further API key is good for, and for how many seconds; for everything, without end."""

    scopes: list[Scope] = Field(default=list(EVERYTHING), min_length=1, max_length=5)
    seconds: int | None = Field(default=None, ge=60, le=10 * 366 * 86_400)


class AppAnswer(Answer):
    """An app's public identity."""

    app_id: UUID
    manifest: str
    signature: str


class NewKeyAnswer(Answer):
    """A further API key, shown once."""

    api_key: str
    key_id: UUID


class KeyAnswer(Answer):
    """An API key, without the key."""

    key_id: UUID
    created: int
    last_used: int | None
    scopes: list[str]
    expires: int | None


async def _developer(request: Request) -> bytes:
    """The developer whose key the request bears."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    key = token if kind.lower() == "bearer" else ""
    services = services_of(request)
    with counted(request, services, tokens.DEVELOPER, key) as proven:
        developer = await _holder_of_key(services, key)
        proven()
        return developer


async def _holder_of_key(services: Services, key: str) -> bytes:
    try:
        given = tokens.read(services.secrets.nonce_key, tokens.DEVELOPER, key)
    except ProblemError:
        raise _unknown_developer() from None
    async with services.storage.read() as session:
        row = await session.get(Developer, given.owner)
    if row is None or not hmac.compare_digest(row.key_hash, given.digest):
        raise _unknown_developer()
    return given.owner


def _unknown_developer() -> ProblemError:
    code = "unauthenticated"
    return ProblemError(code, "a developer's key is needed", authenticate=BEARER)


CurrentDeveloper = Annotated[bytes, Depends(_developer)]


async def _own_app(
    session: AsyncSession, app_id: bytes, developer: bytes, *, lock: bool = False
) -> App:
    app = await session.get(App, app_id, with_for_update=lock)
    if app is None or app.developer_id != developer:
        refuse("not-found", "there is no such app of yours")
    return app


@developers.post("/developers", status_code=201, response_model=DeveloperAnswer)
async def create_developer(
    request: Request, body: DeveloperBody, services: CurrentServices, repeat: CurrentRepeat
) -> Response:
    """Register as a developer."""
    limit_address(request)
    secret = repeat.secret("developer")
    async with services.storage.write() as session:
        found = await repeat.earlier(session, b"developers")
        developer = UUID(found["developer_id"]) if found else uuid4()
        key = tokens.write(services.secrets.nonce_key, tokens.DEVELOPER, developer.bytes, secret)
        if found is None:
            _count_new(request)
            session.add(
                Developer(
                    developer_id=developer.bytes,
                    key_hash=tokens.digest(key),
                    name=body.name,
                    contact=body.contact,
                    created=services.clock(),
                )
            )
            await repeat.keep(session, b"developers", {"developer_id": str(developer)})
        elif await session.get(Developer, developer.bytes) is None:
            refuse("conflict", _GONE)
    return answer({"developer_id": developer, "developer_key": key}, 201)


@developers.post("/apps", status_code=201, response_model=AppKeyAnswer)
async def create_app(
    request: Request,
    body: AppBody,
    developer: CurrentDeveloper,
    services: CurrentServices,
    repeat: CurrentRepeat,
) -> Response:
    """Register an app by its signed manifest, and get its first API key."""
    manifest = wire.parse_manifest(body.manifest)
    pae.check_assigned((manifest.name, manifest.homepage), "a name or a homepage")
    verifier = Verifier(manifest.signing_key)
    verifier.verify_kind("app-manifest", body.signature, body.manifest)
    key = _new_key(services, manifest.app.bytes, repeat)
    app = App(
        app_id=manifest.app.bytes,
        developer_id=developer,
        manifest=body.manifest,
        signature=body.signature,
        signing_key=manifest.signing_key,
        manifest_digest=sha256(body.manifest).digest(),
        created=services.clock(),
    )
    try:
        async with services.storage.write() as session:
            # Held, so that they are not forgotten before they have it, and their apps are counted.
            if not await session.get(Developer, developer, with_for_update=True):
                raise _unknown_developer()
            if await repeat.earlier(session, developer) is None:
                await _check_number(session, developer)
                _count_new(request)
                session.add(app)
                session.add(_key_row(manifest.app.bytes, uuid4(), key, services.clock(), KeyBody()))
                await repeat.keep(session, developer, {"app_id": str(manifest.app)})
            else:
                await _check_kept(session, manifest.app.bytes, key)
    except IntegrityError:
        refuse("conflict", "an app of that id exists")
    return answer({"app_id": manifest.app, "api_key": key}, 201)


def _count_new(request: Request) -> None:
    """Count what is kept for good: however many keys somebody has, what they add in a day ends.

    It is fewer than strangers may ask one owner at once.

    Raises:
        ProblemError: `rate-limited`.
    """
    info = gate.info_of(request.scope)
    info.allowance = request.app.state.limits.registered.take(info.address)


async def _check_number(session: AsyncSession, developer: bytes) -> None:
    have = select(App.app_id).where(App.developer_id == developer).limit(APPS_LIMIT)
    if len((await session.scalars(have)).all()) >= APPS_LIMIT:
        refuse("conflict", "a developer has at most 1,000 apps: delete some first")


async def _check_kept(session: AsyncSession, app: bytes, key: str) -> None:
    """Answer no repetition with a key that was taken back since: it is good for nothing."""
    same = ApiKey.app_id == app, ApiKey.key_hash == tokens.digest(key)
    if await session.scalar(select(ApiKey.key_id).where(*same)) is None:
        refuse("conflict", _GONE)


def _new_key(services: Services, app: bytes, repeat: Repeat) -> str:
    key = services.secrets.nonce_key
    return tokens.write(key, tokens.API_KEY, app, repeat.secret("api-key"))


def _key_row(app: bytes, key_id: UUID, key: str, now: int, limits: KeyBody) -> ApiKey:
    return ApiKey(
        app_id=app,
        key_id=key_id.bytes,
        key_hash=tokens.digest(key),
        created=now,
        last_used=None,
        scopes=" ".join(sorted(set(limits.scopes))),
        expires=None if limits.seconds is None else now + limits.seconds * 1_000_000,
    )


@developers.delete("/developers/me", status_code=204)
async def delete_developer(developer: CurrentDeveloper, services: CurrentServices) -> Response:
    """Forget a developer, whose apps were deleted before."""
    async with services.storage.write() as session:
        await session.get(Developer, developer, with_for_update=True)  # first, as a new app does
        if await session.scalar(select(App.app_id).where(App.developer_id == developer).limit(1)):
            refuse("conflict", "there are apps of yours: delete them first")
        await session.execute(delete(Developer).where(Developer.developer_id == developer))
        await session.execute(delete(Idempotency).where(Idempotency.caller == developer))
    return nothing()


@developers.delete("/apps/{id}", status_code=204)
async def delete_app(
    app_id: PathId, developer: CurrentDeveloper, services: CurrentServices
) -> Response:
    """End an app: its API keys and their tokens, and what it asks for.

    Its manifest stays, for owners to see what they had granted to whom, and so does its id, which
    is given once. Until nothing is left to cancel it is its developer's, who can end it again.
    """
    while True:
        async with services.storage.write() as session:
            app = await _own_app(session, app_id, developer, lock=True)
            gone = await session.scalars(
                delete(ApiKey).where(ApiKey.app_id == app_id).returning(ApiKey.key_id)
            )
            ended = gone.all()
            is_left = await ending.is_left(await session_tx(session), app_id)
            if not is_left:
                app.developer_id = _NOBODY
        for key_id in ended:
            services.principals.forget(key_id)
        if not is_left:
            return nothing()
        await ending.clear(services.storage, app_id, services.clock())


@developers.get("/apps/{id}", response_model=AppAnswer)
async def read_app(app_id: PathId, _: CurrentCaller, services: CurrentServices) -> Response:
    """The public identity of an app."""
    async with services.storage.read() as session:
        app = await session.get(App, app_id)
    if app is None:
        refuse("not-found", "there is no such app")
    found = {"app_id": uuid(app.app_id), "manifest": app.manifest, "signature": app.signature}
    return answer(found)


@developers.post("/apps/{id}/keys", status_code=201, response_model=NewKeyAnswer)
async def create_key(
    app_id: PathId,
    developer: CurrentDeveloper,
    services: CurrentServices,
    repeat: CurrentRepeat,
    body: KeyBody | None = None,
) -> Response:
    """A further API key."""
    key = _new_key(services, app_id, repeat)
    async with services.storage.write() as session:
        await _own_app(session, app_id, developer, lock=True)  # so the keys are counted in turn
        found = await repeat.earlier(session, developer)
        key_id = UUID(found["key_id"]) if found else uuid4()
        if found is None:
            have = await session.scalars(select(ApiKey.key_id).where(ApiKey.app_id == app_id))
            if len(have.all()) >= KEYS_LIMIT:
                refuse("conflict", "an app has at most 20 keys")
            row = _key_row(app_id, key_id, key, services.clock(), body or KeyBody())
            session.add(row)
            await repeat.keep(session, developer, {"key_id": str(key_id)})
        else:
            await _check_kept(session, app_id, key)
    return answer({"api_key": key, "key_id": key_id}, 201)


@developers.get("/apps/{id}/keys", response_model=list[KeyAnswer])
async def list_keys(
    app_id: PathId, developer: CurrentDeveloper, services: CurrentServices
) -> Response:
    """An app's API keys, without the keys."""
    async with services.storage.read() as session:
        await _own_app(session, app_id, developer)
        rows = await session.scalars(
            select(ApiKey).where(ApiKey.app_id == app_id).order_by(ApiKey.created)
        )
        found = [
            {
                "key_id": uuid(row.key_id),
                "created": row.created,
                "last_used": row.last_used,
                "scopes": row.scopes.split(),
                "expires": row.expires,
            }
            for row in rows
        ]
    return answer(found)


@developers.delete("/apps/{id}/keys/{key_id}", status_code=204)
async def delete_key(
    app_id: PathId, key_id: UUID, developer: CurrentDeveloper, services: CurrentServices
) -> Response:
    """Take an API key back, and the tokens that were given for it."""
    async with services.storage.write() as session:
        await _own_app(session, app_id, developer)
        gone = await session.scalar(
            delete(ApiKey)
            .where(ApiKey.app_id == app_id, ApiKey.key_id == key_id.bytes)
            .returning(ApiKey.key_id)
        )
    services.principals.forget(key_id.bytes)
    if gone is None:
        refuse("not-found", "there is no such key")
    return nothing()
