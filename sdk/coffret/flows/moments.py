"""When a version says that it was written: not before what it is written behind.

docs/spec/4-records.md, updated. What is later is told by these times (docs/spec/6-grants.md,
Writing by an app), and the clocks of those who write are not one: each may be some minutes ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coffret_vault.formats.memory import Header

AHEAD = 5 * 60 * 1_000_000
"""So far (µs) the clock of who wrote may be ahead of this one; servers take twice as much."""


def later_than(header: Header, now: int) -> int:
    """When an owner's version is written that replaces the one with this header.

    Later than that one, which another device may have written by a clock that was ahead: else what
    an app wrote behind the version before would pass as later than this one, too. Where that clock
    was far ahead, as this one has it, no app takes its time either, and it is now.
    """
    before = header.updated + 1 if header.updated - now <= AHEAD else now
    return max(now, header.created, before)


def not_before(header: Header, now: int) -> int:
    """When an app's version is written behind that with this header: not before it.

    Nor later, so that what its owner wrote behind that meanwhile is. Where that clock is far ahead,
    as this one has it, it is now: a server would take no such time.
    """
    read = header.updated if header.updated - now <= AHEAD else now
    return max(now, header.created, read)
