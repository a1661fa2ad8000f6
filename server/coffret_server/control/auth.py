"""Logging in and out."""

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from fastapi import Request
from sqlalchemy import select
from starlette.responses import Response

from coffret_server import challenges, failures, gate, tokens
from coffret_server.control.credentials import LoginBody, is_right
from coffret_server.control.web import (
    Answer,
    Body,
    CurrentOwner,
    CurrentServices,
    PathId,
    answer,
    nothing,
    router,
    uuid,
)
from coffret_server.data.call import shown
from coffret_server.limits import network
from coffret_server.noting import note
from coffret_server.principals import Owner
from coffret_server.problems import ProblemError, refuse
from coffret_server.proofs import STALE, thumbprint
from coffret_server.purging import purge
from coffret_server.rows import check_session
from coffret_server.schema import ApiKey, App, Session
from coffret_server.services import Services
from coffret_server.signatures import Verifier
from coffret_server.storage import Tx
from coffret_server.wire.identity import check_username, parse_keyslot

auth = router("auth")


class ChallengeBody(Body):
    """Who wants to log in, and with what."""

    username: str
    kind: Literal["passphrase", "recovery"]


class KdfAnswer(Answer):
    """Parameters of the passphrase's KDF."""

    algorithm: str
    salt: str
    m: int
    t: int
    p: int


class ChallengeAnswer(Answer):
    """What the device signs and derives with."""

    account_id: UUID
    slot_id: UUID
    nonce: str
    kdf: KdfAnswer | None
    expires_at: int


class LoginAnswer(Answer):
    """A session; the token is shown once."""

    session_id: UUID
    token: str
    expires_at: int


class SessionAnswer(Answer):
    """A device that is logged in."""

    session_id: UUID
    created: int
    last_seen: int
    address: str
    current: bool
    session_public_key: str
    name: str | None


class TokenBody(Body):
    """An app's API key."""

    api_key: str


class TokenAnswer(Answer):
    """A short token for an app."""

    access_token: str
    token_type: Literal["DPoP"]
    expires_in: int


_WRONG: Final = "wrong-credentials"
_FIND_USER: Final = (
    "SELECT a.username, a.account_id, k.keyslot FROM ("
    "SELECT * FROM (SELECT username, account_id FROM accounts"
    " WHERE username >= ? ORDER BY username LIMIT 1) b"
    " UNION ALL"
    " SELECT * FROM (SELECT username, account_id FROM accounts ORDER BY username LIMIT 1) c"
    " LIMIT 1) a LEFT JOIN keyslots k ON k.account_id = a.account_id AND k.kind = ?"
    " ORDER BY k.slot_id LIMIT 1"
)
"""The user of a name, or the next one by the alphabet: for a name that nobody has, as many pages
are read, which takes longer than all else that is done with a row. So it is with slots."""
_ADD_SESSION: Final = (
    "INSERT INTO sessions (account_id, session_id, token_hash, session_key, address, network,"
    " created, last_seen, expires, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_USED: Final = "UPDATE api_keys SET last_used = ? WHERE app_id = ? AND key_id = ?"

SESSIONS_LIMIT: Final = 500
"""Of an account, as many as one list has. Whoever logs in is never refused for it."""
_AT_ONCE: Final = 100
_HOLD_SESSION: Final = "SELECT 1 FROM sessions WHERE account_id = ? AND session_id = ?"
_END_SESSION: Final = "DELETE FROM sessions WHERE account_id = ? AND session_id = ?"
_END_UNSEEN: Final = (
    "DELETE FROM sessions WHERE (account_id, session_id) IN (SELECT account_id, session_id"
    " FROM sessions WHERE account_id = ? AND session_id <> ?"
    " ORDER BY last_seen DESC, created DESC, session_id LIMIT ? OFFSET ?)"
)


def limit_address(request: Request) -> None:
    """Count a call by which one could guess credentials or fill the disk."""
    info = gate.info_of(request.scope)
    info.allowance = request.app.state.limits.auth.take(info.address)


@contextmanager
def counted(
    request: Request, services: Services, kind: str, key: str
) -> Iterator[Callable[[], None]]:
    """Count a call with a developer's or an API key, and look at no guess from where many were.

    Guesses are counted by address. A key that this server gave out is counted by itself once its
    holder has shown to be that, by what is given here, and until then by itself at an address:
    whoever has the key and cannot show more uses nothing up for others.

    Raises:
        ProblemError: `rate-limited`.
    """
    info, limits = gate.info_of(request.scope), request.app.state.limits
    ours, digest = tokens.is_marked(services.secrets.nonce_key, kind, key), tokens.digest(key)
    if ours:
        info.allowance = limits.keys.take((digest, network(info.address)))
    else:
        limit_address(request)
    failures = limits.failures(key, info.address, ours=ours)
    failures.check()

    def proven() -> None:
        info.allowance = limits.keys.take(digest)

    try:
        yield proven
    except ProblemError as problem:
        if problem.code in {_WRONG, "unauthenticated"}:
            info.allowance = failures.take()
        elif problem.code == "invalid-proof" and problem.authenticate != STALE:
            info.allowance = limits.failed.take(info.address)
        raise


def _wrong() -> ProblemError:
    return ProblemError(_WRONG, "the username, the secret or the signature is wrong")


@auth.post("/auth/challenge", response_model=ChallengeAnswer)
async def challenge(request: Request, body: ChallengeBody, services: CurrentServices) -> Response:
    """A nonce to sign; for an unknown user an answer that looks the same."""
    limit_address(request)
    name = check_username(body.username)
    row = await services.storage.one(_FIND_USER, name, body.kind)
    key = services.secrets.nonce_key
    account, slot = challenges.fake_slot(key, name, body.kind)
    if row is not None and row[0] == name:  # a kind of slot that they lack is made up like a user's
        account, slot = row[1], row[2] or slot
    parsed = parse_keyslot(slot)
    found = challenges.Challenge(uuid(account), parsed.slot, parsed.kdf)
    nonce, expires = challenges.new_nonce(key, found, services.clock())
    return answer(
        {
            "account_id": found.account,
            "slot_id": found.slot,
            "nonce": nonce,
            "kdf": _kdf(found),
            "expires_at": expires,
        }
    )


def _kdf(found: challenges.Challenge) -> dict[str, Any] | None:
    kdf = found.kdf
    if kdf is None:
        return None
    return {
        "algorithm": "argon2id",
        "salt": kdf.salt,
        "m": kdf.memory,
        "t": kdf.passes,
        "p": kdf.lanes,
    }


@auth.post("/auth/login", response_model=LoginAnswer)
async def login(request: Request, body: LoginBody, services: CurrentServices) -> Response:
    """A session, for a signature over our nonce. Anything wrong gets one and the same answer."""
    limit_address(request)
    now, address = services.clock(), gate.info_of(request.scope).address
    key, most = services.secrets.nonce_key, services.settings.login_failures
    tried = failures.attempt(key, body.account_id, network(address), most)
    await services.storage.query(lambda tx: failures.check(tx, tried, now))
    session_id, expires = uuid4(), now + services.settings.session_seconds * 1_000_000
    token = tokens.write(key, tokens.SESSION, body.account_id, tokens.new_secret(), expires)

    async def job(tx: Tx) -> bool:
        """All in one transaction: of logins at the same time each sees those before it."""
        await failures.count(tx, tried, now)
        if not await is_right(tx, services, body, now):
            await purge(tx, "login_failures", now)
            return False  # and it stays counted
        await failures.take_back(tx, tried)
        found = (body.account_id, session_id.bytes, tokens.digest(token), body.session_public_key)
        await tx.run(_ADD_SESSION, *found, address, tried.network, now, now, expires, body.name)
        await tx.run(_END_UNSEEN, *found[:2], _AT_ONCE, SESSIONS_LIMIT - 1)
        await purge(tx, "sessions", now)
        await purge(tx, "used_nonces", now)
        return True

    if not await services.storage.submit(job):
        raise _wrong()
    return answer({"session_id": session_id, "token": token, "expires_at": expires})


@auth.get("/auth/sessions", response_model=list[SessionAnswer])
async def sessions(owner: CurrentOwner, services: CurrentServices) -> Response:
    """The devices that are logged in."""
    async with services.storage.read() as session:
        rows = await session.scalars(
            select(Session)
            .where(Session.account_id == owner.account, Session.expires > services.clock())
            .order_by(Session.created)
        )
        found = [
            {
                "session_id": uuid(row.session_id),
                "created": row.created,
                "last_seen": row.last_seen,
                "address": row.address,
                "current": row.session_id == owner.session,
                "session_public_key": row.session_key,
                "name": row.name,
            }
            for row in rows
        ]
    return answer(found)


async def _end(services: Services, owner: Owner, session_id: bytes) -> None:
    async def job(tx: Tx) -> bool:
        found = await tx.one(_HOLD_SESSION + tx.for_update, owner.account, session_id)
        await check_session(tx, owner.account, owner.session)  # for that row it may have waited
        await tx.run(_END_SESSION, owner.account, session_id)
        return found is not None

    was_there = await services.storage.submit(job)
    services.principals.forget(session_id)
    if not was_there:
        refuse("not-found", "there is no such session")


@auth.delete("/auth/sessions/{id}", status_code=204)
async def end_session(id_: PathId, owner: CurrentOwner, services: CurrentServices) -> Response:
    """Log a device out."""
    await _end(services, owner, id_)
    return nothing()


@auth.post("/auth/logout", status_code=204)
async def logout(owner: CurrentOwner, services: CurrentServices) -> Response:
    """Log this device out."""
    await _end(services, owner, owner.session)
    return nothing()


@auth.post("/auth/token", response_model=TokenAnswer)
async def app_token(request: Request, body: TokenBody, services: CurrentServices) -> Response:
    """A JWT for an app's API key, for whoever proves to hold the app's registered key."""
    with counted(request, services, tokens.API_KEY, body.api_key) as proven:
        return await _token(request, body, services, proven)


async def _token(
    request: Request, body: TokenBody, services: Services, proven: Callable[[], None]
) -> Response:
    try:
        given = tokens.read(services.secrets.nonce_key, tokens.API_KEY, body.api_key)
    except ProblemError:
        raise _wrong() from None
    app = given.owner
    now = services.clock()
    sent = shown(request.scope, await request.body())
    async with services.storage.read() as session:
        rows = (await session.scalars(select(ApiKey).where(ApiKey.app_id == app))).all()
        found = [row for row in rows if hmac.compare_digest(row.key_hash, given.digest)]
        if not found or (found[0].expires is not None and found[0].expires <= now):
            raise _wrong()
        holder = Verifier((await session.get_one(App, app)).signing_key)
    services.proofs.check(sent, "", holder)
    proven()
    await note(services.storage, lambda tx: tx.run(_USED, now, app, found[0].key_id))
    seconds, issued = services.settings.token_seconds, now // 1_000_000
    if found[0].expires is not None:
        seconds = min(seconds, -(-found[0].expires // 1_000_000) - issued)
    said = tokens.AppToken(
        uuid(app), uuid(found[0].key_id), thumbprint(holder.public_key), issued + seconds
    )
    token = tokens.sign_app_token(services.secrets.jwt_key, said, issued)
    return answer({"access_token": token, "token_type": "DPoP", "expires_in": seconds})
