"""Where the requests of a list stand: what waits for its owner first, then the newest.

Both are found in an index alone, as far as a page goes. A request may have 64 KiB: to sort all that
an owner has by what stands behind it in a row would be to read them all, for a list of one.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import func, not_, select
from sqlalchemy.ext.asyncio import AsyncSession

from coffret_server import bygone
from coffret_server.control import paging
from coffret_server.control.asking import is_lapsed, is_open
from coffret_server.principals import AppCaller, Owner
from coffret_server.schema import AccessRequest

_OPEN: Final = "pending"
_KEYS: Final = AccessRequest.created, AccessRequest.request_id


async def places(
    session: AsyncSession,
    caller: Owner | AppCaller,
    state: str | None,
    after: paging.Place | None,
    limit: int,
    now: int,
) -> list[paging.Place]:
    """The places of so many requests, and of one more where there is one.

    Args:
        session: that reads.
        caller: whose requests they are.
        state: what they have to be; None for whatever they are.
        after: the place behind which the page begins.
        limit: how many.
        now: µs.
    """
    found: list[paging.Place] = []
    for opened in _parts(state, after):
        chosen = select(*_KEYS).where(
            bygone.of(caller, AccessRequest), is_open(now) if opened else not_(is_open(now))
        )
        if state is not None and not opened:
            is_such = is_lapsed(now) if state == "lapsed" else AccessRequest.state == state
            chosen = chosen.where(is_such)
        if after is not None and after[0] == opened:
            chosen = chosen.where(paging.behind(_KEYS, after))
        most = limit + 1 - len(found)
        order = [key.desc() for key in _KEYS]
        rows = await session.execute(chosen.order_by(*order).limit(most))
        found += [(opened, *row) for row in rows]
    return found


def _parts(state: str | None, after: paging.Place | None) -> Iterator[int]:
    """Of what is open (1) and what is not (0), that which such a page may have."""
    if state in {None, _OPEN} and (after is None or after[0]):
        yield 1
    if state != _OPEN:
        yield 0


async def sizes(session: AsyncSession, found: list[paging.Place]) -> list[int]:
    """How large the requests at these places are."""
    ids = [place[2] for place in found]
    rows = await session.execute(
        select(AccessRequest.request_id, func.length(AccessRequest.request)).where(
            AccessRequest.request_id.in_(ids)
        )
    )
    known = {row[0]: row[1] for row in rows}
    return [known[each] for each in ids]
