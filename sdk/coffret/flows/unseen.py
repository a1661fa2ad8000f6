"""What apps wrote is accepted unseen, where the owner chose that for a grant."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from coffret.flows.append import append
from coffret.flows.grantfeed import ACTIVE
from coffret.flows.keys import can_open, open_record
from coffret.flows.moments import AHEAD
from coffret.flows.review import acceptance, overtaken
from coffret.flows.spoilt import SpoiltError
from coffret.flows.written import Tries
from coffret_vault.errors import InputError, OpenError, QuotaError
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.memory import KEK, parse_header
from coffret_vault.formats.sharing import CREATE, UPDATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.written import Change
    from coffret_vault.formats.memory import Header
    from coffret_vault.formats.sharing import Grant
    from coffret_vault.log.replay import Proposal

_TOGETHER = 100
"""So many versions of one memory are accepted in one append at the most."""
_TOO_OFTEN = 8
"""After so many that there was no room for, no more are tried at a sync: apps may write many."""


def accept_automatically(state: VaultState) -> Flow[int]:
    """Accept what apps wrote under grants for which the owner chose that; give how many.

    What does not open stays pending, and so do deletions, what was overtaken, and what was written
    before the version that it would take the place of: they are the owner's to look at. So does
    what has to be written again, and the account has no room for: no sync stops at it.
    """
    accepted, refused, trusted = 0, 0, _trusted(state)
    if not trusted or state.is_locked:
        return accepted
    for memory_id, _ in state.store.states(pending=True):
        # Of one, which waits on for the owner to look at.
        try:
            while items := _next_allowed(state, trusted, memory_id):
                yield from append(state, partial(_automatic, state, memory_id, items, Tries()))
                accepted, trusted = accepted + len(items), _trusted(state)
        except QuotaError:
            refused += 1
            if refused == _TOO_OFTEN:
                break
        except (InputError, OpenError, SpoiltError):
            continue
    return accepted


def _trusted(state: VaultState) -> dict[bytes, Grant]:
    """The grants for which the owner chose that, as they stand now: any append may tell of more."""
    now = state.ambient.now()
    return {
        grant.grant_id: grant
        for row in state.store.grants.all()
        if row.state == ACTIVE and (grant := row.statement()).auto_accept and grant.expires > now
    }


def _automatic(state: VaultState, memory_id: bytes, items: list[Proposal], tries: Tries) -> Change:
    """The change that accepts these, if they are to be accepted unseen still."""
    if not set(items) <= set(_next_allowed(state, _trusted(state), memory_id)):
        raise InputError
    return acceptance(state, memory_id, items, tries)


def _next_allowed(
    state: VaultState, trusted: Mapping[bytes, Grant], memory_id: bytes
) -> list[Proposal]:
    """What of a memory is to be accepted together: its creation, and updates that follow on it.

    Together, since what is written again as the owner's overtakes all that waits then.
    """
    memory = state.store.state(memory_id)
    before = _header(state, memory_id, memory.current) if memory else None
    allowed: list[Proposal] = []
    for item in memory.pending if memory else ():
        under = trusted.get(_written_under(state, memory_id, item) or b"")
        if under is not None and _allows(state, under, memory_id, item, before):
            if memory and not memory.current and not _is_of_one(state, memory_id, allowed, item):
                break
            allowed.append(item)
            before = _header(state, memory_id, item.version)
        if len(allowed) == _TOGETHER:
            break
    return allowed


def _is_of_one(
    state: VaultState, memory_id: bytes, before: Sequence[Proposal], item: Proposal
) -> bool:
    """Whether a version goes with its creation: by that app, under that key, and of that day.

    What is current tells it of any other (:func:`~coffret.flows.review.overtaken`).
    """
    if not before:
        return True
    records = (state.store.record(memory_id, one.version) for one in (before[0], item))
    first, then = (open_record(state, record) for record in records if record is not None)
    by_one = item.app_id == before[0].app_id and then.key == first.key
    return by_one and then.header.created == first.header.created


def _allows(
    state: VaultState, grant: Grant, memory_id: bytes, item: Proposal, before: Header | None
) -> bool:
    """Whether a version may have been written under a grant, and may become current unseen.

    The log does not say under which: the record does, in a part that the server could exchange for
    another grant's, so the grant has to be of the app that signed the entry, and has to hold the
    memory that an update is of. An update has to be of the memory as it stands when it becomes
    current: behind the version with the header of ``before``.
    """
    memory = state.store.state(memory_id)
    if memory is None or grant.app_id != item.app_id:
        return False
    if item.version == 1:  # behind which its owner may have accepted a later one
        return CREATE in grant.scopes and not memory.current
    number = state.store.grants.holders(memory_id).get(grant.grant_id)
    header = _header(state, memory_id, item.version)
    if header is None or UPDATE not in grant.scopes:
        return False
    seen = header.key_number == number and _is_later(header, before, state.ambient.now())
    return seen and not overtaken(state, memory_id, memory, item)


def _header(state: VaultState, memory_id: bytes, version: int) -> Header | None:
    record = state.store.record(memory_id, version)
    return None if record is None else parse_header(record.header)


def _is_later(header: Header, before: Header | None, now: int) -> bool:
    """Whether a version was written when the one before was there already, as its app says.

    An app is told by the server which number comes next. One that was told of a number to come has
    written for the place behind versions that it never saw, and is put there later. Where both are
    of when the memory says that it was made, which was a time to come then, their times say nothing
    of which was first; nor do they when that time has come. Nor where another app wrote the one
    before: both say the time of what they read, where the clock of who wrote that was ahead.
    """
    if before is None or header.updated > now + AHEAD:
        return False
    told = before.updated != before.created and before.author in (OWNER, header.author)
    tells = before.version == 1 or told
    return header.updated > before.updated or (tells and header.updated == before.updated)


def _written_under(state: VaultState, memory_id: bytes, item: Proposal) -> bytes | None:
    """The grant under which an app wrote a version that opens; None for everything else."""
    record = None if item.deletion else state.store.record(memory_id, item.version)
    if record is None or not can_open(state, record):
        return None
    return KEK.decode(record.kek).grant_id
