"""List and show memories, those that wait on this device among them."""

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coffret.cli.commands.versions import as_it_was
from coffret.cli.desk import Desk, desk_of
from coffret.cli.naming import full_id
from coffret.cli.options import (
    AllTags,
    AnyTags,
    Authors,
    From,
    Json,
    Least,
    Limit,
    MemoryId,
    Since,
    Types,
    Until,
    ValidOn,
    WithLabels,
    WithMetadata,
    narrowed,
)
from coffret.cli.showing import memory_head, memory_rows
from coffret.cli.writing import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from coffret_vault.records.memory import Memory

_ANY: tuple[object, ...] = (None, (), {})
"""What narrows nothing."""


def list_memories(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    *,
    tag: AllTags = None,
    any_tag: AnyTags = None,
    kind: Types = None,
    author: Authors = None,
    label: WithLabels = None,
    metadata: WithMetadata = None,
    importance: Least = None,
    since: Since = None,
    until: Until = None,
    source: From = None,
    valid_on: ValidOn = None,
    limit: Limit = 50,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    json: Json = False,
) -> None:
    """List memories on this device, most lately changed first."""
    from coffret.arguments import listing_of  # noqa: PLC0415 - loads ciphers: not to show help

    desk = desk_of(context, as_json=json)
    wanted = narrowed(
        tag, any_tag, kind, author, label, metadata, importance, since, until, source, valid_on
    )
    listing_of("list", wanted)  # what is wrong is said before the passphrase is asked for
    vault = desk.vault()
    narrows = any(value not in _ANY for value in wanted.values())
    waits = vault.waiting(**wanted)  # before the others: what is sent meanwhile is among them then
    if count:
        number = len(vault.list(**wanted)) if narrows else vault.status().memories
        number += len(waits)
        desk.out.done(str(number), {"count": number})
    elif narrows:
        _print_both(desk, vault.list(**wanted), waits, limit)
    else:  # how many there are is known without opening them
        _print_both(desk, vault.list(limit=limit), waits, limit, vault.status().memories)
    desk.tell_waiting(vault)


def _print_both(
    desk: Desk,
    found: "Sequence[Memory]",
    waits: "Sequence[Memory]",
    limit: int,
    among: int | None = None,
) -> None:
    """What stands and what waits, in one order; what was sent in between is not told twice."""
    count, there = len(found) if among is None else among, {memory.id for memory in found}
    behind = [memory for memory in waits if memory.id not in there]
    together = sorted([*found, *behind], key=attrgetter("updated"), reverse=True)
    print_memories(
        desk, together, limit, count + len(behind), waits={memory.id for memory in behind}
    )


def print_memories(
    desk: Desk,
    found: "Sequence[Memory]",
    limit: int,
    among: int | None = None,
    *,
    waits: "Collection[str]" = (),
) -> None:
    """The first of them, as a table or an array of whole memories; a remark if there are more.

    Those whose ids are among ``waits`` are marked.
    """
    memories, count = found[:limit], len(found) if among is None else among
    if desk.out.as_json:
        desk.out.data([_shape(memory, waits=memory.id in waits) for memory in memories])
    else:
        marked = any(memory.id in waits for memory in memories)
        titles = ("ID", "CHANGED", "TYPE", "TITLE", "TAGS", *(("STATE",) if marked else ()))
        desk.out.table(titles, memory_rows(memories, waits) if marked else memory_rows(memories))
    if len(memories) < count:
        all_of_them = f"These are {len(memories)} of {count}; --limit {count} shows all."
        desk.out.note(all_of_them)


def _shape(memory: "Memory", *, waits: bool) -> dict[str, Any]:
    """A memory as JSON; one that waits says so, and no other has that name."""
    return {**plain(memory), **({"waiting": True} if waits else {})}


def show(
    context: typer.Context,
    memory: MemoryId,
    *,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="As it was in this one; coffret history lists them."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a memory whole, as it is or as it was."""
    desk = desk_of(context, as_json=json)
    if version is None:
        vault = desk.vault()
        waits = {item.id: item for item in vault.waiting()}
        identifier = full_id(memory, {*vault.memory_ids(), *waits}, "memory")
        if identifier in waits:
            print_memory(desk, waits[identifier], waits=True)
        else:
            print_memory(desk, vault.get(identifier))
    else:
        vault = desk.synced()
        print_memory(desk, as_it_was(vault, desk.memory_id(vault, memory), version))


def print_memory(desk: Desk, memory: "Memory", *, waits: bool = False) -> None:
    """A memory whole; of one that waits, that it does."""
    if desk.out.as_json:
        desk.out.data(_shape(memory, waits=waits))
        return
    for name, value in memory_head(memory, waits=waits):
        desk.out.line(f"{name + ':':13}{value}")
    desk.out.line()
    desk.out.line(memory.content)


def tags(context: typer.Context, *, json: Json = False) -> None:
    """List tags, the most used first."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault()
    waits = vault.waiting()  # before the others, as in a list
    counted = Counter(vault.tags())
    there = set(vault.memory_ids())
    for memory in waits:
        counted.update(() if memory.id in there else memory.tags)
    found = counted.most_common()
    if desk.out.as_json:
        desk.out.data([{"tag": tag, "memories": count} for tag, count in found])
    else:
        desk.out.table(("TAG", "MEMORIES"), ((tag, str(count)) for tag, count in found))
    desk.tell_waiting(vault)
