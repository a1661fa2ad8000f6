"""Remember a conversation from its messages: each exchange once, however it grows.

As an owner, or as an app (:mod:`coffret.proposing`): both look for what is there by ids that only
they can make, and differ in where they look and in how they write.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Literal, TypedDict

import msgspec

from coffret.arguments import check_names
from coffret.exchanges import Named, named
from coffret.flows.many import remember_many
from coffret.flows.memories import update
from coffret.flows.spoilt import current_memory
from coffret.flows.sync import silent, sync
from coffret.flows.waiting import settle
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
    from coffret_vault.primitives.secret import SecretBytes

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
        forgotten: how many were deleted by their owner, and are not written again; for an app also
            what was rejected, and what its grant does not show any more.
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

    def __repr__(self) -> str:
        # Never the session: it is a name of somebody's, or a hash of what was said.
        counts = (self.created, self.updated, self.unchanged, self.forgotten)
        return "<MessagesReport {} created {} updated {} unchanged {} forgotten>".format(*counts)


class Fate(Enum):
    """What is to be done with an exchange."""

    CREATE = auto()
    GROW = auto()
    KEEP = auto()
    FORGOTTEN = auto()


class Planned(msgspec.Struct, frozen=True):
    """An exchange, what is to be done with it, and the memory that is there."""

    item: Named
    fate: Fate
    there: Memory | None = None


LookUp = Callable[[bytes], "Memory | Literal[Fate.FORGOTTEN] | None"]
"""What there is by an id: the memory, that it was forgotten, or nothing."""


def conversation_of(messages: Iterable[Mapping[str, object]], talk: Talk) -> Read:
    """What is to be remembered, from a call's arguments: all of it looked at, and nothing written.

    Raises:
        TypeError: an argument is not known.
        InputError: one of the messages is none, or cannot be a memory; it says which.
    """
    check_names("remember_messages", talk, Talk)
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
    items = exchanges_of(state.keys.keyring.kek("messages"), read, sealed=sealed)
    look_up = partial(_there, state)
    yield from settle(state)  # some may be on their way
    yield from sync(state)  # another device may have had the beginning of one of them
    first: list[Planned] | None = None
    for last in range(_TRIES):
        plan = plan_of(look_up, items)
        first = first or plan
        try:
            yield from _carry_out(state, plan, progress, sealed=sealed)
            break
        except ConflictError:
            if last == _TRIES - 1:
                raise
            yield from sync(state)  # another device wrote some of it meanwhile
    standing = [planned.there for planned in plan_of(look_up, items)]
    return report_of(read, first or [], standing)


def _there(state: VaultState, identifier: bytes) -> Memory | Literal[Fate.FORGOTTEN] | None:
    """What an owner's device has by an id."""
    standing = state.store.state(identifier)
    if standing is None:
        return None
    if standing.deleted:
        return Fate.FORGOTTEN
    record = state.store.record(identifier, standing.current)
    return None if record is None else current_memory(state, identifier, standing, record)


def exchanges_of(key: SecretBytes, read: Read, *, sealed: bool | None) -> list[Named]:
    """The exchanges with their ids, each of which can be a memory.

    Raises:
        InputError: one cannot.
    """
    items = named(key.reveal(), read)
    for item in items:
        checked(item.new(sealed=sealed).fields)
    return items


def plan_of(look_up: LookUp, items: Iterable[Named]) -> list[Planned]:
    """What is to be done with each exchange, in their order."""
    growing: set[bytes] = set()
    plan = []
    for item in items:
        planned, at = _fate(look_up, item, growing)
        if planned.fate is Fate.GROW and at is not None:
            growing.add(at)
        plan.append(planned)
    return plan


def _fate(look_up: LookUp, item: Named, growing: set[bytes]) -> tuple[Planned, bytes | None]:
    """What is to be done with an exchange, which may have been written when it was shorter."""
    for count in range(len(item.ids), 0, -1):
        identifier = item.ids[count - 1]
        # Two that began alike do not both go on in one memory.
        if identifier in growing and count < len(item.ids):
            continue
        memory = look_up(identifier)
        if memory is Fate.FORGOTTEN:
            return Planned(item, Fate.FORGOTTEN), None
        fate = None if memory is None else _fate_beside(item, count, memory)
        if fate is not None:
            return Planned(item, fate, memory), identifier
    return Planned(item, Fate.CREATE), None


def _fate_beside(item: Named, count: int, memory: Memory) -> Fate | None:
    """What is to be done where a memory is there for the first ``count`` messages.

    None where it says something else than this exchange ever did: it went on otherwise, or was
    changed by hand, and stays.
    """
    if count == len(item.ids) or memory.content == item.exchange.draft.content:
        return Fate.KEEP
    shorter = range(count, len(item.ids))
    if any(memory.content == item.exchange.beginning(length) for length in shorter):
        return Fate.GROW
    return None


def _carry_out(
    state: VaultState,
    plan: Iterable[Planned],
    progress: Progress,
    *,
    sealed: bool | None,
) -> Flow[None]:
    new = [planned.item.new(sealed=sealed) for planned in plan if planned.fate is Fate.CREATE]
    if new:
        yield from remember_many(state, new, progress)
    longer = [planned for planned in plan if planned.fate is Fate.GROW]
    for done, planned in enumerate(longer, 1):
        if planned.there is not None:
            change = partial(grown, planned.item)
            yield from update(state, planned.there.id, change, version=planned.there.version)
        progress("changes", done, len(longer))


def grown(item: Named, fields: Fields) -> Fields:
    """The memory of an exchange that went on: what else was said of it stays."""
    draft = item.exchange.draft
    labels = {**fields.labels, "participants": draft.labels["participants"]}
    return msgspec.structs.replace(fields, content=draft.content, labels=labels)


def report_of(read: Read, plan: list[Planned], standing: Iterable[Memory | None]) -> MessagesReport:
    """What was done, by what was first found; the memories as they are at the end."""
    counted = [planned.fate for planned in plan]
    return MessagesReport(
        memories=tuple(memory for memory in standing if memory is not None),
        created=counted.count(Fate.CREATE),
        updated=counted.count(Fate.GROW),
        unchanged=counted.count(Fate.KEEP) + len(read.exchanges) - len(plan),
        forgotten=counted.count(Fate.FORGOTTEN),
        skipped=read.skipped,
        session=read.session,
    )
