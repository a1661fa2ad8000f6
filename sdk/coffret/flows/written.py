"""What an owner's change writes: versions that are sealed, and what goes to the log with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.freshness import live_grants
from coffret.flows.keys import grant_wraps
from coffret.flows.settled import sealed_by_default
from coffret.flows.visibility import hidden
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import PUT, Entry
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.memory import Memory
from coffret_vault.records.seal import Stamp, make_record, written_memory
from coffret_vault.store import GrantRow, StoredRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.state import VaultState
    from coffret_vault.records.memory import Fields

Wrap = tuple[bytes, bytes, int, bytes]
"""Grant, memory, key number, wrap: a key for a grant."""
Accept = tuple[bytes, int, bytes, bytes]
"""Memory, version, kek, wrap: of an accepted version, whose key the owner wraps."""


class Change(msgspec.Struct, frozen=True):
    """What one append does, beside its entries.

    Attributes:
        entries: the log entries, in order.
        records: the new versions, in the order of their ``put`` entries.
        accepts: the accepted memories' keys, for the owner.
        wraps: keys for grants.
        unwraps: ``(grant, memory)``: keys that a grant holds no longer.
        grants: grants as they are after the entries; kept here, not sent.
        meta: values to keep under names with them.
        beside: values to keep while it is not known whether the server took it.
    """

    entries: tuple[Entry, ...]
    records: tuple[StoredRecord, ...] = ()
    accepts: tuple[Accept, ...] = ()
    wraps: tuple[Wrap, ...] = ()
    unwraps: tuple[tuple[bytes, bytes], ...] = ()
    grants: tuple[GrantRow, ...] = ()
    meta: dict[str, bytes] = {}
    beside: dict[str, bytes] = {}

    @property
    def held(self) -> list[tuple[bytes, bytes, int]]:
        """``(grant, memory, key number)``: which keys grants hold by it, without the wraps."""
        return [wrap[:3] for wrap in self.wraps]


class Written(msgspec.Struct, frozen=True):
    """A sealed version with its log entry, and what it takes to wrap its key for grants.

    ``before`` is the number of the key that the memory had until now, 0 for a new memory;
    ``undecided`` says that nobody said whether it is to show its title; ``given`` are the grants
    for which its key was wrapped when it was last put into a change.
    """

    memory: Memory
    entry: Entry
    row: StoredRecord
    stamp: Stamp
    key: SecretBytes
    before: int = 0
    undecided: bool = False
    given: frozenset[bytes] = frozenset()


def seal_fields(
    state: VaultState,
    stamp: Stamp,
    fields: Fields,
    key: SecretBytes,
    *,
    undecided: bool = False,
    time: int | None = None,
) -> Written:
    """Seal fields that were checked; ``time`` is the entry's, if they are older than that."""
    random = state.ambient.random
    record = make_record(stamp, fields, key, state.owner_wrapping(), random=random)
    memory = written_memory(stamp, fields)
    entry = Entry(
        account_id=state.account_id,
        kind=PUT,
        subject=stamp.memory_id,
        version=stamp.version,
        digest=record.digest,
        author=OWNER,
        time=stamp.updated if time is None else time,
    )
    row = StoredRecord(stamp.memory_id, stamp.version, record)
    return Written(memory, entry, row, stamp, key, undecided=undecided)


def put_change(state: VaultState, written: list[Written]) -> Change:
    """The change that writes these versions.

    Who gets their keys is decided here, at each try: a grant may have been revoked in between. So
    is what they show, where that is left to the vault: they are sealed again in their place. And so
    is what was wrapped for a grant at an earlier try, and is not any more: under a fresh key, since
    the server has had that wrap.
    """
    if any(item.undecided for item in written) and sealed_by_default(state):
        written[:] = [_hidden(state, item) if item.undecided else item for item in written]
    live = live_grants(state)
    wraps: list[Wrap] = []
    for at, item in enumerate(written):
        if live or item.given:
            written[at], own = _wrapped(state, live, item)
            wraps += own
    entries = tuple(item.entry for item in written)
    return Change(entries, tuple(item.row for item in written), wraps=tuple(wraps))


class Tries:
    """A change of memories that are there, which is made anew at each try.

    Their keys may be the same at each of them: so for whom they went out is told on.
    """

    def __init__(self) -> None:
        """None was made yet."""
        self._given: dict[bytes, frozenset[bytes]] = {}

    def change(self, state: VaultState, written: list[Written]) -> Change:
        """As :func:`put_change`, of what was written for this try."""
        given = [self._given.get(item.stamp.memory_id, frozenset()) for item in written]
        made = zip(written, given, strict=True)
        written[:] = [msgspec.structs.replace(item, given=before) for item, before in made]
        change = put_change(state, written)
        for item, before in zip(written, given, strict=True):
            self._given[item.stamp.memory_id] = before | item.given
        return change

    def went_astray(self, memory_id: bytes, wraps: Sequence[Wrap]) -> bool:
        """Whether a key that nobody chooses here went out for a grant that is not to have it now.

        It goes out for those of these ``wraps`` at this try.
        """
        before = self._given.get(memory_id, frozenset())
        now = frozenset(wrap[0] for wrap in wraps)
        self._given[memory_id] = before | now
        return bool(before - now)


def _wrapped(state: VaultState, live: list[GrantRow], item: Written) -> tuple[Written, list[Wrap]]:
    """A version with its key for those who are to have it, and for nobody who is not.

    Who is to have it and had none up to now opens nothing with it that was said before.
    """
    wraps = grant_wraps(state, live, item.memory, item.stamp, item.key, item.before)
    given = frozenset(wrap[0] for wrap in wraps)
    newly = bool(wraps) and item.stamp.key_number == item.before
    if newly or item.given - given:
        return _wrapped(state, live, _rekeyed(state, item))
    return msgspec.structs.replace(item, given=given), wraps


def _rekeyed(state: VaultState, item: Written) -> Written:
    """The same version under another key than that which it has, or than the memory had before."""
    key, stamp = generate_key(state.ambient.random), item.stamp
    stamp, fields = msgspec.structs.replace(stamp, key_number=stamp.version), item.memory.fields()
    time, undecided = item.entry.time, item.undecided
    sealed = seal_fields(state, stamp, fields, key, undecided=undecided, time=time)
    return msgspec.structs.replace(sealed, before=item.before)


def _hidden(state: VaultState, item: Written) -> Written:
    fields = hidden(item.memory.fields())
    sealed = seal_fields(state, item.stamp, fields, item.key, time=item.entry.time)
    return msgspec.structs.replace(sealed, given=item.given)
