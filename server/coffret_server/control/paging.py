"""Lists of what may be large: in pages, each no larger than who asked takes at once.

What an app asked and what an owner granted may name thousands of memories. So the sizes are read
before the rows are, and a page ends where the next row would be too much. RFC 8288 says where the
next one is: a list stays a list.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query
from sqlalchemy import ColumnElement, SQLColumnExpression, literal, tuple_
from starlette.responses import Response

from coffret_server.problems import refuse

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of what is stored. As JSON it is a third more, and a device takes 64 MiB."""
_BESIDE: Final = 8 * 1024
"""More than there is beside what may be large: the app's manifest, signatures, a sealed key."""
_LARGEST: Final = (1 << 63) - 1
_PLACE: Final = re.compile(r"([01])\.([0-9]{1,19})\.([0-9a-f]{32})")

Place = tuple[int, int, bytes]
"""Where a row stands in its list: behind what is open, by its time, by its id."""
Cursor = Annotated[str | None, Query(max_length=64)]


def place_of(cursor: str) -> Place:
    """The place that a cursor names.

    Raises:
        ProblemError: `malformed`.
    """
    found = _PLACE.fullmatch(cursor)
    if found is None or int(found[2]) > _LARGEST:
        refuse("malformed", "the cursor is not one that this server gave")
    return int(found[1]), int(found[2]), bytes.fromhex(found[3])


def behind(keys: Sequence[SQLColumnExpression[Any]], place: Place) -> ColumnElement[bool]:
    """Which rows stand behind a place in a list that goes down by these keys."""
    return tuple_(*keys) < tuple_(*map(literal, place[-len(keys) :]))


def fitting(sizes: Sequence[int], limit: int) -> int:
    """How many of these rows one page has: one at least, where there is one."""
    spare = PAGE_BYTES
    for count, size in enumerate(sizes[:limit]):
        spare -= size + _BESIDE
        if spare < 0 and count:
            return count
    return min(len(sizes), limit)


def continued(response: Response, place: Place, **query: object) -> Response:
    """An answer that names where the next page begins, behind its last row."""
    opened, created, identifier = place
    said = {name: value for name, value in query.items() if value is not None}
    target = urlencode({**said, "cursor": f"{opened}.{created}.{identifier.hex()}"})
    response.headers["Link"] = f'<?{target}>; rel="next"'
    return response
