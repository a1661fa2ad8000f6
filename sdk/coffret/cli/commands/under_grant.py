"""What an app does under a grant: list, show, search, write, propose."""

from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.commands.listing import print_memories, print_memory
from coffret.cli.commands.remembering import check_content, details_of, read_content
from coffret.cli.commands.searching import print_found
from coffret.cli.desk import Desk, desk_of
from coffret.cli.naming import full_id
from coffret.cli.options import (
    AllTags,
    AnyTags,
    AppFile,
    AppName,
    Authors,
    Confidence,
    From,
    Importance,
    Json,
    Labels,
    Least,
    Limit,
    Matching,
    MemoryId,
    Metadata,
    Mode,
    NewId,
    OfRequest,
    OtherTags,
    Question,
    Similar,
    Since,
    Source,
    Summary,
    Title,
    Type,
    Types,
    Until,
    ValidOn,
    WithLabels,
    WithMetadata,
    narrowed,
)
from coffret.cli.places import DEFAULT
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from coffret.access import Access

Written = Annotated[
    str, typer.Argument(metavar="CONTENT", help="Markdown; - reads it from standard input.")
]
# What an app writes is sealed where it does not say otherwise, as it can in its own code only.
NewTitle = Annotated[
    str | None, typer.Option("--title", help="Sealed, as the content is: the server sees none.")
]
NewTags = Annotated[
    list[str] | None, typer.Option("--tag", "-t", help="May be repeated. Sealed, as the title is.")
]


def _access(desk: Desk, app: str, file: "Path | None", request: str | None) -> "Access":
    return desk.access(desk.app(app, file), request)


def _memory_id(access: "Access", text: str) -> str:
    return full_id(text, (memory.id for memory in access.memories()), "memory in the grant")


def list_granted(  # noqa: PLR0913 - each option is an argument
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
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """List what the grant covers now, most lately changed first."""
    desk = desk_of(context, as_json=json)
    wanted = narrowed(
        tag, any_tag, kind, author, label, metadata, importance, since, until, source, valid_on
    )
    print_memories(desk, _access(desk, app, file, request).memories(**wanted), limit)


def show_granted(
    context: typer.Context,
    memory: MemoryId,
    *,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Show a memory whole."""
    desk = desk_of(context, as_json=json)
    access = _access(desk, app, file, request)
    print_memory(desk, access.get(_memory_id(access, memory)))


def search_granted(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    question: Question,
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
    limit: Limit = 10,
    mode: Matching = Mode.FUSED,
    min_similarity: Similar = None,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Search what the grant covers, on this machine."""
    desk = desk_of(context, as_json=json)
    wanted = narrowed(
        tag, any_tag, kind, author, label, metadata, importance, since, until, source, valid_on
    )
    access = _access(desk, app, file, request)
    with desk.out.progress() as progress:
        found = access.search(
            question,
            progress,
            **wanted,
            limit=limit,
            mode=mode.value,
            min_similarity=min_similarity,
        )
    print_found(desk, found, None)


def remember_granted(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    content: Written,
    *,
    title: NewTitle = None,
    summary: Summary = None,
    kind: Type = None,
    tag: NewTags = None,
    importance: Importance = None,
    confidence: Confidence = None,
    source: Source = None,
    label: Labels = None,
    metadata: Metadata = None,
    new_id: NewId = None,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Write a memory into the owner's vault; it waits for the owner's review."""
    desk = desk_of(context, as_json=json)
    details = details_of(
        title=title,
        summary=summary,
        type=kind,
        tags=tag,
        importance=importance,
        confidence=confidence,
        source=source,
        label=label,
        metadata=metadata,
    )
    text = read_content(desk, content) or ""
    check_content(text)
    memory = _access(desk, app, file, request).remember(text, memory_id=new_id, **details)
    desk.out.done(f"Written {memory.id}; it waits for the owner.", memory)


def update_granted(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    memory: MemoryId,
    *,
    content: Annotated[
        str | None, typer.Option("--content", help="The new content; - reads standard input.")
    ] = None,
    title: Title = None,
    summary: Summary = None,
    kind: Type = None,
    tag: OtherTags = None,
    importance: Importance = None,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Propose a change to a memory."""
    desk = desk_of(context, as_json=json)
    text = read_content(desk, content)
    changes = details_of(
        content=text, title=title, summary=summary, type=kind, tags=tag, importance=importance
    )
    if not changes:
        message = "nothing to change was named"
        raise InputError(message)
    access = _access(desk, app, file, request)
    changed = access.update(_memory_id(access, memory), **changes)
    desk.out.done(f"Proposed version {changed.version}; it waits for the owner.", changed)


def forget_granted(
    context: typer.Context,
    memory: MemoryId,
    *,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Propose to delete a memory."""
    desk = desk_of(context, as_json=json)
    access = _access(desk, app, file, request)
    identifier = _memory_id(access, memory)
    access.forget(identifier)
    desk.out.done("Proposed; it waits for the owner.", {"memory_id": identifier})


def receipt(
    context: typer.Context,
    *,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Print the head of the owner's log, for the owner to confirm a new device with."""
    desk = desk_of(context, as_json=json)
    head = _access(desk, app, file, request).receipt()
    desk.out.done(head.rstrip("\n"), {"head": head})
