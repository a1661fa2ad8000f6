"""Remember a conversation from its messages, as the owner: each exchange once, however it grows."""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import msgspec

from coffret.exchanges import Named, named
from coffret.flows.keys import open_memory
from coffret.flows.many import remember_many
from coffret.flows.memories import update
from coffret.flows.sync import silent, sync
from coffret.flows.unsent import settle
from coffret_vault.errors import ConflictError, LockedError
from coffret_vault.ingest.draft import ImportSkipped  # msgspec reads the annotations at run time
from coffret_vault.ingest.messages import read_messages
from coffret_vault.records.memory import Fields, Memory, checked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.ingest.messages import Read

_TRIES = 5


class Talk(TypedDict, total=False):
    """What is said of a conversation beside its messages.

    ``session`` is which one it is, by a name of yours: without it, a conversation is known by its
    first message. ``agent`` and ``user`` are labels for who answers and who asks, and part of which
    conversation it is. ``tags`` are for each memory. ``sealed``: None, or left out, is as the vault
    has it.
    """

    session: str | None
    agent: str | None
    user: str | None
    tags: Collection[str]
    sealed: bool | None


class MessagesReport(msgspec.Struct, frozen=True):
    """What became of a conversation's messages.

    Attributes:
        memories: those of its exchanges, in order, as they are now.
        created: how many are new.
        updated: how many had grown: an answer has come, or one more.
        unchanged: how many were there; one that was changed by hand stays as it is.
        forgotten: how many were deleted by their owner, and are not written again.
        skipped: what of the messages was left out, and why.
        session: which conversation it is, as the label ``session`` says.
    """

    memories: tuple[Memory, ...]
    created: int
    updated: int
    unchanged: int
    forgotten: int
    skipped: tuple[ImportSkipped, ...]
    session: str


class _Fate(Enum):
    """What is to be done with an exchange."""

    CREATE = auto()
    GROW = auto()
    KEEP = auto()
    FORGOTTEN = auto()


class _Planned(msgspec.Struct, frozen=True):
    """An exchange, what is to be done with it, and the memory that is there."""

    item: Named
    fate: _Fate
    there: Memory | None = None


def conversation_of(messages: Iterable[Mapping[str, object]], talk: Talk) -> Read:
    """What is to be remembered, from a call's arguments: all of it looked at, and nothing written.

    Raises:
        TypeError: an argument is not known.
        InputError: one of the messages is none, or cannot be a memory; it says which.
    """
    if unknown := sorted(talk.keys() - Talk.__annotations__.keys()):
        message = f"remember_messages() got an unexpected keyword argument {unknown[0]!r}"
        raise TypeError(message)
    return read_messages(
        messages,
        session=talk.get("session"),
        agent=talk.get("agent"),
        user=talk.get("user"),
        tags=talk.get("tags", ()),
    )


def remember_messages(
    state: VaultState,
    read: Read,
    progress: Progress = silent,
    *,
    sealed: bool | None = None,
) -> Flow[MessagesReport]:
    """Write the exchanges that are not there yet, and what has come behind the last one.

    Called again, whenever and wherever, with the same messages or more of them, it writes what is
    new only. Interrupted, it goes on when called again.

    Raises:
        LockedError: the vault is locked.
        ConflictError: other devices add to the same exchanges all the time.
    """
    if state.is_locked:
        raise LockedError
    items = named(state.keys.keyring.kek("messages").reveal(), read)
    for item in items:
        checked(item.new(sealed=sealed).fields)
    yield from settle(state)  # some may be on their way
    yield from sync(state)  # another device may have had the beginning of one of them
    first: list[_Planned] | None = None
    for last in range(_TRIES):
        plan = _planned(state, items)
        first = first or plan
        try:
            yield from _carry_out(state, plan, progress, sealed=sealed)
            break
        except ConflictError:
            if last == _TRIES - 1:
                raise
            yield from sync(state)  # another device wrote some of it meanwhile
    return _report(state, read, first or [], items)


def _planned(state: VaultState, items: Iterable[Named]) -> list[_Planned]:
    growing: set[bytes] = set()
    plan = []
    for item in items:
        planned, at = _fate(state, item, growing)
        if planned.fate is _Fate.GROW and at is not None:
            growing.add(at)
        plan.append(planned)
    return plan


def _fate(state: VaultState, item: Named, growing: set[bytes]) -> tuple[_Planned, bytes | None]:
    """What is to be done with an exchange, which may have been written when it was shorter."""
    for count in range(len(item.ids), 0, -1):
        identifier = item.ids[count - 1]
        standing = state.store.state(identifier)
        # Two that began alike do not both go on in one memory.
        if standing is None or (identifier in growing and count < len(item.ids)):
            continue
        if standing.deleted:
            return _Planned(item, _Fate.FORGOTTEN), None
        record = state.store.record(identifier, standing.current)
        if record is None:
            continue
        memory = open_memory(state, record, standing)
        fate = _fate_beside(item, count, memory)
        if fate is not None:
            return _Planned(item, fate, memory), identifier
    return _Planned(item, _Fate.CREATE), None


def _fate_beside(item: Named, count: int, memory: Memory) -> _Fate | None:
    """What is to be done where a memory is there for the first ``count`` messages.

    None where it says something else than this exchange ever did: it went on otherwise, or was
    changed by hand, and stays.
    """
    if count == len(item.ids) or memory.content == item.exchange.draft.content:
        return _Fate.KEEP
    shorter = range(count, len(item.ids))
    if any(memory.content == item.exchange.beginning(length) for length in shorter):
        return _Fate.GROW
    return None


def _carry_out(
    state: VaultState,
    plan: Iterable[_Planned],
    progress: Progress,
    *,
    sealed: bool | None,
) -> Flow[None]:
    new = [planned.item.new(sealed=sealed) for planned in plan if planned.fate is _Fate.CREATE]
    if new:
        yield from remember_many(state, new, progress)
    grown = [planned for planned in plan if planned.fate is _Fate.GROW]
    for done, planned in enumerate(grown, 1):
        if planned.there is not None:
            change = partial(_grown, planned.item)
            yield from update(state, planned.there.id, change, version=planned.there.version)
        progress("changes", done, len(grown))


def _grown(item: Named, fields: Fields) -> Fields:
    """The memory of an exchange that went on: what else was said of it stays."""
    draft = item.exchange.draft
    labels = {**fields.labels, "participants": draft.labels["participants"]}
    return msgspec.structs.replace(fields, content=draft.content, labels=labels)


def _report(
    state: VaultState, read: Read, plan: list[_Planned], items: Iterable[Named]
) -> MessagesReport:
    """What was done, by what was first found; the memories as they are at the end."""
    counted = [planned.fate for planned in plan]
    standing = [planned.there for planned in _planned(state, items)]
    return MessagesReport(
        memories=tuple(memory for memory in standing if memory is not None),
        created=counted.count(_Fate.CREATE),
        updated=counted.count(_Fate.GROW),
        unchanged=counted.count(_Fate.KEEP) + len(read.exchanges) - len(plan),
        forgotten=counted.count(_Fate.FORGOTTEN),
        skipped=read.skipped,
        session=read.session,
    )
