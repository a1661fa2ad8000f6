"""Create memories under a grant, one or many. docs/spec/6-grants.md, Writing by an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.access import (
    Sealed,
    check_scope,
    now_of,
    read_all,
    sealed,
    submit,
)
from coffret.flows.again import written_before
from coffret.flows.batches import batches
from coffret.flows.memories import NewMemory
from coffret.flows.owners import check_live
from coffret.flows.same import TAKEN, chosen_ids, same_creation
from coffret.flows.sync import silent
from coffret_vault.errors import ConflictError
from coffret_vault.formats.author import Author
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.memory import to_micros
from coffret_vault.records.seal import Stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret.flows.readable import Readable
    from coffret.flows.sync import Progress
    from coffret_vault.records.memory import Memory

AT_ONCE = 1_000
AT_ONCE_BYTES = 24 << 20
"""What one request takes (docs/spec/7-http.md, Limits), less what stands beside the records."""


class _Created(msgspec.Struct, frozen=True):
    """A memory that is sealed, and what was asked for; ``chosen`` where its id is the caller's."""

    new: NewMemory
    version: Sealed
    chosen: bool

    @property
    def id(self) -> str:
        return self.version.memory.id


def remember_many(
    state: AppState, held: Held, new: Sequence[NewMemory], progress: Progress = silent
) -> Flow[list[Memory]]:
    """Write many memories, in requests that are each kept whole; they wait for the owner's review.

    All are sealed before the first is sent, so that what cannot be a memory keeps nothing back.
    With ids that were chosen by the app it can be called again, and gives what is there then. Of
    what the owner rejected nobody knows any more what it said: it is that, whatever is said now.

    Raises:
        GrantError: the grant does not include ``create``, or is not in force.
        InputError: the fields of one cannot be a memory, or two have one id; nothing is sent.
        ConflictError: there is a memory with the id of one: not this app's, or it says something
            else. The requests before its own are kept.
        QuotaError: the owner's vault takes no more from apps now; as before.
    """
    check_live(state, held)
    check_scope(held, "create")
    named = zip(new, chosen_ids(new), strict=True)
    created = [_created(state, held, item, chosen) for item, chosen in named]
    done: list[Memory] = []
    shown: dict[str, Readable] = {}
    for batch in batches(created, _size, count=AT_ONCE, most=AT_ONCE_BYTES):
        done += yield from _write_missing(state, held, batch, shown)
        progress("memories", len(done), len(created))
    return done


def create_unseen(
    state: AppState, held: Held, new: Sequence[NewMemory], progress: Progress = silent
) -> Flow[list[Memory | None]]:
    """Write memories that the grant did not show, by ids that say the same memory again.

    None for each that is there all the same: it was written before, and then its owner deleted it
    or took it out of the grant; or it was written just now. Errors as :func:`remember_many`, but
    for these.
    """
    check_live(state, held)
    check_scope(held, "create")
    named = zip(new, chosen_ids(new), strict=True)
    created = [_created(state, held, item, chosen) for item, chosen in named]
    done: list[Memory | None] = []
    for batch in batches(created, _size, count=AT_ONCE, most=AT_ONCE_BYTES):
        done += yield from _write_unseen(state, held, batch)
        progress("memories", len(done), len(created))
    return done


def _write_unseen(state: AppState, held: Held, batch: list[_Created]) -> Flow[list[Memory | None]]:
    """All at once; where one of them is there, which the server does not say, by halves."""
    versions = [item.version for item in batch]
    try:
        yield from submit(state, held, [v.entry for v in versions], [v.record for v in versions])
    except ConflictError:
        if len(batch) == 1:
            return [None]
        half, done = len(batch) // 2, []
        for part in (batch[:half], batch[half:]):
            done += yield from _write_unseen(state, held, part)
        return done
    return [version.memory for version in versions]


def _created(state: AppState, held: Held, new: NewMemory, chosen: bytes | None) -> _Created:
    now = now_of(state, held)
    stamp = Stamp(
        account_id=held.grant.account_id,
        memory_id=chosen or state.ambient.new_id(),
        version=1,
        key_number=1,
        author=Author(state.manifest.app_id),
        created=now if new.created is None else max(0, min(to_micros(new.created), now)),
        updated=now,
    )
    key = generate_key(state.ambient.random)
    return _Created(new, sealed(state, held, stamp, new.fields, key), chosen is not None)


def _size(item: _Created) -> int:
    return len(item.version.record.header) + len(item.version.record.envelope)


def _write_missing(
    state: AppState, held: Held, batch: list[_Created], shown: dict[str, Readable]
) -> Flow[list[Memory]]:
    """Write what of a batch is not there; what is there is looked for when the server says so.

    Other processes of the app may write some of it meanwhile: each round finds those.
    """
    while True:
        there = {item.id: _same(state, item, shown[item.id]) for item in batch if item.id in shown}
        missing = [item for item in batch if item.id not in there]
        if not missing:
            break
        entries = [item.version.entry for item in missing]
        try:
            yield from submit(state, held, entries, [item.version.record for item in missing])
            break
        except ConflictError:
            if not any(item.chosen for item in missing):
                raise
        shown.update((yield from read_all(state, held)))
        if not any(item.id in shown for item in missing):
            raise ConflictError(TAKEN)  # and the grant does not show it: nobody says which it is
    return [there.get(item.id) or item.version.memory for item in batch]


def _same(state: AppState, item: _Created, there: Readable) -> Memory:
    """What was written before, if that is what would be written now."""
    wanted = item.version.memory
    if there.key is None:
        rejected = there.memory
        return msgspec.structs.replace(wanted, version=rejected.version, review=rejected.review)
    alike = written_before(there.memory, wanted, item.new.fields, state.manifest.app_id)
    if not alike or not same_creation(item.new.created, there.memory):
        message = f"{TAKEN}: {item.id}"
        raise ConflictError(message)
    return there.memory
