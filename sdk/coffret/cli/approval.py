"""Narrow a request: by options, or by asking the owner. An approval never widens it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from coffret.cli.naming import full_id, short
from coffret.cli.showing import days, in_hours, memories, name_of, one_line, request_parts
from coffret.sharing import quoted
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.cli.desk import Desk
    from coffret.sharing import AccessRequestInfo
    from coffret_vault.records.memory import Memory

_PAGE = 20
_ID_END = 8  # characters of an id as lists show it; shorter digits are a number
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_WRITING = frozenset(("create", "update", "delete"))


class Choice(NamedTuple):
    """What the owner has said so far; None is not said.

    Attributes:
        scopes: only these.
        only: only these memories, by id.
        exclude: not these, by id.
        days: for so many.
        standing: also memories written later.
        auto_accept: what it writes needs no review.
    """

    scopes: frozenset[str] | None = None
    only: frozenset[str] | None = None
    exclude: frozenset[str] | None = None
    days: float | None = None
    standing: bool | None = None
    auto_accept: bool | None = None

    def duration(self) -> timedelta | None:
        """The days as a length of time."""
        return None if self.days is None else timedelta(days=self.days)


def chosen_memories(
    text: str | None, matching: Sequence[Memory], *, by_number: bool
) -> frozenset[str] | None:
    """The memories that a list such as ``1,4-6,3fa85f64`` means.

    Args:
        text: numbers of the list that was shown, ranges of them, and ends of ids.
        matching: the memories of that list.
        by_number: whether that list is being looked at; numbers mean something only then.

    Raises:
        InputError: a number is not in the list, or the list is not being looked at.
        NotFoundError: no memory's id ends like that.
    """
    if text is None:
        return None
    known = [memory.id for memory in matching]
    found: set[str] = set()
    for part in filter(None, re.split(r"[\s,]+", text)):
        match = _RANGE.fullmatch(part)
        if match and len(part) < _ID_END:
            found.update(_numbered(match, known, by_number=by_number))
        else:
            found.add(full_id(part, known, "memory that matches"))
    return frozenset(found)


def _numbered(match: re.Match[str], known: Sequence[str], *, by_number: bool) -> Sequence[str]:
    if not by_number:
        message = "numbers mean something only beside the list that shows them; give ids"
        raise InputError(message)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= len(known):
        message = f"the list goes from 1 to {len(known)}"
        raise InputError(message)
    return known[first - 1 : last]


def chosen_scopes(text: str | None, request: AccessRequestInfo) -> frozenset[str] | None:
    """Some of the scopes that were asked for, from a list such as ``read,create``.

    Raises:
        InputError: none, or others than were asked for.
    """
    if text is None:
        return None
    scopes = frozenset(filter(None, re.split(r"[\s,]+", text.lower())))
    if not scopes or not scopes <= request.scopes:
        message = f"it asks for {', '.join(sorted(request.scopes))}; choose among these"
        raise InputError(message)
    return scopes


def check_choice(choice: Choice, request: AccessRequestInfo) -> Choice:
    """The choice, if it narrows. As much time as the request is shown to ask for is all of it.

    Raises:
        InputError: it would give more than was asked for, or contradicts itself.
    """
    most = request.duration / timedelta(days=1)
    if choice.days is not None and most < choice.days <= in_hours(request.duration) / 24:
        choice = choice._replace(days=None)
    if choice.days is not None and not 0 < choice.days <= most:  # what is no number fails too
        message = (
            f"it asks for {days(request.duration)}; choose that, or less, but more than 0 days"
        )
        raise InputError(message)
    if choice.standing and not request.standing:
        message = "it did not ask for memories written later"
        raise InputError(message)
    if choice.standing and (choice.only is not None or choice.exclude):
        message = "a grant for memories written later covers whatever matches; leave none out"
        raise InputError(message)
    return choice


def show_request(desk: Desk, request: AccessRequestInfo, *, ask: bool) -> None:
    """Who asks, for what, and which memories match: all of them; for a person page by page."""
    desk.out.notes(request_parts(request))
    matching = request.matching
    desk.out.note(f"Matching now: {memories(len(matching))}")
    for at in range(0, len(matching), _PAGE):
        for number, memory in enumerate(matching[at : at + _PAGE], at + 1):
            tags = f"  ({one_line(', '.join(memory.tags))})" if memory.tags else ""
            desk.out.note(f"  {number:4}  {short(memory.id)}  {name_of(memory)}{tags}")
        more = len(matching) - at - _PAGE
        if more > 0 and ask and desk.asker.interactive and _stops(desk, more):
            break


def _stops(desk: Desk, more: int) -> bool:
    return desk.asker.text(f"{more} more: Enter for the next, q to go on").lower() == "q"


def ask_choice(desk: Desk, request: AccessRequestInfo, said: Choice) -> Choice:
    """Ask for whatever was not said by options. Enter leaves a thing as it was asked for.

    Raises:
        InputError: an answer is none.
    """
    choice = said
    if choice.scopes is None and len(request.scopes) > 1:
        answer = desk.asker.text("Allow", ",".join(sorted(request.scopes)))
        choice = choice._replace(scopes=chosen_scopes(answer, request))
    if choice.only is None and choice.exclude is None and request.matching:
        answer = desk.asker.text("Leave out which numbers (Enter for none)")
        left_out = chosen_memories(answer, request.matching, by_number=True)
        choice = choice._replace(exclude=left_out or None)
    if choice.days is None:
        choice = choice._replace(days=_ask_days(desk, request))
    return _ask_rest(desk, request, choice)


def _ask_days(desk: Desk, request: AccessRequestInfo) -> float | None:
    default = f"{request.duration / timedelta(days=1):g}"
    answer = desk.asker.text("For how many days", default)
    if answer == default:  # which is rounded, and may be more than was asked for
        return None
    try:
        return float(answer)
    except ValueError:
        message = "a number of days is written like 7"
        raise InputError(message) from None


def _ask_rest(desk: Desk, request: AccessRequestInfo, choice: Choice) -> Choice:
    listed = choice.only is not None or bool(choice.exclude)
    if choice.standing is None and request.standing and not listed:
        answer = desk.asker.confirm("Also memories that match and are written later?")
        choice = choice._replace(standing=answer)
    scopes = request.scopes if choice.scopes is None else choice.scopes
    if choice.auto_accept is None and scopes & _WRITING:
        answer = desk.asker.confirm("Accept what it writes without your review?")
        choice = choice._replace(auto_accept=answer)
    return choice


def summary(request: AccessRequestInfo, choice: Choice) -> str:
    """What an approval would give, in a sentence."""
    scopes = sorted(request.scopes if choice.scopes is None else choice.scopes)
    all_ids = {memory.id for memory in request.matching}
    left = (all_ids if choice.only is None else choice.only) - (choice.exclude or frozenset())
    later = " and those written later that match" if choice.standing else ""
    trust = " What it writes needs no review." if choice.auto_accept else ""
    span = days(choice.duration() or request.duration)
    return (
        f"{quoted(request.app.name)} may {', '.join(scopes)}: {memories(len(left))}{later}, "
        f"for {span}.{trust}"
    )
