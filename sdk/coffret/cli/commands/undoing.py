"""List imports, and take one back."""

from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.naming import full_id, short
from coffret.cli.options import Json, Yes
from coffret.cli.showing import day, memories, one_line
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.importing import Gone
    from coffret.undoing import ImportInfo
    from coffret.vault import Vault

_SHOWN = 20
_HEXADECIMAL = frozenset("0123456789abcdef-")
_ENDING = 8


def imports(context: typer.Context, *, json: Json = False) -> None:
    """List the imports that can be taken back, oldest first."""
    desk = desk_of(context, as_json=json)
    found = desk.vault().imports()
    if desk.out.as_json:
        desk.out.data(found)
        return
    rows = (
        (short(item.id), day(item.at), str(item.memories), str(item.changed), _sources(item))
        for item in found
    )
    desk.out.table(("ID", "WHEN", "MEMORIES", "CHANGED SINCE", "FROM"), rows)


def _sources(item: "ImportInfo") -> str:
    return ", ".join(map(one_line, item.sources))


def undo_import(
    context: typer.Context,
    which: Annotated[
        str,
        typer.Argument(
            metavar="IMPORT",
            help="Its id, or how that ends (8 characters or more); or a folder, for all of it.",
        ),
    ],
    *,
    changed: Annotated[
        bool, typer.Option("--changed", help="Delete also what was changed since.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete what an import created. What was changed since is named, and kept."""
    desk = desk_of(context, as_json=json)
    if not yes and not dry_run:
        desk.asker.check_person()
    vault = desk.vault()
    with desk.out.progress() as progress:
        named = _named(vault, which)
        plan = vault.undo_import(named, progress, changed=changed, dry_run=True)
    if dry_run:
        desk.out.done(f"Would delete {memories(len(plan.deleted))}:", plan)
        if not json:
            _print_all(desk, plan.deleted, plan.kept)
        return
    if plan.deleted and not yes:
        _note_all(desk, "To be deleted:", plan.deleted)
        _note_all(desk, "Changed since, and kept (--changed deletes them too):", plan.kept)
        if not desk.asker.confirm(f"Delete {len(plan.deleted)} for good?"):
            message = "nothing was deleted"
            raise InputError(message)
    with desk.out.progress() as progress:
        undone = vault.undo_import(named, progress, changed=changed) if plan.deleted else plan
    desk.out.done(f"Deleted {memories(len(undone.deleted))}.", undone)
    if not json:
        _print_all(desk, (), undone.kept)


def _named(vault: "Vault", which: str) -> str:
    """The whole id where this is how one ends, and else what was said."""
    text = which.strip().lower()
    if len(text) >= _ENDING and set(text) <= _HEXADECIMAL:
        found = [item.id for item in vault.imports() if item.id.endswith(text)]
        return full_id(text, found, "import") if found else which
    return which


def _print_all(desk: Desk, deleted: "Sequence[Gone]", kept: "Sequence[Gone]") -> None:
    for line in _lines(deleted):
        desk.out.line(line)
    if kept:
        desk.out.line(
            f"Changed since, and kept: {memories(len(kept))}. --changed deletes these too."
        )
    for line in _lines(kept):
        desk.out.line(line)


def _note_all(desk: Desk, title: str, items: "Sequence[Gone]") -> None:
    if items:
        desk.out.note(title)
    for line in _lines(items):
        desk.out.note(line)


def _lines(items: "Sequence[Gone]") -> "Sequence[str]":
    lines = [f"  {item.id}  {item.source}  {one_line(item.title)}" for item in items[:_SHOWN]]
    if len(items) > _SHOWN:
        lines.append(f"  and {len(items) - _SHOWN} more; --dry-run --json lists all of them.")
    return lines
