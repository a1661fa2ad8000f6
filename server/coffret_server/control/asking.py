"""How often apps may ask an owner, and how long what they asked is kept.

An app has one open request to an owner, since a new one takes the place of the one before. So many
of them a day are taken, and so many of all apps together may be open as one list shows: whoever
makes apps without end is seen, and can be denied, and what is open is never hidden behind the rest.
"""

import hmac
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    func,
    literal_column,
    not_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from coffret_server.principals import AppCaller
from coffret_server.problems import ProblemError, refuse
from coffret_server.schema import AccessRequest, Account, ApiKey, Grant
from coffret_server.tokens import unauthenticated
from coffret_server.wire import apps as wire

SECOND: Final = 1_000_000
HOUR: Final = 3_600  # seconds, as an answer says them; below, as times are kept: µs
DAY: Final = 24 * HOUR * SECOND
LAPSE: Final = 7 * DAY
KEPT: Final = 90 * DAY
OPEN_LIMIT: Final = 500
"""As many as one list has."""
LARGEST: Final = 64 * 1024
"""Of a request, in bytes: all tags and types that a selector can name fit, and a thousand ids."""
_AT_ONCE: Final = 100
_SKEW: Final = 300 * SECOND
"""By which the clocks of two processes may differ: what is counted is counted by both."""
NEWEST: Final = 2_000
"""Requests to an owner that are kept longer than a day, beside those that led to a grant; and what
all apps together may ask them within one. However many apps are made, it has an end.

What an app asks again within a day has half of that: a few apps that ask again and again leave
room for whoever asks once.
"""
SHARE: Final = 5
"""One part in so many, of what may be open and of a day, is for apps that the owner granted
something, be it over or not: of these no stranger makes any. Half of it is for who asks once."""


def is_open(now: int) -> ColumnElement[bool]:
    """Whether a request waits for its owner: after seven days it has lapsed.

    The state stands in the text: the index of what waits is only for that one, and without it every
    request of the week would be read, of up to 64 KiB, by each call of an app that is refused.
    """
    return and_(
        AccessRequest.state == literal_column("'pending'"), AccessRequest.created > now - LAPSE
    )


def is_lapsed(now: int) -> ColumnElement[bool]:
    """Whether nobody decided a request in time."""
    return and_(AccessRequest.state == "pending", AccessRequest.created <= now - LAPSE)


def state_of(row: AccessRequest, now: int) -> str:
    """A request's state: what is still pending after seven days has lapsed."""
    if row.state == "pending" and row.created + LAPSE <= now:
        return "lapsed"
    return row.state


async def check_stands(session: AsyncSession, app: AppCaller) -> None:
    """Refuse an app whose API key ended since the call came; it cannot end before this is done.

    What an ended app has pending is cancelled, so nothing of it must come behind that.

    Raises:
        ProblemError: `unauthenticated`.
    """
    key = select(ApiKey.key_id).where(ApiKey.app_id == app.app, ApiKey.key_id == app.key.bytes)
    if await session.scalar(key.with_for_update(read=True, key_share=True)) is None:
        raise unauthenticated()


async def place(
    session: AsyncSession,
    account: Account | None,
    asked: wire.Request,
    sent: tuple[bytes, bytes],
    now: int,
    a_day: int,
) -> None:
    """Put a request where its owner finds it, in the place of the app's earlier one.

    Args:
        session: in which the account's row is locked.
        account: whom the app asks.
        asked: what it asks.
        sent: the same as it was signed, and the signature.
        now: µs.
        a_day: how often an app may ask an owner.

    Raises:
        ProblemError: `not-found`, `invalid-input` or `rate-limited`.
    """
    if account is None:
        refuse("not-found", "there is no such account")
    if not hmac.compare_digest(account.keys_hash, asked.owner_keys):
        refuse("invalid-input", "the request names other keys of the owner")
    await _check_rate(session, account.account_id, asked.app.bytes, now, a_day)
    await _forget_old(session, account.account_id, now)
    await session.execute(
        update(AccessRequest)
        .where(
            AccessRequest.account_id == asked.account.bytes,
            AccessRequest.app_id == asked.app.bytes,
            AccessRequest.state == "pending",
        )
        .values(state="superseded", decided=now)
    )
    session.add(
        AccessRequest(
            account_id=asked.account.bytes,
            request_id=asked.request.bytes,
            app_id=asked.app.bytes,
            request=sent[0],
            signature=sent[1],
            state="pending",
            created=now,
            decided=None,
            grant_id=None,
        )
    )
    await session.flush()


async def _check_rate(
    session: AsyncSession, account: bytes, app: bytes, now: int, a_day: int
) -> None:
    """Take one request more of an app to an owner; the account's row is locked.

    Raises:
        ProblemError: `rate-limited`.
    """
    times = await session.scalars(
        _made_by(account, now)
        .where(AccessRequest.app_id == app, AccessRequest.created > now - DAY)
        .order_by(AccessRequest.created.desc())
        .limit(a_day)
    )
    recent = times.all()
    if len(recent) >= a_day:
        _refuse("the app asked this owner too often", -(-(recent[-1] + DAY - now) // SECOND))
    is_known = await _is_known(session, account, app)
    most = OPEN_LIMIT if is_known else OPEN_LIMIT - OPEN_LIMIT // SHARE
    others = _to(account).where(is_open(now), AccessRequest.app_id != app).limit(most)
    count = await session.scalar(select(func.count()).select_from(others.subquery()))
    if count is not None and count >= most:
        _refuse("too many apps wait for this owner's decision", HOUR)
    room = _room(is_known=is_known, again=bool(recent))
    if (before := await _newest_but(session, account, room - 1, now)) > now - DAY:
        _refuse("too many apps asked this owner today", -(-(before + DAY - now) // SECOND))


async def _is_known(session: AsyncSession, account: bytes, app: bytes) -> bool:
    """Whether the owner ever approved something that this app asked."""
    granted = select(Grant.app_id).where(Grant.account_id == account, Grant.app_id == app)
    return await session.scalar(granted.limit(1)) is not None


def _room(*, is_known: bool, again: bool) -> int:
    """How many requests of a day there may be with one more of such an app."""
    kept = NEWEST // SHARE
    if is_known:
        return NEWEST - kept // 2 if again else NEWEST
    return NEWEST // 2 if again else NEWEST - kept


async def _newest_but(session: AsyncSession, account: bytes, number: int, now: int) -> int:
    """When the request to an owner was made behind which there are so many newer ones, or 0."""
    newest = _made_by(account, now).order_by(AccessRequest.created.desc()).offset(number).limit(1)
    return await session.scalar(newest) or 0


def _made_by(account: bytes, now: int) -> Select[int]:
    """Without those of a clock that was ahead, which would count for as much longer."""
    return _to(account).where(AccessRequest.created <= now + _SKEW)


def _to(account: bytes) -> Select[int]:
    return select(AccessRequest.created).where(AccessRequest.account_id == account)


def _refuse(detail: str, seconds: int) -> None:
    code = "rate-limited"
    raise ProblemError(code, detail, retry_after=max(1, seconds))


async def _forget_old(session: AsyncSession, account: bytes, now: int) -> None:
    """Delete a few of the oldest requests to an owner that led to nothing, after three months.

    Sooner where there are many; never one of today, by which an app's requests are counted.
    """
    mine = AccessRequest.account_id == account
    before = max(now - KEPT, min(await _newest_but(session, account, NEWEST, now), now - DAY))
    led_to_nothing = AccessRequest.grant_id.is_(None), not_(is_open(now))
    old = (
        select(AccessRequest.request_id)
        .where(mine, AccessRequest.created < before, *led_to_nothing)
        .order_by(AccessRequest.created)
        .limit(_AT_ONCE)
    )
    await session.execute(delete(AccessRequest).where(mine, AccessRequest.request_id.in_(old)))
