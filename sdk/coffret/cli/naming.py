"""Ids as people write them: whole, or their last characters, which are the random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE = 36
_LEAST = 4
_SHOWN = 8


def short(identifier: str) -> str:
    """The end of an id: enough to name it among thousands."""
    return identifier[-_SHOWN:]


def is_whole(text: str) -> bool:
    """Whether this is as long as a whole id."""
    return len(text.strip()) == _WHOLE


def full_id(text: str, known: Iterable[str], what: str) -> str:
    """The id that a person means.

    Args:
        text: a whole id, or how it ends.
        known: the ids there are.
        what: what it is the id of, for messages.

    Raises:
        NotFoundError: none ends like that.
        InputError: several do, or the text is too short to tell.
    """
    wanted = text.strip().lower()
    if is_whole(wanted):
        return wanted
    if len(wanted) < _LEAST:
        message = f"give at least the last {_LEAST} characters of the id of a {what}"
        raise InputError(message)
    found = [identifier for identifier in known if identifier.endswith(wanted)]
    if len(found) > 1:
        message = f"the ids of {len(found)} of them end like that; give more of it"
        raise InputError(message)
    if not found:
        message = f"there is no {what} whose id ends like that"
        raise NotFoundError(message)
    return found[0]
