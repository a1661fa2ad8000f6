"""Bring memories in, take them out, and sync."""

import sys
from functools import partial
from itertools import count
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.naming import short
from coffret.cli.options import Json, Sealed, Yes
from coffret.cli.private import check_new, write_private
from coffret.cli.showing import changes, memories, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret.flows.unkept import Unkept
    from coffret.importing import ImportReport
    from coffret.vault import Vault
    from coffret_vault.ingest.spaces import Likeness
    from coffret_vault.records.memory import Memory

_SHOWN = 20
_WAITS = frozenset(("waiting", "not-sent"))
_AROUND = 2
"""The lines of an export that are no memory: the first and the last."""


def import_(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH…",
            help="Folders of Markdown or text, chat exports, or an export of Coffret.",
        ),
    ],
    *,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="What the folder is called here, for two folders of one name. Its own name.",
        ),
    ] = None,
    sealed: Sealed = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Import memories. Run again, it goes on where it stopped and takes what has changed."""
    from coffret_vault.ingest import detect  # noqa: PLC0415 - YAML and Markdown: now

    desk = desk_of(context, as_json=json)
    for path in paths:
        detect(path)  # before the passphrase is asked for, and before anything is stored
    vault = desk.vault()
    judge = partial(_is_that, desk) if desk.asker.interactive and not json else None
    consent = None if yes else partial(_may_change, desk)
    with desk.out.progress() as progress:
        report = vault.import_paths(
            paths, progress, namespace=namespace, sealed=sealed, judge=judge, consent=consent
        )
    _print_report(desk, report)


def _is_that(desk: Desk, place: Path, like: "Likeness") -> bool:
    desk.out.note(
        f"A folder was imported as {like.namespace} before. Pieces of {place} with names of that "
        f"one: {like.there}. Unchanged of these: {like.same}."
    )
    return desk.asker.confirm("Is it that folder, changed?")


def _may_change(desk: Desk, there: "Sequence[Memory]") -> bool:
    desk.out.note("What is imported from an export of Coffret would change, of what is here:")
    for memory in there[:_SHOWN]:
        desk.out.note(f"  {memory.id}  {name_of(memory)}")
    if len(there) > _SHOWN:
        desk.out.note(f"  and {len(there) - _SHOWN} more.")
    return desk.asker.confirm(f"Change {memories(len(there))}?")


def _print_report(desk: Desk, report: "ImportReport") -> None:
    if desk.out.as_json:
        desk.out.data(report)
        return
    desk.out.line(
        f"{report.created} created, {report.updated} updated, {report.unchanged} unchanged, "
        f"{len(report.skipped)} skipped."
    )
    if report.id:
        desk.out.line(f"  coffret undo-import {short(report.id)} takes back what was created.")
    for folder in report.folders:
        if folder.namespace != folder.name:
            desk.out.line(
                f"  {folder.place} is called {folder.namespace} here: it is not the {folder.name} "
                f"that was imported before. (If it is: import --as {folder.name}.)"
            )
    for item in report.skipped[:_SHOWN]:
        desk.out.line(f"  skipped {item.source}: {item.reason}")
    if len(report.skipped) > _SHOWN:
        desk.out.line(f"  and {len(report.skipped) - _SHOWN} more; --json lists all of them.")
    _print_gone(desk, report)


def _print_gone(desk: Desk, report: "ImportReport") -> None:
    if report.gone:
        desk.out.line(
            f"{memories(len(report.gone))} imported before and not there any more. They stay here; "
            "coffret forget deletes one."
        )
    for gone in report.gone[:_SHOWN]:
        desk.out.line(f"  {gone.id}  {gone.source}  {gone.title}")
    if len(report.gone) > _SHOWN:
        desk.out.line(f"  and {len(report.gone) - _SHOWN} more; --json lists all of them.")


def export(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="- writes to standard output.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Write every memory to a file, in plaintext."""
    desk = desk_of(context, as_json=json)
    if str(path) != "-":
        check_new(path, replace=force)
    vault = desk.vault()
    if str(path) == "-":
        as_shown = _in_ascii if sys.stdout.isatty() else bytes
        for line in vault.export():
            sys.stdout.buffer.write(as_shown(line))
        sys.stdout.buffer.flush()
        return
    status, lines = vault.status(), count()
    waits = _new_that_wait(desk, vault)
    size = write_private(path, _counted(vault.export(), lines), replace=force)
    written = next(lines) - _AROUND
    if (lacking := status.memories + waits - written) > 0:
        desk.out.note(f"Not on this device yet, and not in it: {memories(lacking)}. coffret sync.")
    if status.pending:
        desk.out.note(
            f"{status.pending} written by apps wait for you, and are not in it: coffret pending."
        )
    desk.out.note("That file is plaintext: whoever has it can read every memory in it.")
    desk.out.done(
        f"Exported {memories(written)} to {path}.",
        {"file": str(path), "memories": written, "bytes": size},
    )


def _in_ascii(line: bytes) -> bytes:
    """The same JSON, of which a terminal acts on nothing: apps write memories too."""
    return dumps(loads(line), separators=(",", ":")).encode() + b"\n"


def _new_that_wait(desk: Desk, vault: "Vault") -> int:
    """How many memories are in an export that are here alone; what else is only here is said."""
    found = vault.unkept()
    new = [item for item in found if _is_in_export(item)]
    if others := len(found) - len(new):
        desk.out.note(f"Only on this device, and not in it: {changes(others)}. coffret unkept.")
    return sum(len(item.memories) for item in new)


def _is_in_export(item: "Unkept") -> bool:
    """Whether a change waits, and is to begin memories: it has words that nobody else may have."""
    said = {(entry.kind, entry.version) for entry in item.entries}
    return item.why in _WAITS and said == {("put", 1)}


def _counted(parts: "Iterator[bytes]", lines: "count[int]") -> "Iterator[bytes]":
    """The lines of an export; ``lines`` is one further for each."""
    for part in parts:
        next(lines)
        yield part


def sync(context: typer.Context, *, json: Json = False) -> None:
    """Bring this device up to date with the server, and verify what it says."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault()
    unsent = vault.status().unsent
    with desk.out.progress() as progress:
        report = vault.sync(progress)
    sent = max(0, unsent - vault.status().unsent - report.unkept)
    waiting = len(vault.pending())
    entries = "1 new log entry" if report.entries == 1 else f"{report.entries} new log entries"
    text = f"{entries} verified, {memories(report.records)} fetched."
    text += f" Sent what waited here: {changes(sent)}." if sent else ""
    more = f" {waiting} written by apps wait for you: coffret pending." if waiting else ""
    if report.unwritten:
        names = ", ".join(report.unwritten)
        desk.out.note(f"These could be given no fresh key after a grant ended: {names}.")
    said = {"entries": report.entries, "records": report.records, "pending": waiting}
    said |= {"unkept": report.unkept, "sent": sent}
    desk.out.done(text + more, {**said, "unwritten": list(report.unwritten)})
