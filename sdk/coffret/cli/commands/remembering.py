"""Write, change and forget memories."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coffret.cli.commands.versions import as_it_was, fields_again
from coffret.cli.desk import Desk, desk_of
from coffret.cli.editing import edited, given_back
from coffret.cli.options import (
    Confidence,
    Content,
    Importance,
    Json,
    Labels,
    MemoryId,
    Metadata,
    NewId,
    OtherLabels,
    OtherMetadata,
    OtherTags,
    Sealed,
    Source,
    Summary,
    Tags,
    Title,
    Type,
    ValidFrom,
    ValidUntil,
    Yes,
    happened,
    labels_of,
    moment,
)
from coffret.cli.showing import one_line
from coffret.flows.same import chosen_id
from coffret_vault.errors import CoffretError, InputError, NetworkError, NotFoundError, ServerError
from coffret_vault.records.memory import PENDING, REJECTED, Fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.local import VaultSettings
    from coffret.vault import Vault
    from coffret_vault.records.memory import Memory


@contextmanager
def content_of(desk: Desk, content: str | None) -> "Iterator[str | None]":
    """As read_content; what a person gave by ``-`` and is not saved in this context is shown."""
    text = read_content(desk, content)
    if content == "-" and text is not None:
        with given_back(desk, text):
            yield text
    else:
        yield text


def read_content(desk: Desk, content: str | None) -> str | None:
    """What was given as content: the words, or standard input for ``-``."""
    return desk.asker.content().removesuffix("\n") if content == "-" else content


def details_of(**given: object) -> dict[str, Any]:
    """The options that were given, as a memory's fields.

    Raises:
        InputError: a label or a value of metadata is not ``name=value``.
    """
    found = {name: value for name, value in given.items() if value is not None}
    labels, metadata = found.pop("label", None), found.pop("metadata", None)
    if isinstance(labels, list):
        found["labels"] = labels_of(labels)
    if isinstance(metadata, list):
        found["metadata"] = labels_of(metadata, "a value of metadata")
    return found


def remember(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    content: Content = None,
    *,
    title: Title = None,
    summary: Summary = None,
    kind: Type = None,
    tag: Tags = None,
    importance: Importance = None,
    confidence: Confidence = None,
    source: Source = None,
    label: Labels = None,
    metadata: Metadata = None,
    valid_from: ValidFrom = None,
    valid_until: ValidUntil = None,
    sealed: Sealed = None,
    created: Annotated[
        str | None, typer.Option("--created", help="When it happened, if not now.")
    ] = None,
    new_id: NewId = None,
    json: Json = False,
) -> None:
    """Write a memory: from the argument, from standard input with -, or in your editor."""
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
        valid_from=moment(valid_from),
        valid_until=moment(valid_until),
        sealed=sealed,
    )
    chosen_id(new_id)  # what is wrong is said before somebody writes
    moment_of = happened(created)
    vault = vault_before(desk, content)

    def write(fields: dict[str, Any]) -> "Memory":
        check_content(fields["content"])
        return vault.remember(memory_id=new_id, created=moment_of, **fields)

    with content_of(desk, content) as text:
        given = {"content": text or "", **details}
        if text is None:
            with edited(desk, _blank(given, vault.settings())) as written:
                memory = write(given | written)
        else:
            memory = write(given)
    desk.out.done(f"Remembered {memory.id}", memory)


def vault_before(desk: Desk, content: str | None) -> "Vault":
    """The vault, before what is to be written is asked for: nothing is written for a refusal."""
    if content == "-":
        desk.asker.keep_for_content()
    return desk.vault()


def check_content(text: str) -> None:
    """Go on if there is something to remember.

    Raises:
        InputError: there is nothing.
    """
    if not text.strip():
        message = "there is nothing to remember: the text is empty"
        raise InputError(message)


def _blank(given: dict[str, Any], settings: "VaultSettings") -> Fields:
    tags = tuple(given.get("tags", ()))
    return Fields(**{"sealed": settings.sealed_here, **given, "tags": tags})


_GOES_FIRST = (
    "No change is taken behind what waits on this device, and none was read: coffret unkept shows "
    "what it is."
)


def edit(  # noqa: PLR0913 - each option is an argument
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
    confidence: Confidence = None,
    source: Source = None,
    label: OtherLabels = None,
    metadata: OtherMetadata = None,
    valid_from: ValidFrom = None,
    valid_until: ValidUntil = None,
    sealed: Sealed = None,
    restore: Annotated[
        int | None,
        typer.Option("--restore", metavar="VERSION", min=1, help="Write this one again."),
    ] = None,
    json: Json = False,
) -> None:
    """Change a memory: what the options name, or in your editor when there are none."""
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
        valid_from=moment(valid_from),
        valid_until=moment(valid_until),
        sealed=sealed,
    )
    vault = vault_before(desk, content)
    _send_waiting(desk, vault)  # it may be of this memory, which is then edited as that leaves it
    before = vault.get(desk.memory_id(vault, memory))
    if restore is not None:
        details = fields_again(as_it_was(vault, before.id, restore), before) | details
    with content_of(desk, content) as text:
        changes = details if text is None else {"content": text, **details}
        after = _changed(desk, vault, before, changes)
    if after is None:
        desk.out.done("Nothing was changed.", before)
        return
    desk.out.done(f"Changed {after.id}; it is version {after.version} now.", after)


def _send_waiting(desk: Desk, vault: "Vault") -> None:
    """Send what waits here, or fail while nobody has written: no change is taken behind it.

    docs/adr/0016: only new memories wait behind a change.
    """
    if vault.status().unsent:
        try:
            vault.sync()
        except (NetworkError, ServerError) as error:
            error.hint = _GOES_FIRST
            raise
        desk.begins_here(vault)


def _changed(
    desk: Desk, vault: "Vault", before: "Memory", changes: dict[str, Any]
) -> "Memory | None":
    if changes:
        return vault.update(before.id, version=before.version, **changes)
    with edited(desk, before.fields()) as new:
        return vault.update(before.id, version=before.version, **new) if new else None


def forget(
    context: typer.Context,
    memories: Annotated[list[str], typer.Argument(metavar="MEMORY…", help="Ids, or how they end.")],
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete memories with all their versions."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault()
    _send_waiting(desk, vault)  # it may be of these
    gone = [desk.memory_id(vault, text) for text in memories]
    missing = set(gone) - set(vault.memory_ids())
    if missing:
        raise NotFoundError
    looked = [(identifier, *_looked_at(vault, identifier)) for identifier in gone]
    if not yes:
        for identifier, title, _ in looked:
            desk.out.note(f"  {identifier}  {one_line(title)}")
        if not desk.asker.confirm(f"Delete {len(gone)} for good?"):
            message = "nothing was deleted"
            raise InputError(message)
    for identifier, _, version in looked:
        vault.forget(identifier, version=version)
    desk.out.done(f"Forgot {len(gone)}.", {"forgotten": gone})


def _looked_at(vault: "Vault", identifier: str) -> tuple[str, int | None]:
    """A memory's title, and the version that is current; what does not open can be deleted too."""
    try:
        memory = vault.get(identifier)
    except CoffretError:
        return "", None
    return memory.title, 0 if memory.review.status in {PENDING, REJECTED} else memory.version
